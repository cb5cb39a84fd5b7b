"""How to reproduce a run: every flag, and the command line that trains it again."""

import dataclasses
import shlex
from typing import Any

from jaxattn.config import Config
from jaxattn.recipes import RECIPES


def configuration(config: Config) -> dict[str, list[dict[str, Any]]]:
    """Every flag by group, with its value, and whether it differs from its recipe's default."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        groups.setdefault(field.metadata["group"], []).append(
            {
                "flag": flag(field.name),
                "value": str(value),
                "help": field.metadata["help"],
                "changed": field.name != "recipe" and value != _default(config, field),
            }
        )
    return groups


def command(config: Config) -> str:
    """The command line that trains this configuration again: what differs from the recipe's defaults."""
    words = ["python", "-m", "jaxattn.train"]
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        if field.name == "dataset" or value != _default(config, field):
            words += setting(field.name, value)
    return shlex.join(words)


def setting(name: str, value: Any) -> list[str]:
    """The words of a command line that give a setting this value; one that is on or off is a flag alone."""
    return [flag(name)] if value is True else [flag(name), str(value)]


def flag(name: str) -> str:
    """The flag of a setting, such as "--batch-size"."""
    return "--" + name.replace("_", "-")


def _default(config, field):
    return RECIPES[config.recipe].get(field.name, field.default)
