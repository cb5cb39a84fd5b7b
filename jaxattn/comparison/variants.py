"""Variants of a comparison, by name: attention and the settings in which it differs, such as `se@3:reduction=4`.

`NAME@PLACE:SETTING=VALUE,...`: PLACE is `attention_at`; SETTING is any field of the configuration except those that
all runs of a comparison share. `at`, `position` and `start` are short for `attention_at` and so on.
"""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxattn.config import Config
from jaxattn.errors import InputError, first_line
from jaxattn.fields import kind
from jaxattn.limits import read_toml
from jaxattn.report.reproduce import changed

SHORT = {"at": "attention_at", "position": "attention_position", "start": "attention_start"}
COMMON = {"attention", "seed", "dataset", "network", "data_dir", "image_size", "skip_damaged"}  # shared by all variants
MAX_VARIANTS, MAX_NAME = 200, 100  # variants in a comparison, and characters of a name
_SETTINGS = re.compile(r":(?=\s*[a-z_]+=)")  # a name may hold colons, too
_NEXT = re.compile(r",(?=\s*[a-z_]+=)")  # a value may hold commas


class Variant(NamedTuple):
    """A variant of a comparison.

    Attributes:
        attention: its name.
        settings: other fields of the configuration, by name.
    """

    attention: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the variant is called, such as "se@3:reduction=4"."""
        short = {field: name for name, field in SHORT.items()}
        place = self.settings.get("attention_at")
        rest = {short.get(key, key): value for key, value in self.settings.items() if key != "attention_at"}
        text = self.attention if place is None else f"{self.attention}@{place}"
        return f"{text}:{','.join(f'{key}={_text(value)}' for key, value in rest.items())}" if rest else text


def _text(value):
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(text: Any) -> Variant:
    """A variant by its name, or by a class.

    Raises:
        InputError: if a setting is not known, is common to all runs, or has the wrong type.
    """
    if not isinstance(text, str):
        return Variant(Config(attention=text).attention, {})
    if not text.strip().isprintable() or not 0 < len(text.strip()) <= MAX_NAME:
        raise InputError(
            f"a variant must be printable text of at most {MAX_NAME} characters, got {text!r:.80}", "attention"
        )
    head, *rest = _SETTINGS.split(text.strip(), maxsplit=1)
    attention, at, place = (part.strip() for part in head.partition("@"))
    settings = {"attention_at": place} if at else {}
    for part in _NEXT.split(rest[0]) if rest else ():
        key, _, value = (one.strip() for one in part.partition("="))
        if SHORT.get(key, key) in settings:
            raise InputError(f"variant {text!r:.80}: {key} is set twice; leave one out", "attention")
        settings[SHORT.get(key, key)] = value
    return Variant(attention, {key: _value(key, value, text) for key, value in settings.items()})


def _value(key: str, text: str, variant: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(Config) if field.name not in COMMON}
    if key not in fields:
        why = "is common to all runs of a comparison" if key in COMMON else "is no setting of training"
        raise InputError(f"variant {variant!r:.80}: {key} {why}; settings are {', '.join(sorted(fields))}", "attention")
    wanted = kind(fields[key])
    if not text:
        raise InputError(f"variant {variant!r:.80}: {key} has no value", "attention")
    try:
        return {"true": True, "false": False}[text] if wanted is bool else wanted(text)
    except (KeyError, ValueError) as error:
        raise InputError(f"variant {variant!r:.80}: {key} must be {wanted.__name__}, got {text!r:.40}") from error


def config_of(variant: Variant, common: Config, seed: int) -> Config:
    """The configuration of a run: what all runs share, with the variant's own settings.

    If the variant names another recipe, that recipe sets everything that `common` leaves at its defaults.

    Raises:
        InputError: if a setting breaks its rule.
    """
    if "recipe" in variant.settings:
        given = {name: value for name, value in changed(common) if name not in variant.settings}
        common = Config(**{**given, "attention": variant.attention, "recipe": variant.settings["recipe"]})
    return dataclasses.replace(common, seed=seed, **{**variant.settings, "attention": variant.attention})


def distinct_names(configs: Sequence[Config]) -> list[str]:
    """The name of each configuration's variant: its attention, and the settings (but the seed) in which they differ."""
    apart = [
        field.name
        for field in dataclasses.fields(Config)
        if field.name not in COMMON and len({getattr(config, field.name) for config in configs}) > 1
    ]
    short = [Variant(config.attention, {k: v for k, v in changed(config) if k in apart}).name for config in configs]
    whole = [Variant(config.attention, {k: getattr(config, k) for k in apart}).name for config in configs]
    return short if len(set(short)) == len(set(whole)) else whole


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A name for the files and folders of each text: letters, digits, hyphens and what is safe besides.

    Two texts have different names even where upper and lower case are one; a text that comes later changes no name.
    """
    chosen: dict[str, str] = {}
    for text in dict.fromkeys(names):
        name = re.sub(r"[^A-Za-z0-9_.]+", "-", text)
        if name.lower() in {other.lower() for other in chosen.values()}:
            name += "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
        chosen[text] = name
    return chosen


def vary(variants: Iterable[Variant], settings: Sequence[str]) -> list[Variant]:
    """Each variant with each combination of the values, such as "learning_rate=.06,.12", in the given order.

    Raises:
        InputError: as for `parse`, or if a variant has a setting already.
    """
    variants = list(variants)
    for text in settings:
        key, equals, values = text.partition("=")
        key = SHORT.get(key.strip(), key.strip())
        if not equals or not values.strip():
            raise InputError(f"vary must be SETTING=VALUE,VALUE, got {text!r:.80}", "vary")
        if key == "milestones" and "," in values:
            raise InputError("milestones are numbers with commas; name such variants one by one", "vary")
        parsed = [_value(key, value.strip(), text) for value in values.split(",")]
        if any(key in variant.settings for variant in variants):
            raise InputError(f"{key} varies already; leave it out of the names of the variants", "vary")
        pairs = itertools.product(variants, parsed)
        variants = [Variant(one.attention, {**one.settings, key: value}) for one, value in pairs]
    return variants


def read(path: Path) -> list[str]:
    """The names of variants in a TOML file: `variants = ["none", "se@3"]`.

    Raises:
        InputError: if it cannot be read, or holds anything else.
    """
    try:
        values = read_toml(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {first_line(error)}", "variants") from error
    names = values.get("variants")
    if list(values) != ["variants"] or not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise InputError(f'{path} must hold one list of names, variants = ["none", "se"], and nothing else', "variants")
    return names


def named(attention: Sequence[Any], settings: Sequence[str] = (), baseline: str | None = None) -> tuple[Variant, ...]:
    """The variants of a comparison, each once, the baseline first.

    Args:
        attention: names of variants, or classes.
        settings: values that each variant is trained with, as for `vary`.
        baseline: name of a variant; by default the first.

    Raises:
        InputError: as for `parse` and `vary`; and if there are fewer than two, or more than 200, or the baseline is
            none of them.
    """
    variants = {variant.name: variant for variant in vary(map(parse, attention), settings)}
    if not 1 < len(variants) <= MAX_VARIANTS:
        raise InputError(f"a comparison takes 2 to {MAX_VARIANTS} variants, got {len(variants)}", "attention")
    first = next(iter(variants)) if baseline is None else parse(baseline).name
    if first not in variants:
        raise InputError(f"baseline {baseline!r:.80} must be one of the variants: {', '.join(variants)}", "baseline")
    return tuple({first: variants[first], **variants}.values())
