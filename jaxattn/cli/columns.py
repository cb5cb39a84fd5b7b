"""Tables in plain text."""

from collections.abc import Sequence


def columns(lines: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Lines of cells [N][M] as text, each column as wide as its widest cell; those in `right` are right-aligned."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = (
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
    return "\n".join(row.rstrip() for row in rows)
