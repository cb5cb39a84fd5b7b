"""The vital signs of gates after each epoch: kept, resumed, copied, drawn."""

import json

import numpy as np
import pytest
import tiny

from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.explain.analysis import Analysis
from jaxattn.explain.gate_history import FILE, read_history, write_history
from jaxattn.explain.gates import Signs
from jaxattn.observers.archive import pack, read_files
from jaxattn.observers.gate_history import GateHistory
from jaxattn.plots import canvas, gates_by_depth
from jaxattn.runs.fit import fit, resume
from jaxattn.runs.run import load_run

SIGNS = Signs(0.5, 0.05, 0.03, 0.1, 0.64, 0.0, 0.0, 0.2, 30.0, 32.0)


@pytest.mark.usefixtures("small_network")
def test_a_run_keeps_the_signs_of_each_epoch_and_a_resumed_one_continues_them(tmp_path):
    run = fit(Config(**tiny.CONFIG | {"attention": "se"}), tmp_path / "run", observers=[GateHistory()])
    history = read_history(run.folder, 2)
    assert list(history) == [1, 2] and list(history[1]) == ["block1", "block2", "block3"]
    analysis = Analysis(load_run(run.folder), tiny.splits().test)
    for gate, one in analysis.signs.items():  # of all test images, which are fewer than 1,000
        np.testing.assert_allclose(history[2][str(gate)], one, rtol=1e-4, atol=1e-6)
    assert list(analysis.gate_history) == [1]
    first = (run.folder / FILE).read_text().splitlines()[0]
    write_history(run.folder, history | {3: history[1]})  # of an epoch that is trained again
    resume(run.folder, epochs=3, observers=[GateHistory()])
    again = read_history(run.folder, 3)
    assert list(again) == [1, 2, 3] and again[3] != history[1]
    assert (run.folder / FILE).read_text().splitlines()[0] == first
    assert FILE in read_files(pack(run.folder), run.folder, 3)


def test_without_gates_there_is_a_line_that_names_none(tmp_path):
    write_history(tmp_path, {1: {}})
    assert read_history(tmp_path, 1) == {1: {}}
    assert read_history(tmp_path / "none", 1) == {}


@pytest.mark.parametrize(
    "text",
    ["{", "[]\n", '{"epoch": 1}\n', '{"epoch": 1, "gates": []}\n', '{"epoch": 1, "gates": {"a": {"mean": 1}}}\n',
     json.dumps({"epoch": 1, "gates": {"a": SIGNS._asdict() | {"mean": "0.5"}}}),
     '{"epoch": "1", "gates": {}}\n', '{"epoch": 0, "gates": {}}\n', '{"epoch": 1, "gates": {}}\n' * 2],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=r"gate_history\.jsonl is damaged; delete it$"):
        read_history(tmp_path, 1)


def test_the_plot_has_each_epoch_by_depth():
    signs = {"block1": SIGNS, "block2": SIGNS._replace(within_class=0.05)}
    history = {1: {"block1": SIGNS._replace(between_images=0.0, within_class=0.0)}, 2: signs}
    between, within = gates_by_depth.draw(signs, history, "run").axes
    assert [line.get_label() for line in between.lines] == ["epoch 1", "epoch 2", "now"]
    np.testing.assert_allclose(between.lines[2].get_ydata(), [0.04, 0])  # 3, 4, 5
    np.testing.assert_allclose(within.lines[2].get_ydata(), [0.03, 0.05])
    assert between.get_ylim() == within.get_ylim() and within.get_ylim()[1] > 0.05
    np.testing.assert_allclose(between.lines[0].get_ydata(), [0, np.nan])
    with pytest.raises(canvas.NothingToDrawError):
        gates_by_depth.draw({}, {}, "run")
