"""What commands make of errors: one line, the flag or command that mends it, and the exit code."""

import pickle
import sys

import pytest

from jaxattn.cli.command import message, run_command
from jaxattn.errors import InputError, Interrupted, UnavailableError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("no such thing"), "no such thing"),
        (InputError("choose another folder", "out"), "choose another folder (--out)"),
        (InputError("choose 16", "batch_size"), "choose 16 (--batch-size)"),
        (
            InputError("free space, then resume", "resume", "runs/x"),
            "free space, then resume (resume with: python -m jaxattn.train --resume runs/x)",
        ),
    ],
)
def test_the_flag_or_command_that_mends_an_error_is_named(error, line):
    assert message(error) == line


@pytest.mark.parametrize("kind", [InputError, UnavailableError])
def test_an_error_keeps_its_setting_when_another_process_gets_it(kind):
    sent = pickle.loads(pickle.dumps(kind("choose another", "out", 3)))
    assert (type(sent), str(sent), sent.setting, sent.value) == (kind, "choose another", "out", 3)


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
        (KeyboardInterrupt(), 130, "", ""),
        (
            Interrupted("runs/x", 3), 130,
            "stopped; 3 complete epochs are kept in runs/x; "
            "resume with: python -m jaxattn.train --resume runs/x\n", "",
        ),
    ],
)  # fmt: skip
def test_exit_codes_and_what_is_printed(monkeypatch, capsys, error, code, out, err):
    assert run(monkeypatch, error) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (out, err)
