"""The settings of the process: the library has those of the command, without a home where none is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxattn import runtime

CODE = """
import json, os
import jax
from jaxattn import Config, {name}
from jaxattn.errors import InputError
try:
    {call}
except InputError:
    pass
read = [jax.config.jax_compilation_cache_dir, jax.config.values["jax_cpu_enable_async_dispatch"]]
print(json.dumps([os.environ.get("XLA_FLAGS", ""), *read]))
"""
CALLS = {"fit": "fit(Config(attention='unknown'))", "resume": "resume('nowhere')", "load_run": "load_run('nowhere')"}


def settings_after(name, tmp_path):
    """XLA's flags, the folder of the compile cache and whether programs leave the calling thread, in a new process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_", "XLA_", "HOME"))}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    code = CODE.format(name=name, call=CALLS[name])
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["fit", "resume"])
def test_training_in_the_library_sets_the_compiler_and_its_cache_as_the_command_does(name, tmp_path):
    flags, cache, leaves_the_thread = settings_after(name, tmp_path)
    assert "xla_cpu_disable_slp_vectorizer" in flags
    assert cache == str(tmp_path / "jaxattn" / "compiled" / f"{runtime.usable_cores()}-cores")
    assert not leaves_the_thread


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_programs_for_one_core_are_cached_apart(tmp_path):
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert settings_after("fit", tmp_path)[1].endswith("1-cores")
    finally:
        os.sched_setaffinity(0, cores)


def test_reading_a_run_leaves_the_callers_settings_alone(tmp_path):
    flags, cache, leaves_the_thread = settings_after("load_run", tmp_path)
    assert (flags, cache) == ("", None) and leaves_the_thread


@pytest.mark.parametrize(
    ("version", "emitters", "xnnpack"),
    [
        ("0.7.2", True, True),
        ("0.8.1", True, True),
        ("0.8.2", True, False),
        ("0.10.2", True, False),
        ("0.11.0rc1", False, False),
        ("0.12.0.1", False, False),
    ],
)
def test_the_compiler_is_given_only_flags_that_its_version_knows(monkeypatch, version, emitters, xnnpack):
    monkeypatch.setattr(runtime.importlib.metadata, "version", lambda name: version)
    monkeypatch.setenv("XLA_FLAGS", "--xla_of_the_user=1")
    runtime.compile_faster()
    flags = os.environ["XLA_FLAGS"].split()
    assert flags[0] == "--xla_of_the_user=1"
    assert ("--xla_cpu_use_fusion_emitters=false" in flags) == emitters
    assert ("--xla_cpu_use_xnnpack=false" in flags) == xnnpack
    runtime.compile_faster()
    assert os.environ["XLA_FLAGS"].split() == flags  # a setting that is there already wins


@pytest.mark.colab
def test_a_matrix_that_takes_the_place_of_another_in_memory_is_multiplied_by_itself():
    """In a process that asks JAX for its devices first, where XLA's flags come too late."""
    code = """
import jax
jax.devices()
import jax.numpy as jnp, numpy as np
from jaxattn import runtime
runtime.tune()
x, matrix = jnp.full((256, 2048), 0.01), jnp.ones((2048, 512))
multiply, negate = runtime.jit(jnp.matmul), runtime.jit(lambda matrix: -matrix, donate_argnums=0)
for sign in (1, -1, 1, -1):
    np.testing.assert_allclose(multiply(x, matrix), np.full((256, 512), sign * 20.48), rtol=1e-4)
    matrix = negate(matrix)
"""
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("platform", "reason"), [("cuda", "no such device here"), ("cpuu", "not in the list of known")]
)
def test_a_platform_that_is_not_there_is_one_line(platform, reason):
    code = "from jaxattn import runtime\nfrom jaxattn.cli import command\ncommand.run_command(lambda _: runtime.tune())"
    env = os.environ | {"JAX_PLATFORMS": platform}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith(f"error: JAX cannot use JAX_PLATFORMS={platform}: ")
    assert reason in line and line.endswith("; unset it, or name cpu")
