"""How to reproduce a run: every flag, and the command line that trains it again."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxattn.config import Config, without_effect
from jaxattn.recipes import defaults, is_file


def configuration(config: Config, acts_on: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, Any]]]:
    """Every flag by group, with its value, whether it differs from its recipe's default, and what it acts on."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        groups.setdefault(field.metadata["group"], []).append(
            {
                "flag": flag(field.name),
                "value": str(value),
                "help": field.metadata["help"],
                "acts_on": ", ".join(acts_on.get(field.name, ())),
                "changed": field.name != "recipe" and value != default(config, field),
            }
        )
    return groups


def command(config: Config) -> str:
    """The command line that trains this configuration again: what differs from the recipe's defaults."""
    words = ["jaxattn", "train"]
    for name, value in changed(config):
        words += [] if without_effect(config, name) else setting(name, value)
    return shlex.join(words)


def changed(config: Config) -> Iterator[tuple[str, Any]]:
    """The fields that differ from their defaults, with their values; always the data set.

    A recipe from a file is not named; the settings that it changes are.
    """
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        of_file = field.name == "recipe" and is_file(config.recipe)
        if field.name == "dataset" or (value != default(config, field) and not of_file):
            yield field.name, value


def setting(name: str, value: Any) -> list[str]:
    """The words of a command line that give a setting this value; for True, the flag alone."""
    return [flag(name)] if value is True else [flag(name), str(value)]


def flag(name: str) -> str:
    """The flag of a setting, such as "--batch-size"."""
    return "--" + name.replace("_", "-")


def default(config: Config, field: dataclasses.Field) -> Any:
    """The value of a field of `Config` if it is not given: the recipe's, or the field's own."""
    return defaults(config.network, config.recipe).get(field.name, field.default)
