"""`jaxattn train` as a process: what it prints, its exit codes, and that it survives being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import pytest
import tiny

from jaxattn import load_run, train
from jaxattn.cli.command import run_command
from jaxattn.config import Config

ROOT = Path(__file__).parents[1]
# A batch that makes an epoch short, but long enough to be killed in.
FLAGS = ["--no-report", "--dataset", "cifar10", "--batch-size", "24", "--attention", "--dropout", "0.2"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tiny.folder(tmp_path_factory.mktemp("data"))


def environment():
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
    }


# The background job of a shell ignores SIGINT, and its children inherit that: this undoes it.
HEED_SIGINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def start(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-c", HEED_SIGINT, "-m", "jaxattn.train", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=cwd,
    )  # fmt: skip


def run(*arguments, cwd):
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def timeless(metrics):
    return [{k: v for k, v in line.items() if not k.endswith(("seconds", "_second", "_share"))} for line in metrics]


@pytest.fixture(scope="module")
def flags(data_dir):
    return [*FLAGS, "--data-dir", data_dir, "--epochs", 4, "--schedule", "plateau", "--plateau-patience", 0]


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """A run that nothing disturbed, in the default folder, and what it printed."""
    cwd = tmp_path_factory.mktemp("whole")
    code, out, err = run(*flags, cwd=cwd)
    assert (code, err) == (0, "")
    (folder,) = (cwd / "runs").iterdir()
    return folder, out


def test_killed_at_any_moment_and_resumed_a_run_ends_with_the_same_bytes(tmp_path, flags, whole):
    folder = tmp_path / "killed"
    moments = [
        (folder / "metrics.jsonl").exists,  # in the first epoch
        lambda: list(
            (folder / "checkpoints").glob("epoch-1.*")
        ),  # while the first checkpoint is written, or just after
        (folder / "checkpoints" / "epoch-2.safetensors").exists,  # before anything is deleted
        lambda: len((folder / "metrics.jsonl").read_text().splitlines()) == 3,  # a line whose checkpoint is missing
    ]
    arguments = [*flags, "--out", folder]
    for moment in moments:
        process = start(*arguments, cwd=tmp_path)
        wait_for(moment, process)
        process.kill()
        process.communicate()
        arguments = ["--resume", folder, "--no-report"]
    code, _, err = run(*arguments, cwd=tmp_path)
    assert code == 0, err
    for which in ("best", "last"):
        expected, killed = load_run(whole[0], which), load_run(folder, which)
        assert timeless(expected.metrics) == timeless(killed.metrics)
        chex.assert_trees_all_equal(expected.variables, killed.variables)
    states = [sorted(path.name for path in (f / "checkpoints").iterdir()) for f in (whole[0], folder)]
    assert states[0] == states[1]  # nothing half written is left over


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_run_says_how_to_resume(tmp_path, data_dir, number, code):
    folder = tmp_path / "run"
    process = start(*FLAGS, "--data-dir", data_dir, "--epochs", 500, "--out", folder, cwd=tmp_path)
    wait_for((folder / "checkpoints" / "epoch-1.safetensors").exists, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code
    stopped, hint = out.splitlines()[-1].split("; ", 1)
    assert stopped == "stopped" and hint.endswith(
        f"complete epochs are kept in {folder}; resume with: jaxattn train --resume {folder}"
    )
    assert err == ""


def test_output_without_a_terminal_has_a_line_an_epoch_and_no_codes(whole):
    folder, out = whole
    lines = out.splitlines()
    assert "\x1b" not in out and "\r" not in out
    assert "attention se, 1,150,602 parameters, on" in lines[0]
    assert "144 training images, 16 validation, 40 test" in lines[1]
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/4", "2/4", "3/4", "4/4"]
    assert lines[-2].startswith("test accuracy ")
    assert folder.name.endswith("-cifar10-se-s0") and lines[-1] == f"everything is in runs/{folder.name}"
    assert json.loads((folder / "result.json").read_text())["epochs"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attention", "foo"], "unknown attention 'foo'; known are none, se"),
        (["--dataset", "mnist"], "unknown dataset 'mnist'; known are cifar10, cifar100,"),
        (["--learning-rat", "1"], "unknown flag --learning-rat; known are --accept-changed-code,"),
        (["--epochs", "0"], "epochs must be >= 1, got 0"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["--dataset", "shapes", "--distributed"], "cannot join the other processes: "),
        (["--precision", "half"], "unknown precision 'half'; known are float32, bf16"),
        (["--dropout", "1"], "dropout must be >= 0 and < 1, got 1.0"),
        (
            ["--dataset", "cifar10", "--data-dir", "pyproject.toml"],
            f"{ROOT / 'pyproject.toml'} must be a folder or archive (.tar.gz) of cifar10",
        ),
        (["--resume", "nowhere"], "nowhere holds no run"),
        (
            ["--dataset", "shapes", "--schedule", "step"],
            "unknown schedule 'step'; known are plateau, cosine, linear, steps, constant",
        ),
        (["--resume", "nowhere", "--seed", "1"], "--resume takes its flags from the run"),
        (
            ["--dataset", "shapes", "--plateau-patience", "0"],
            "plateau_patience acts only if schedule is plateau, it is linear; leave it out (--plateau-patience)",
        ),
        (
            ["--momentum", "0.5", "--recipe", "original"],
            "momentum acts only if optimizer is sgd or momentum, it is adam",
        ),
        (["--resume", "gs://bucket/run"], "gs://bucket/run is an address, and only paths"),
        (["--dataset", "shapes", "--augment", "heavy"], "unknown augment 'heavy'; known are none, basic, full"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as caught:
        run_command(train.main)
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"error: {message}")


def test_help_shows_every_field_with_its_default(capsys):
    with pytest.raises(SystemExit) as caught:
        train.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in Config.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in text
    assert "default: standard" in text and "cifar10, cifar100, fashion-mnist" in text


def test_reading_starts_before_jax_is_imported():
    code = (
        "import sys, dataclasses; from jaxattn import train; dataset = train.DATASETS['cifar10']; "
        "early = lambda folder: (print(folder, 'jax' in sys.modules), sys.exit()); "
        "train.DATASETS['cifar10'] = dataclasses.replace(dataset, prepare=early); train.main(['--data-dir', 'here'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "here False\n"
