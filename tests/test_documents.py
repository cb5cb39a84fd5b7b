"""What the documents show works as it stands."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxattn import Config, fit, modules
from jaxattn.explain.capture import capture
from jaxattn.runs.console import Console

ROOT = Path(__file__).parents[1]


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.usefixtures("small_network")
def test_module_of_ones_own_from_the_architecture_page_trains_and_its_gate_is_captured(tmp_path, monkeypatch):
    (block,) = python_blocks("ARCHITECTURE.md")
    (tmp_path / "mine.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    config = Config(attention="mine:DeviationGate", dataset="tiny", epochs=1, batch_size=6, augment="none")
    run = fit(config, tmp_path / "run", Console(quiet=True))
    seen = jax.eval_shape(lambda values: capture(run.model, values, jnp.zeros((1, 32, 32, 3))), run.variables)
    assert list(map(str, seen.gates)) == ["block1", "block2", "block3"]
    sys.modules.pop("mine")


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_documents_name_only_files_that_exist(name):
    text = (ROOT / name).read_text()
    for path in re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)`", text):
        found = (ROOT / path).exists() or list((ROOT / "jaxattn").rglob(path))
        assert found or path == "mine.py", path


def test_costs_in_the_readme_are_those_of_the_listing():
    table = re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \| ([\d,]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    written = {name: (int(a.replace(",", "")), int(b.replace(",", ""))) for name, a, b in table}
    counted = {row.name: (row.parameters, row.multiply_adds) for row in modules.rows()}
    assert written.keys() == counted.keys()
    for name, (parameters, multiply_adds) in written.items():
        assert parameters == counted[name][0], name
        # versions of XLA count a few elementwise operations in other ways
        assert multiply_adds == pytest.approx(counted[name][1], rel=0.02), name
