"""Several devices and several processes train as one device does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
import tiny

from jaxattn import Config, fit
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
from jaxattn.runs import checkpoint
from jaxattn.runs.console import Console
from jaxattn.training import devices

HERE = Path(__file__).parent


def start(folder, epochs=2, **variables):
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    path = os.pathsep.join(map(str, (HERE.parent, HERE)))
    return subprocess.Popen(
        [sys.executable, str(HERE / "several_devices.py"), str(folder), str(epochs)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | cache | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"} | variables,
    )  # fmt: skip


def printed(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [line for line in out.splitlines() if not line.startswith("[Gloo]")]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one-device")
    printed(start(folder))
    return folder


def assert_same(folder, process, one_device, devices):
    count, metrics, result = json.loads((folder / f"process-{process}.json").read_text())
    _, plain_metrics, plain_result = json.loads((one_device / "process-0.json").read_text())
    assert count == devices
    for ours, plain in zip([*metrics, result], [*plain_metrics, plain_result], strict=True):
        for name in ours.keys() & {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss"}:
            assert ours[name] == pytest.approx(plain[name], rel=1e-4), name
    with np.load(folder / f"process-{process}.npz") as weights, np.load(one_device / "process-0.npz") as plain:
        for name in plain.files:
            # Adam makes steps of the rounding noise that is the gradient of a bias before a norm, whose mean follows
            if not name.endswith(("['conv']['bias']", "['mean']")):
                np.testing.assert_allclose(weights[name], plain[name], atol=1e-4, err_msg=name)


def test_eight_devices_train_as_one(tmp_path, one_device):
    lines = printed(start(tmp_path, XLA_FLAGS="--xla_force_host_platform_device_count=8"))
    assert "on 8 x cpu" in lines[0]
    assert_same(tmp_path, 0, one_device, devices=8)


def two_processes(folder, epochs=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    variables = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    return [start(folder, epochs, **variables, JAX_PROCESS_ID=str(number)) for number in (0, 1)]


def test_where_the_first_of_two_processes_is_stopped_both_end_within_seconds(tmp_path):
    first, second = both = two_processes(tmp_path, epochs=100_000)
    try:
        lines = tmp_path / "run" / "metrics.jsonl"
        while not (lines.exists() and lines.stat().st_size):
            assert [process.poll() for process in both] == [None, None]
            time.sleep(0.05)
        first.send_signal(signal.SIGINT)
        _, errors = second.communicate(timeout=60)
        assert "process 0 stopped; this one stops, too\n" in errors and second.returncode == 1
        first.communicate(timeout=60)
    finally:
        for process in both:
            process.kill()


def test_two_processes_train_as_one_and_the_first_alone_writes_and_prints(tmp_path, one_device):
    first, second = map(printed, two_processes(tmp_path))
    assert "on 2 x cpu" in first[0] and second == []
    for process in (0, 1):
        assert_same(tmp_path, process, one_device, devices=2)
    files = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert files == sorted(path.name for path in (one_device / "run").iterdir())


def test_checkpoint_of_two_processes_is_restored_on_one_device(tmp_path):
    state = {"step": jax.numpy.int32(3), "weights": jax.numpy.arange(6.0).reshape(2, 3)}
    checkpoint.save(tmp_path, 1, jax.device_get(state), {1})
    restored = checkpoint.restore(tmp_path, 1, jax.eval_shape(lambda: state))
    chex.assert_trees_all_equal(state, restored)


def test_batch_that_cannot_be_sharded_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset())
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    with pytest.raises(InputError, match="a multiple of the 8 devices, got 20; choose 16 or 24, or show") as caught:
        fit(Config(dataset="tiny", batch_size=20), tmp_path / "run", Console(quiet=True))
    assert caught.value.setting == "batch_size" and not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="got 3; choose 8, or show"):
        devices.check_batch(3)
