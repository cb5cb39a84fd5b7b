"""Addresses are no paths: wherever a path is given, "gs://bucket/run" is refused and no folder of that name is made."""

import importlib
import sys

import pytest

from jaxattn.cli import commands
from jaxattn.cli.command import run_command
from jaxattn.errors import InputError
from jaxattn.paths import local_path

COMMANDS = (
    "train --dataset shapes --out URL",
    "train --dataset shapes --mirror URL",
    "train --resume URL",
    "train --dataset cifar10 --data-dir URL",
    "train --data-dir URL",
    "train --dataset shapes --init URL",
    "compare URL",
    "compare --attention none se --dataset shapes --out URL",
    "compare --attention none se --dataset shapes --out compared --mirror URL",
    "compare --runs URL --out compared",
    "compare --csv URL",
    "report URL",
    "report RUN --out URL",
    "visualize URL",
    "visualize RUN --out URL",
    "predict URL image.png",
    "predict RUN URL",
    "export URL --to safetensors",
    "export RUN --to safetensors --out URL",
)


@pytest.mark.parametrize("scheme", ["gs://bucket/run", "https://host/run"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_address_is_refused_in_one_line_and_nothing_is_written(
    command, scheme, unfinished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = command.replace("URL", scheme).replace("RUN", str(unfinished)).split()
    monkeypatch.setattr(sys, "argv", words)
    main = importlib.import_module(commands.COMMANDS[words[0]].module).main
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1
    assert f"error: {scheme} is an address, and only paths of this machine can be used" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_no_system_takes_is_one_line_and_nothing_is_written(
    command, unfinished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = command.replace("URL", "n" * 300).replace("RUN", str(unfinished)).split()
    monkeypatch.setattr(sys, "argv", words)
    main = importlib.import_module(commands.COMMANDS[words[0]].module).main
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1 and "File name too long" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["run", "./a:b/c", "C:/run", "~/run", "2026-01-01T10:00:00/run", "/gs:/x"])
def test_paths_of_this_machine_are_left_alone(path):
    assert str(local_path(path)).endswith(path.removeprefix("~").removeprefix("./"))


def test_an_address_whose_slashes_were_merged_is_found():
    with pytest.raises(InputError, match="gs://bucket is an address"):
        local_path("gs:/bucket")
