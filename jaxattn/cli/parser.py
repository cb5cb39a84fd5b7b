"""Command lines: a parser that reports errors in one line, and a flag for each field of the configuration."""

import argparse
import ast
import dataclasses
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any, NoReturn, final

from jaxattn.config import Config
from jaxattn.errors import InputError, shortened
from jaxattn.fields import kind
from jaxattn.recipes import CNN, recipes

TRACEBACK = "--traceback"


@final
class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command line in one line."""

    def __init__(self, **options: Any):
        """Takes the options of `argparse.ArgumentParser`."""
        super().__init__(allow_abbrev=False, formatter_class=_wide, **options)
        self.add_argument(TRACEBACK, action=_OfTheCommand, nargs=0, help="print the traceback of an error, too")

    def error(self, message: str) -> NoReturn:
        """Raises the message as an `InputError`."""
        raise InputError(f"{message}; see {self.prog} --help")

    def parse_args(self, arguments=None, namespace=None):
        """As argparse does, but the error for an unknown flag lists the known ones.

        Raises:
            InputError: if the command line is wrong.
        """
        parsed, rest = self.parse_known_args(arguments, namespace)
        if rest:
            if not rest[0].startswith("-"):
                raise InputError(f"unexpected argument {shortened(rest[0])}; see {self.prog} --help")
            known = sorted(flag for flag in self._option_string_actions if flag.startswith("--"))
            raise InputError(f"unknown flag {rest[0]}; known are {', '.join(known)}")
        return parsed


@final
class _OfTheCommand(argparse.Action):
    """A flag that `run_command` reads: nothing is stored."""

    def __init__(self, **options: Any):
        super().__init__(**options | {"dest": argparse.SUPPRESS, "default": argparse.SUPPRESS})

    def __call__(self, parser, namespace, values, option_string=None):
        pass


def complete_from(action: argparse.Action, names: Iterable[str] | Callable[[], Iterable[str]]) -> None:
    """Lets a shell complete the values of an argument, from names or from a function that returns them."""
    action.completer = lambda **_: list(names() if callable(names) else names)  # type: ignore[attr-defined]


def attention() -> list[str]:
    """The names of the attention modules, from the source of their list: importing it loads JAX, which takes long."""
    source = (Path(__file__).parents[1] / "attention" / "registry.py").read_text("utf-8")
    groups = next(node for node in ast.parse(source).body if isinstance(node, ast.AnnAssign) and node.value)
    return ["none", *(key.value for group in groups.value.values for key in group.keys)]  # type: ignore


def _wide(prog):
    return argparse.HelpFormatter(prog, max_help_position=34, width=110)


def add_config_flags(parser: argparse.ArgumentParser, datasets: Iterable[str], without: Container[str] = ()) -> None:
    """Adds a flag for each field of `Config` except those in `without`, in groups; `datasets` are the known names."""
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(Config):
        if field.name in without:
            continue
        group = field.metadata["group"]
        if group not in groups:
            groups[group] = parser.add_argument_group(group)
        names = field.metadata.get("choices") or (datasets if field.name == "dataset" else ())
        text = field.metadata["help"] + (f": {', '.join(names)}" if names else "")
        if field.default is not None:
            text += f" (default: {field.default})"
        elif field.name in CNN:
            values = ", ".join(f"{name} {recipe[field.name]}" for name, recipe in recipes("cnn").items())
            text += f" (default with cnn: {values})"
        flag = f"--{field.name.replace('_', '-')}"
        if kind(field) is bool:
            groups[group].add_argument(
                flag, action="store_true", help=field.metadata["help"], default=argparse.SUPPRESS
            )
            continue
        action = groups[group].add_argument(
            flag,
            type=kind(field),
            metavar="NAME" if names or field.name == "attention" else {int: "N", float: "X", str: "TEXT"}[kind(field)],
            help=text.replace("%", "%%"),
            default=argparse.SUPPRESS,
            **({"nargs": "?", "const": "se"} if field.name == "attention" else {}),
        )
        if names or field.name == "attention":
            complete_from(action, attention if field.name == "attention" else names)
