"""The commands, and `jaxattn`, which runs them: `jaxattn train` is the same as `python -m jaxattn.train`."""

import argparse
import importlib
import os
import sys
from typing import NamedTuple

from jaxattn import __version__
from jaxattn.cli.columns import columns
from jaxattn.cli.command import run_command
from jaxattn.errors import InputError, lookup

SHELLS = ("bash", "zsh", "fish")
COMPLETION = "--print-completion"


class Command(NamedTuple):
    """A command.

    Attributes:
        module: the module with its `main` and its `parser`.
        about: what it does, in a line.
    """

    module: str
    about: str


COMMANDS = {
    "train": Command("jaxattn.train", "train a network, with or without attention, into a run folder"),
    "compare": Command("jaxattn.comparison.__main__", "train variants over seeds, and judge whether a module helped"),
    "report": Command("jaxattn.report.__main__", "write a run, or several side by side, as one HTML page"),
    "visualize": Command("jaxattn.visualize", "draw a run's maps, gates and curves as PNG and SVG"),
    "robustness": Command("jaxattn.robustness.__main__", "test a comparison's networks on other images"),
    "predict": Command("jaxattn.predict", "classify images, and explain the predictions"),
    "export": Command("jaxattn.export", "write a run's network for other programs"),
    "modules": Command("jaxattn.modules", "list the attention modules"),
    "networks": Command("jaxattn.networks.__main__", "list the networks"),
    "data": Command("jaxattn.data.__main__", "list the data sets, and the cache"),
    "doctor": Command("jaxattn.doctor", "print what a bug report needs"),
}


def main() -> None:
    """The command `jaxattn`: runs the command that its first argument names, or lists them all."""
    if not sys.flags.safe_path:
        sys.path.append(os.getcwd())  # finds `mine:Module` as `python -m` does, and hides no installed package
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv = [f"jaxattn {name}", *sys.argv[2:]]
        run_command(importlib.import_module(COMMANDS[name].module).main)
    run_command(_answer)


def _answer(arguments: list[str]) -> None:
    """Answers a command line that names no command.

    Raises:
        InputError: if the command or the shell is unknown.
    """
    name, *rest = arguments or ["--help"]
    if name == "--version":
        print(f"jaxattn {__version__}")
    elif name == COMPLETION:
        import argcomplete

        if len(rest) != 1 or rest[0] not in SHELLS:
            raise InputError(f"{COMPLETION} takes one of {', '.join(SHELLS)}, got {' '.join(rest) or 'nothing'}")
        print(argcomplete.shellcode(["jaxattn"], shell=rest[0]))
    elif name in ("-h", "--help"):
        print("usage: jaxattn COMMAND ...\n")
        print(columns([(f"  {one}", command.about) for one, command in COMMANDS.items()]))
        print(f"\n  jaxattn COMMAND --help lists its flags. Tab completion: {COMPLETION} {{{','.join(SHELLS)}}}")
    else:
        lookup("command", name, COMMANDS)


def _complete() -> None:
    """Answers the shell's request for completions; does not return."""
    import argcomplete

    line = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
    words = [*line.split(), *([""] if line.endswith(" ") else [])]  # the last is being typed
    if len(words) > 2 and words[1] in COMMANDS:
        os.environ["_ARGCOMPLETE"] = "2"  # the word at which the parser's words begin
        parser = importlib.import_module(COMMANDS[words[1]].module).parser()
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("command", choices=COMMANDS)
        for flag in ("--version", COMPLETION):
            parser.add_argument(flag)
    argcomplete.autocomplete(parser)
