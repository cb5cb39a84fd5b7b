"""What the console prints, and where the log goes."""

import io
import logging
import sys
import types
from types import SimpleNamespace

import pytest
import rich.console

from jaxattn.errors import InputError, Interrupted
from jaxattn.runs.console import Console

LOG = logging.getLogger("jaxattn")


def test_the_log_is_printed_while_a_console_shows_it_and_left_alone_before_and_after(capsys, caplog):
    text = f"preparing {'a/long/path/' * 20} [once]"
    before = LOG.level, LOG.propagate, list(LOG.handlers)
    console = Console()
    LOG.warning("not printed here")
    with console.showing_log(), Console().showing_log():  # once, where two would
        LOG.info(text)
    assert capsys.readouterr().out == f"{text}\n"
    assert (LOG.level, LOG.propagate, list(LOG.handlers)) == before
    assert [record.getMessage() for record in caplog.records] == ["not printed here"]
    with Console(quiet=True).showing_log():
        LOG.warning("nobody hears it")
    assert capsys.readouterr().out == ""


def test_a_log_line_is_printed_once_whatever_other_packages_do_to_the_root_logger(capsys):
    root, handler = logging.getLogger(), logging.StreamHandler()
    root.addHandler(handler)
    try:
        with Console().showing_log():
            LOG.info("downloading")
        printed = capsys.readouterr()
        assert printed.out == "downloading\n" and printed.err == ""
    finally:
        root.removeHandler(handler)


def test_without_a_terminal_there_is_no_bar_and_no_markup(capsys):
    console = Console()
    console.line("[bold]epoch[/bold] 1", style="bold")
    with console.bar(2, 10) as progress:
        progress(1, 5)
    assert capsys.readouterr().out == "[bold]epoch[/bold] 1\n"


def test_the_bar_counts_the_steps_of_the_whole_run(monkeypatch):
    console = Console()
    console._console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=100)
    with console.bar(4, 25) as progress:
        progress(3, 5)
        console._console.file.truncate(0)
        progress(3, 5)
    printed = console._console.file.getvalue()
    assert "epoch 3/4" in printed and "55/100" in printed


@pytest.fixture
def notebook(monkeypatch):
    """A notebook's kernel; gives the texts that are shown in place of a cell's output."""

    class ZMQInteractiveShell:
        pass

    shown = []
    output = SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))
    display = SimpleNamespace(display=lambda data, raw, display_id: output.update(data, raw) or output)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_a_notebook_is_no_terminal_although_it_says_so(notebook, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    console = Console()
    console.line("epoch 1", style="bold")
    console.note("for a person who waits at a terminal")
    printed = capsys.readouterr().out
    assert "epoch 1" in printed and "\x1b" not in printed and "waits" not in printed


def test_in_a_notebook_the_bar_is_one_output_that_is_replaced(notebook, monkeypatch, capsys):
    times = iter([0.0, 10.0, 10.1, 20.0])
    monkeypatch.setattr("jaxattn.runs.console.time", types.SimpleNamespace(monotonic=lambda: next(times)))
    console = Console()
    with console.bar(2, 10) as progress:
        progress(1, 1)  # too early to say
        progress(1, 5)
        progress(1, 6)  # too soon after
        console.line("epoch 1")
        progress(2, 5)
    assert capsys.readouterr().out == "epoch 1\n"
    assert notebook == [
        "compiling",
        "epoch 1/2 [#######.......................] 38 s left",
        "epoch 2/2 [######################........] 7 s left",
        "",
    ]


def test_a_notebook_shows_one_line_for_wrong_input_and_for_an_interrupt():
    assert InputError("epochs must be >= 1, got 0")._render_traceback_() == ["error: epochs must be >= 1, got 0"]
    stopped = "stopped; 3 complete epochs are kept in runs/a; run the cell again to resume"
    assert Interrupted("runs/a", 3)._render_traceback_() == [stopped]
