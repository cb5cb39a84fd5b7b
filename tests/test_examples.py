"""Each script in `examples/` does what it says, and is short enough to be read at a glance."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

FOLDER = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.fixture
def example(request, monkeypatch, tmp_path):
    """The example that a test names, imported as from its own folder; files go to another."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module(request.param)
    sys.modules.pop(request.param, None)


def of(name):
    return pytest.mark.parametrize("example", [name], indirect=True)


def test_there_are_five_of_at_most_forty_lines():
    assert NAMES == ["gates_figure", "judge_csv", "own_folder", "own_module", "se_in_flax"]
    for name in NAMES:
        lines = (FOLDER / f"{name}.py").read_text().splitlines()
        assert len(lines) <= 40 and f"python examples/{name}.py" in "\n".join(lines[:5])


@of("own_module")
@pytest.mark.usefixtures("small_network", "no_figures")
def test_a_module_of_ones_own_is_judged(example, capsys, tmp_path):
    example.main(str(tmp_path / "out"), seeds=2, **tiny.CONFIG | {"epochs": 1})
    printed = capsys.readouterr().out
    assert "none: " in printed and "own_module:DeviationGate: " in printed
    assert (tmp_path / "out" / "compare.html").exists()


@of("se_in_flax")
def test_attention_in_a_network_of_ones_own(example):
    weights = example.main()
    assert weights.shape == (4, 1, 1, 32) and 0 < float(weights.min()) < float(weights.max()) < 1


@of("gates_figure")
def test_gates_as_a_figure(example, unfinished, capsys, tmp_path):
    example.main(str(unfinished), str(tmp_path / "gates.png"))
    assert np.ptp(np.asarray(Image.open(tmp_path / "gates.png").convert("L"))) > 100
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["block1", "block2", "block3"] and "by class" in lines[0]


@of("own_folder")
@pytest.mark.usefixtures("small_network")
def test_a_folder_of_ones_own(example, tmp_path, capsys):
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (40, 30), tuple(value + i for value in colour)).save(
                tmp_path / "images" / name / f"{i}.png"
            )
    image = tmp_path / "images" / "red" / "0.png"
    settings = {name: tiny.CONFIG[name] for name in tiny.CONFIG if name not in ("dataset", "epochs", "batch_size")}
    found = example.main(str(tmp_path / "images"), str(image), image_size="32", epochs=1, batch_size=4, **settings)
    assert found in ("red", "blue") and f"{image}: {found} (" in capsys.readouterr().out


@of("judge_csv")
def test_numbers_of_another_program(example, tmp_path, capsys):
    rows = [("none", seed, 0.80 + 0.001 * seed) for seed in range(6)] + [("mine", seed, 0.82) for seed in range(6)]
    text = "variant,seed,accuracy\n" + "".join(f"{name},{seed},{value}\n" for name, seed, value in rows)
    (tmp_path / "results.csv").write_text(text)
    example.main("results.csv")
    printed = capsys.readouterr().out
    assert printed.startswith("mine: +1.75 points (") and "helps" in printed
    (tmp_path / "results.csv").write_text("variant,seed,accuracy\nnone,0,0.8\nmine,0,0.81\nyours,1,0.81\n")
    example.main("results.csv")
    printed = capsys.readouterr().out
    assert "mine: +1.00 points (+nan to +nan)" in printed and "no seed in common with the baseline" in printed
