"""Errors that a user can act on: the shells print them as one line and exit with code 2."""

from collections.abc import Mapping
from typing import Any


class InputError(ValueError):
    """Input that cannot be used. The message says what, the rule, the value and what to do, in one line."""


class UnavailableError(InputError):
    """A data set that is neither on this machine nor to be had from the network."""


def lookup(what: str, name: str, known: Mapping[str, Any]) -> Any:
    """`known[name]`.

    Raises:
        InputError: where there is none; it lists the names that are known.
    """
    if name not in known:
        raise InputError(f"unknown {what} {name!r}; known are {', '.join(known)}")
    return known[name]


def first_line(error: Exception) -> str:
    """What another library's error says, in one line of at most 200 letters; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
