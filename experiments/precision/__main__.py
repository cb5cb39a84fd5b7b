"""Whether the compute dtype bfloat16 costs accuracy: short runs in both precisions, seed by seed.

    python -m experiments.precision --data-dir DIR

Each seed trains twice, with `--precision float32` and `bf16`: recipe `standard`, squeeze-and-excitation, the cosine
over `--epochs`. Both start from the same weights and see the same batches: they differ in the rounding of operands,
and in what chance makes of it. A run that was stopped is resumed, in the folder `--runs`.

Writes `result.json` and `result.md` beside this file.
"""

import argparse
import json
import statistics
from pathlib import Path

import scipy.stats

from experiments import common
from jaxattn.config import Config
from jaxattn.runs.fit import fit

HERE = Path(__file__).parent
PRECISIONS = ("float32", "bf16")


def interval(differences):
    """Mean of paired differences and half its 95 % interval, by Student's t."""
    spread = statistics.stdev(differences) / len(differences) ** 0.5
    return statistics.mean(differences), scipy.stats.t.ppf(0.975, len(differences) - 1) * spread


def markdown(record):
    """The table, and what it says."""
    rows = record["rows"]
    cells = [
        (f"{row['seed']}", *(f"{row[name]:.2%}" for name in PRECISIONS), f"{100 * (row['bf16'] - row['float32']):+.2f}")
        for row in rows
    ]
    lines = common.table(("seed", *PRECISIONS, "difference"), cells)
    mean, half = interval([100 * (row["bf16"] - row["float32"]) for row in rows])
    lines.append(
        f"\nTest accuracy after {record['epochs']} epochs; bf16 less float32: {mean:+.2f} points, 95 % interval "
        f"{mean - half:+.2f} to {mean + half:+.2f} (n = {len(rows)}). Between seeds, float32 has a standard deviation "
        f"of {100 * statistics.stdev(row['float32'] for row in rows):.2f} points. "
        f"{common.on(record['machine'])}."
    )
    return "\n".join(lines) + "\n"


def main():
    """Trains, and writes the two files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", default="runs/precision")
    flags = parser.parse_args()
    rows = []
    for seed in range(flags.seeds):
        row = {"seed": seed}
        for precision in PRECISIONS:
            config = Config(
                dataset="cifar10",
                data_dir=flags.data_dir,
                attention="se",
                seed=seed,
                epochs=flags.epochs,
                precision=precision,
            )
            run = fit(config, Path(flags.runs, f"{precision}-s{seed}"))
            row[precision] = run.result["test_accuracy"]
        rows.append(row)
    record = {"epochs": flags.epochs, "rows": rows, "machine": common.machine()}
    (HERE / "result.json").write_text(json.dumps(record, indent=1) + "\n")
    (HERE / "result.md").write_text(markdown(record))
    print(markdown(record))


if __name__ == "__main__":
    main()
