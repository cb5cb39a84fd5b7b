"""Fields of the configuration: their lines in `--help`, and the rules for their values."""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

from jaxattn.errors import InputError, shortened

BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "at_least": (">=", operator.ge),
    "above": (">", operator.gt),
    "below": ("<", operator.lt),
}
LARGEST = 1_000_000  # for numbers without their own upper bound: steps are counted, and sums kept, in 32 bits
MAX_CHARACTERS = 4096  # characters of a text: as long as a path may be


def flag(default: Any, group: str, help: str, **rules: Any) -> Any:
    """A field of a dataclass with its line in `--help` and its rule: `choices`, `at_least`, `below`, `above`."""
    return dataclasses.field(default=default, metadata={"group": group, "help": help, **rules})


def of_recipe(kind: type, group: str, help: str, **rules: Any) -> Any:
    """The same for a field that a recipe sets if it is not given."""
    return flag(None, group, help, kind=kind, **rules)


def kind(field: dataclasses.Field) -> type:
    """The type of a field's value: int, float, str or bool."""
    return field.metadata.get("kind") or (str if field.default is None else type(field.default))


def is_optional(field: dataclasses.Field) -> bool:
    """Whether None is a value of the field, rather than a request for the recipe's value."""
    return field.default is None and "kind" not in field.metadata


def check(field: dataclasses.Field, value: Any) -> None:
    """Checks the type of a field's value, and its rule.

    Raises:
        InputError: if the value breaks one.
    """
    rules, wanted = field.metadata, kind(field)
    if isinstance(value, bool) != (wanted is bool) or not isinstance(
        value, (int, float) if wanted is float else wanted
    ):
        raise InputError(f"{field.name} must be of type {wanted.__name__}, got {shortened(value)}")
    if "choices" in rules and value not in rules["choices"]:
        raise InputError(f"unknown {field.name} {shortened(value)}; known are {', '.join(rules['choices'])}")
    if isinstance(value, str):
        _check_text(field.name, value)
        return
    bounds = [(sign, rules[name], holds) for name, (sign, holds) in BOUNDS.items() if name in rules]
    if not all(holds(value, bound) for _, bound, holds in bounds):
        rule = " and ".join(f"{sign} {bound}" for sign, bound, _ in bounds)
        raise InputError(f"{field.name} must be {rule}, got {shortened(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{field.name} must be a finite number, got {value}")
    if "below" not in rules and not BOUNDS["at_least"][1](LARGEST, value):
        raise InputError(f"{field.name} must be at most {LARGEST:,}, got {shortened(value)}")


def _check_text(name: str, value: str) -> None:
    """Checks that a text can be written and read back."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} must be text that UTF-8 can hold, got {shortened(value)}", name) from error
    if "\0" in value or len(value) > MAX_CHARACTERS:
        raise InputError(
            f"{name} must be text without NUL, of at most {MAX_CHARACTERS:,} characters, got {len(value):,} of them: "
            f"{shortened(value)}",
            name,
        )
