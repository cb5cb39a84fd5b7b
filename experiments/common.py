"""What the experiments share: subjects in processes, ratios over rounds, tables, the machine that is measured."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence

import flax
import jax
import numpy as np

from jaxattn.runs.environment import processor


class Child:
    """A subject in its own process, which answers one command at a time with a line of JSON."""

    def __init__(self, command: Sequence, name: str):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command: str):
        self.tell(command)
        return self.answer()

    def tell(self, command: str):
        """Sends the command and does not wait, so that others can work at the same time."""
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._failed()

    def answer(self):
        try:
            return json.loads(self.process.stdout.readline())
        except json.JSONDecodeError:
            self._failed()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()

    def _failed(self):
        sys.exit(f"{self.name} failed, see its output above")


def machine():
    """Versions, device and processor, as a dict for JSON."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "jax": jax.__version__,
        "flax": flax.__version__,
        "python": platform.python_version(),
    }


def on(machine):
    """The machine in words, for the text below a table."""
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['device']}; jax {machine['jax']}, flax "
        f"{machine['flax']}, Python {machine['python']}"
    )


def summary(values: Iterable[float]):
    """Median, quartiles and extremes of the rounds' values."""
    low, first, middle, third, high = np.quantile(list(values), (0, 0.25, 0.5, 0.75, 1)).tolist()
    return {"median": middle, "quartiles": [first, third], "min": low, "max": high}


def spread(ratio):
    """Median and, in brackets, minimum and maximum."""
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"


def ratios(times: dict[str, Sequence[float]], peers: Iterable[str]):
    """{subject: summary of the per-round ratios to the fastest of `peers`}, from {subject: [seconds by round]}."""
    best = [min(row) for row in zip(*(times[peer] for peer in peers), strict=True)]
    return {name: summary(a / b for a, b in zip(rounds, best, strict=True)) for name, rounds in times.items()}


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1):
    """Lines of a Markdown table; the first columns are text, the others are numbers."""
    rule = ["---" if i < text_columns else "---:" for i in range(len(header))]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
