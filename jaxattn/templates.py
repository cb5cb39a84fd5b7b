"""Jinja environments for the folder `templates` of a package: for pages and for texts."""

import functools
import json
import os
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def pages(*packages: str) -> "Environment":
    """For HTML, with the templates of several packages: values are escaped."""
    environment = _environment(*packages, autoescape=True)
    environment.filters["percent"] = lambda value, digits=0: f"{100 * value:.{digits}f}%"
    environment.filters["duration"] = _duration
    environment.filters["shell"] = shlex.quote
    environment.filters["a"] = lambda noun: f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
    return environment


@functools.cache
def texts(package: str) -> "Environment":
    """For Markdown."""
    environment = _environment(package, keep_trailing_newline=True)
    environment.filters["basename"] = os.path.basename
    environment.filters["plain"] = _plain
    environment.filters["linked"] = _linked
    environment.filters["code"] = lambda text: " ".join(text.replace("`", "'").split())  # between backticks
    environment.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)  # as YAML reads it, too
    return environment


def _environment(*packages, **options):
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package, "templates") for package in packages])
    return Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options)


def _plain(text):
    """A text that others wrote, in Markdown: neither markup nor HTML, on one line."""
    return _escaped(" ".join(text.split()))


def _escaped(text):
    html = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]>#|~!$])", r"\\\1", html)


def _linked(text):
    """The same, but links are kept."""
    parts = re.split(r"(https?://[^\s<>]*[\w/])", " ".join(text.split()))
    return "".join(f"<{part}>" if number % 2 else _escaped(part) for number, part in enumerate(parts))


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
