"""What commands make of errors: one line, the flag or command that mends it, and the exit code."""

import importlib
import os
import pickle
import subprocess
import sys

import pytest

from jaxattn.cli.command import message, run_command
from jaxattn.cli.commands import COMMANDS
from jaxattn.cli.parser import Parser
from jaxattn.errors import InputError, Interrupted, UnavailableError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("no such thing"), "no such thing"),
        (InputError("choose another folder", "out"), "choose another folder (--out)"),
        (InputError("choose 16", "batch_size"), "choose 16 (--batch-size)"),
        (
            InputError("free space, then resume", "resume", "runs/x"),
            "free space, then resume (resume with: jaxattn train --resume runs/x)",
        ),
        (InputError("mount it", "resume", "my runs/x"), "mount it (resume with: jaxattn train --resume 'my runs/x')"),
        (InputError("mount it", "resume"), "mount it (--resume)"),
    ],
)
def test_the_flag_or_command_that_mends_an_error_is_named(error, line):
    assert message(error) == line


@pytest.mark.parametrize("kind", [InputError, UnavailableError])
def test_an_error_keeps_its_setting_when_another_process_gets_it(kind):
    sent = pickle.loads(pickle.dumps(kind("choose another", "out", 3)))
    assert (type(sent), str(sent), sent.setting, sent.value) == (kind, "choose another", "out", 3)


def stopped(folder, options):
    error = Interrupted(folder, 3)
    error.options = options
    return error


def run(monkeypatch, error):
    def main(arguments):
        if error is not None:
            raise error

    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    return caught.value.code


@pytest.mark.parametrize(
    ("error", "code", "out", "err"),
    [
        (None, 0, "", ""),
        (InputError("too few", "epochs"), 2, "", "error: too few (--epochs)\n"),
        (InputError("no\nfile \x1b[31m\ud800 \u2028x", "out"), 2, "", "error: no file \\x1b[31m\\ud800  x (--out)\n"),
        (KeyboardInterrupt(), 130, "", ""),
        (
            Interrupted("runs/x", 3), 130,
            "stopped; 3 complete epochs are kept in runs/x; "
            "resume with: jaxattn train --resume runs/x\n", "",
        ),
        (
            stopped("my runs", ("--tensorboard", "--mirror", "a b")), 130,
            "stopped; 3 complete epochs are kept in my runs; "
            "resume with: jaxattn train --resume 'my runs' --tensorboard --mirror 'a b'\n", "",
        ),
    ],
)  # fmt: skip
def test_exit_codes_and_what_is_printed(monkeypatch, capsys, error, code, out, err):
    assert run(monkeypatch, error) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (out, err)


def test_the_traceback_is_printed_after_the_line_where_asked(monkeypatch, capsys):
    def main(arguments):
        parser.parse_args(arguments)
        try:
            raise ZeroDivisionError("in my module")
        except ZeroDivisionError as error:
            raise InputError("my module failed") from error

    parser = Parser(prog="command")
    for arguments, lines in (([], 1), (["--traceback"], 9)):
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        with pytest.raises(SystemExit):
            run_command(main)
        printed = capsys.readouterr().err.splitlines()
        assert printed[0] == "error: my module failed" and len(printed) >= lines
        assert any("ZeroDivisionError: in my module" in line for line in printed) == bool(arguments)
    assert vars(parser.parse_args(["--traceback"])) == {}


@pytest.mark.parametrize("command", ["train", "compare", "visualize", "report", "predict", "export"])
def test_every_command_that_takes_a_run_can_print_the_traceback(command):
    text = importlib.import_module(COMMANDS[command].module).parser().format_help()
    assert "--traceback" in text


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.of_a_notebook", "agk"])
def test_commands_draw_whatever_backend_the_environment_names(tmp_path, backend):
    code = """
from jaxattn.cli.command import run_command
from jaxattn.plots import canvas
run_command(lambda arguments: print(len(canvas.encode(canvas.figure("title", "caption", (2, 2))))))
"""
    env = os.environ | {"MPLBACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stderr) == (0, "") and int(done.stdout) > 1000
