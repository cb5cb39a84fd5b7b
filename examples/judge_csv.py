"""Accuracies that any program measured, judged from a CSV file with the columns variant, seed, accuracy.

python examples/judge_csv.py results.csv
"""

import sys

from jaxattn.comparison.numbers import of_csv


def main(path: str) -> None:
    """Prints each variant's difference from the first one, its interval, and the verdict."""
    for row in of_csv(path).table.rows[1:]:
        if row.difference is not None:
            low, high = row.difference.interval or (float("nan"), float("nan"))  # of one seed, there is none
            print(f"{row.variant.name}: {row.difference.mean:+.2f} points ({low:+.2f} to {high:+.2f})")
        print(f"  {row.verdict.text}")


if __name__ == "__main__":
    main(sys.argv[1])
