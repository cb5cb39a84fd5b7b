"""What the console prints, and where the log goes."""

import logging

from jaxattn.runs.console import Console

LOG = logging.getLogger("jaxattn")


def test_the_log_goes_to_the_console_that_was_created_last(capsys):
    text = f"preparing {'a/long/path/' * 20} [once]"
    for _ in range(2):  # a second one in a process gets the lines, once each
        Console()
        LOG.info(text)
        assert capsys.readouterr().out == f"{text}\n"
    Console(quiet=True)
    LOG.warning("nobody hears it")
    assert capsys.readouterr().out == ""


def test_a_log_line_is_printed_once_whatever_other_packages_do_to_the_root_logger(capsys):
    root, handler = logging.getLogger(), logging.StreamHandler()
    root.addHandler(handler)
    try:
        Console()
        LOG.info("downloading")
        printed = capsys.readouterr()
        assert printed.out == "downloading\n" and printed.err == ""
    finally:
        root.removeHandler(handler)


def test_without_a_terminal_there_is_no_bar_and_no_markup(capsys):
    console = Console()
    console.line("[bold]epoch[/bold] 1", style="bold")
    with console.bar("epoch 1/2", 10) as progress:
        progress(5)
    assert capsys.readouterr().out == "[bold]epoch[/bold] 1\n"
