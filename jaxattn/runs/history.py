"""How a run was started and resumed: the entries of `config.json` that record machine, versions and code."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, final

from jaxattn.runs import environment
from jaxattn.runs.code import Code


@final
@dataclasses.dataclass(frozen=True)
class Start:
    """How a run was started or resumed.

    Attributes:
        epoch: how many complete epochs it had.
        time: in UTC, ISO 8601.
        environment: versions, devices and the kind of machine (`environment.environment`).
        code: digests of the user's classes (`code.digests`).
        warnings: what readers of its numbers must know about this start.
        epochs: how many the run was to have; None if that was not recorded.
    """

    epoch: int
    time: str
    environment: dict[str, Any]
    code: Code
    warnings: tuple[str, ...] = ()
    epochs: int | None = None


def changes(starts: Sequence[Start]) -> list[str]:
    """What changed between starts whose epochs are left, and what was not recorded: one sentence each."""
    notes: list[str] = []
    if starts and starts[0].epoch:
        notes.append(f"versions and machine of epochs 1 to {starts[0].epoch} were not recorded")
    lasting: list[Start] = []
    for start in starts:
        while lasting and lasting[-1].epoch >= start.epoch:  # none of its epochs is left
            lasting.pop()
        lasting.append(start)
    for old, new in itertools.pairwise(lasting):
        different = environment.changes(old.environment, new.environment)
        different += [f"other code of {name}" for name in new.code if new.code[name] != old.code.get(name)]
        if old.epochs and new.epochs and old.epochs != new.epochs:  # the learning rate may depend on it
            different.append(f"planned for {new.epochs} epochs instead of {old.epochs}")
        if different:
            where = "in the test" if new.epoch == new.epochs else f"from epoch {new.epoch + 1} on"
            notes.append(f"{where}: {', '.join(different)}")
    return notes


def parse_start(values: dict[str, Any]) -> Start:
    """A start from JSON.

    Raises:
        TypeError, KeyError: if it is not one.
    """
    start = Start(**{**values, "warnings": tuple(values["warnings"])})
    names = [*start.environment["versions"].values(), start.environment["device"], start.environment["host"]]
    texts = [start.time, *start.warnings, *names, *start.code, *start.code.values()]
    numbers = [start.epoch] if start.epochs is None else [start.epoch, start.epochs]
    whole = all(type(number) is int and number >= 0 for number in numbers)
    if not whole or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"a start must hold an epoch and texts, found {values!r:.80}")
    return start
