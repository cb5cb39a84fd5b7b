"""What the documents show works as it stands."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import tiny

from jaxattn import ATTENTION, Config, fit, modules, networks
from jaxattn.attention import registry
from jaxattn.data import DATASETS
from jaxattn.explain.capture import capture
from jaxattn.runs.console import Console
from jaxattn.training import program

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


def test_network_of_ones_own_from_its_guide_trains_with_attention(tmp_path, monkeypatch, quiet):
    (block,) = [block for block in python_blocks("docs/guides/network.md") if "(Network)" in block]
    (tmp_path / "guide_network.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset())
    monkeypatch.setattr(program, "create", networks.create)  # not the tests' small network
    options = tiny.CONFIG | {"network": "guide_network:Small", "attention": "se", "epochs": 1, "norm_bias_rate": 1.0}
    run = fit(Config(**options), tmp_path / "run", quiet)
    assert run.acts_on["weight_decay"][-1] == "stem/kernel" and run.result["epochs"] == 1


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_documents_name_only_files_that_exist(name):
    text = (ROOT / name).read_text()
    for path in re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)`", text):
        found = (ROOT / path).exists() or list((ROOT / "jaxattn").rglob(path))
        assert found or path == "mine.py", path


def test_measured_costs_are_of_what_the_listing_has():
    text = (ROOT / "docs" / "performance.md").read_text()
    table = re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \| ([\d,]+) \|", text, re.MULTILINE)
    written = {name: (int(a.replace(",", "")), int(b.replace(",", ""))) for name, a, b in table}
    counted = {row.name: (row.parameters, row.multiply_adds) for row in modules.rows()}
    assert written.keys() == counted.keys()
    for name, (parameters, multiply_adds) in written.items():
        assert parameters == counted[name][0], name
        # versions of XLA count a few elementwise operations in other ways
        assert multiply_adds == pytest.approx(counted[name][1], rel=0.02), name


def test_the_listing_has_every_module_with_its_costs(capsys):
    modules.main([])
    lines = capsys.readouterr().out.splitlines()
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[1:-1]]
        for cells in (line.split("|") for line in lines)
        if len(cells) > 3
    }
    assert rows.keys() >= ATTENTION.keys() - {"none"} == {name for group in registry.GROUPS.values() for name in group}
    assert {len(row) for row in rows.values()} == {6}
    assert rows["se"][1] == f"{sum(2 * C * C // 16 for C in (32, 64, 128)):,}"
    assert "the plain network has 1,147,914 parameters" in " ".join(lines)


def test_the_listing_counts_hidden_units_by_the_reduction(monkeypatch):
    monkeypatch.setattr(registry, "GROUPS", {"channels": ("se",)})
    (one,), (other,) = (modules.rows(reduction) for reduction in (8, 16))
    assert one.parameters == 2 * other.parameters
