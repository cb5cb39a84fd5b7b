"""The settings of the process: the library has those of the command, without a home where none is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, os
import jax
from jaxattn import Config, {name}
from jaxattn.errors import InputError
try:
    {call}
except InputError:
    pass
print(json.dumps([os.environ.get("XLA_FLAGS", ""), jax.config.jax_compilation_cache_dir]))
"""
CALLS = {"fit": "fit(Config(attention='unknown'))", "load_run": "load_run('nowhere')", "resume": "resume('nowhere')"}


@pytest.mark.parametrize("name", CALLS)
def test_the_library_sets_the_compiler_and_its_cache_as_the_command_does(name, tmp_path):
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
    flags, cache = json.loads(ended.stdout.splitlines()[-1])
    assert "xla_cpu_disable_slp_vectorizer" in flags
    assert cache == str(tmp_path / "jaxattn" / "compiled")
