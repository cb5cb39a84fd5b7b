"""What the documents show works as it stands."""

import importlib
import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import tiny

from jaxattn import ATTENTION, Config, describe, fit, modules, networks
from jaxattn.attention import registry
from jaxattn.cli.commands import COMMANDS
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
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


def test_the_readme_is_one_screen_to_decide_and_one_to_begin():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 110 and max(map(len, lines)) <= 120
    assert f"{len(ATTENTION) - 1} attention modules" in " ".join(lines)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md"])
def test_what_a_page_links_to_is_there(name):
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_commands_in_the_readme_are_understood():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    words = [line.split() for block in blocks for line in block.splitlines() if line.startswith("jaxattn ")]
    assert len(words) >= 4
    for _, name, *arguments in words:
        importlib.import_module(COMMANDS[name].module).parser().parse_args(arguments)


@pytest.mark.usefixtures("small_network")
def test_the_module_in_the_readme_trains(tmp_path, monkeypatch, quiet):
    (block,) = python_blocks("README.md")
    (tmp_path / "readme_module.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    run = fit(Config(**tiny.CONFIG | {"attention": "readme_module:MyGate", "epochs": 1}), tmp_path / "run", quiet)
    assert run.result["epochs"] == 1


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


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "none"])
def test_every_module_describes_itself(name):
    facts = describe.describe(name, experiments=Path("nowhere"))
    assert facts.summary and facts.formula and facts.paper and facts.source and not facts.measured
    assert [site.shape for site in facts.sites] == [(32, 32, 32), (16, 16, 64), (8, 8, 128)]
    for option in facts.options:
        assert option.about, option
    for site in facts.sites:
        for gate in site.gates.values():
            assert len(gate) == 3 and all(one in (1, axis) for one, axis in zip(gate, site.shape, strict=True))


def test_one_module_is_printed_with_its_verdict_and_the_costs_of_its_group(capsys):
    modules.main(["constant", "--reduction", "8"])
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert "x σ(b)" in out and "block2 16 × 16 × 64 1 × 1 × 64" in words
    assert "* constant 224 29,008 random 5,376" in words and "constant cannot tell: -0.09 points" in words
    (code,) = [part for part in out.split("\n\n") if part.startswith("Without")]
    assert code.splitlines()[1].strip() == "import jax"


def test_code_that_uses_a_module_outside_runs():
    values = {}
    exec(describe.usage("cbam"), values)
    assert values["y"].shape == (8, 16, 16, 64)


@pytest.mark.parametrize("flag", ["--json", "--markdown"])
def test_one_module_has_no_other_form(flag):
    with pytest.raises(InputError, match="plain text"):
        modules.main(["se", flag])
    with pytest.raises(InputError, match="unknown attention module 'sex'; known are se, ese"):
        modules.main(["sex"])


def test_a_module_is_judged_by_the_plan_of_its_study_with_the_baseline_that_this_shares(tmp_path):
    runs = [
        (name, seed, first + 0.01 * (seed % 2)) for name, first in (("none", 0.5), ("se", 0.6)) for seed in range(6)
    ]
    for variant, seed, accuracy in runs:
        folder = tmp_path / ("verdict" if variant == "none" else "table") / f"{variant}-s{seed}"
        folder.mkdir(parents=True)
        result = {"attention": variant, "seed": seed, "test_accuracy": accuracy, "dataset": "shapes", "recipe": "quick"}
        (folder / "result.json").write_text(json.dumps(result))
    (one,) = describe.describe("se", experiments=tmp_path).measured
    assert one.experiment.endswith("/table") and one.n == 6 and one.about == "shapes, recipe quick"
    assert one.sentence.startswith("se helps: +10.0 points")
    (tmp_path / "table" / "se-s5" / "result.json").unlink()
    (one,) = describe.describe("se", experiments=tmp_path).measured
    assert one.n == 5 and "provisional" in one.sentence
    assert describe.describe("eca", experiments=tmp_path).measured == ()
    for folder in tmp_path.glob("verdict/none-*"):
        (folder / "result.json").unlink()
    assert describe.describe("se", experiments=tmp_path).measured == ()
