"""What MkDocs calls while it builds: pages that are made from the code, and from nothing else."""

import argparse
import functools
import importlib
import os
from pathlib import Path

from mkdocs.structure.files import File

os.environ.pop("TFDS_DATA_DIR", None)  # a page shows no folder of the machine that it is built on

from module_pages import pages, path

from jaxattn import describe, modules
from jaxattn.attention.registry import GROUPS
from jaxattn.cli.commands import COMMANDS

WIDTH = 78  # characters that a page shows without scrolling
MODULES = "Attention modules"
COMPLETION = (
    'Tab completion of commands, flags and their values: put `eval "$(jaxattn --print-completion bash)"` into '
    "`~/.bashrc`, the same with `zsh` into `~/.zshrc` below `compinit`, or "
    "`jaxattn --print-completion fish | source` into `~/.config/fish/config.fish`."
)
if not describe.EXPERIMENTS.is_dir():
    raise SystemExit("the pages need the results in experiments/: install the checkout with pip install -e '.[docs]'")
PUBLIC = Path(__file__).parents[1] / "tests" / "public_api.txt"


def on_config(config):
    """Puts a page for each module into the navigation, group by group."""
    (entry,) = (one for one in config.nav if MODULES in one)
    entry[MODULES] += [
        {group[0].upper() + group[1:]: [{name: path(name)} for name in names]} for group, names in GROUPS.items()
    ]


def on_files(files, config):
    """Adds the pages that are made from the code."""
    for name, text in _made().items():
        files.append(File.generated(config, name, content=text))


def on_page_markdown(markdown, **event):
    """Puts the list of public names where a page asks for it."""
    return markdown.replace("PUBLIC_API", f"```text\n{PUBLIC.read_text()}```")


@functools.cache
def _made():
    """All pages by path: computed once, and kept while `mkdocs serve` builds again."""
    return pages(modules.rows()) | {"reference/commands.md": _commands()}


def _commands():
    parts = ["# Commands", "What `jaxattn COMMAND --help` says.", COMPLETION]
    for name, command in COMMANDS.items():
        parser = importlib.import_module(command.module).parser()
        parser.formatter_class = functools.partial(argparse.HelpFormatter, max_help_position=26, width=WIDTH)
        text = parser.format_help().replace(str(Path.home()), "~")
        parts += [f"## jaxattn {name}", f"{command.about[0].upper()}{command.about[1:]}.", f"```text\n{text}```"]
    return "\n\n".join(parts) + "\n"
