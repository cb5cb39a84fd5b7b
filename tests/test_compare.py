"""Comparing variants over seeds: what is trained, what is kept, what is refused, and the page."""

import dataclasses
import datetime
import functools
import io
import json
import re
import shutil

import chex
import numpy as np
import pytest
import tiny
from accuracies import trained
from pages import text_of

from jaxattn import Config, fit, load_run
from jaxattn.cli.command import run_command
from jaxattn.comparison import compare as compare_module
from jaxattn.comparison import figures, predictions, results, train
from jaxattn.comparison.compare import compare, of_runs, show
from jaxattn.comparison.outlook import outlook
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.plan_file import read_plan, write_plan
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
from jaxattn.runs import compiled
from jaxattn.runs.failure import Failure
from jaxattn.training import loop, program

pytestmark = pytest.mark.usefixtures("small_network")
FLAGS = tiny.CONFIG | {"epochs": 1}
FAILURE = Failure("the loss stopped being finite", 1, True, {})


@pytest.fixture(scope="module")
def compared(small_network, tmp_path_factory):
    """The folder and the result of a comparison of two variants and two seeds."""
    folder = tmp_path_factory.mktemp("compared") / "c"
    return folder, compare(["none", "se"], 2, folder, **FLAGS)


def test_every_run_is_an_ordinary_run_folder_of_its_variant_and_seed(compared, tmp_path, quiet):
    folder, found = compared
    alone = fit(Config(attention="se", seed=1, **FLAGS), tmp_path / "alone", quiet)
    chex.assert_trees_all_equal(load_run(folder / "se-s1").variables, alone.variables)
    runs = results.of_plan(folder, read_plan(folder))
    assert {name: sorted(of) for name, of in runs.items()} == {"none": [0, 1], "se": [0, 1]}
    assert found.table.rows[1].variant.mean == np.mean([run.result["test_accuracy"] for run in runs["se"].values()])
    assert found.table.rows[1].verdict.text in str(found) and found.verdict.startswith("se ")


def test_same_seeds_start_from_the_same_weights_where_names_agree(compared):
    configs = dict(read_plan(compared[0]).runs())
    assert list(configs) == ["none-s0", "se-s0", "none-s1", "se-s1"]
    params = [
        program.build(configs[name], tiny.SPEC, 1).init(loop.keys(configs[name])[0]).params
        for name in ("none-s1", "se-s1")
    ]
    chex.assert_trees_all_equal(params[0]["block_2"]["conv"], params[1]["block_2"]["conv"])


@pytest.mark.usefixtures("no_figures")
def test_the_same_command_trains_nothing_again_and_more_seeds_extend_it(compared, tmp_path, monkeypatch):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    trained = []
    monkeypatch.setattr(train, "fit", lambda config, *rest: trained.append(config) or fit(config, *rest))
    compare(["none", "se"], 2, folder, **FLAGS)
    assert trained == []
    before = datetime.date.today().isoformat()
    result = compare(["none", "se", "eca"], 3, folder, **FLAGS)
    assert [(config.attention, config.seed) for config in trained] == [
        ("eca", 0), ("eca", 1), ("none", 2), ("se", 2), ("eca", 2)
    ]  # fmt: skip
    (earlier,) = read_plan(folder).earlier
    assert earlier[:2] == ((2,), ("none", "se")) and earlier.planned == (2,)
    assert before <= earlier.date <= datetime.date.today().isoformat()
    assert f"(known before: 2 seeds of none, se, until {earlier.date})" in text_of(result.page.read_text())
    assert result.table.rows[1].verdict.text.count("extended without a plan after 2 seeds on 20") == 1
    with pytest.raises(InputError, match="seeds cannot be reduced"):
        compare(["none", "se"], 2, folder, **FLAGS)


@pytest.mark.usefixtures("no_figures")
def test_runs_are_restored_from_their_mirrors(tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    compare(["none", "se"], 1, tmp_path / "lost", mirror=mirror, **FLAGS)
    assert sorted(path.name for path in mirror.iterdir()) == ["none-s0", "se-s0"]
    monkeypatch.setattr(loop, "_epoch", None)  # nothing is trained again
    compare(["none", "se"], 1, tmp_path / "new", mirror=mirror, **FLAGS)
    for name in ("none-s0", "se-s0"):
        lost, new = (load_run(tmp_path / folder / name).variables for folder in ("lost", "new"))
        chex.assert_trees_all_equal(lost, new)
    with pytest.raises(InputError, match="a mirror works only with the executor here; leave it out"):
        compare(["none", "se"], 1, tmp_path / "new", executor="local", mirror=mirror, **FLAGS)


def test_a_comparison_compiles_each_variant_once(tmp_path, quiet, monkeypatch):
    make = program.make_train_step
    monkeypatch.setattr(program, "make_train_step", lambda *a: chex.assert_max_traces(make(*a), n=1))
    build = compiled.cached_build()
    configs = [Config(attention=name, seed=seed, **FLAGS) for name in ("none", "se") for seed in range(3)]
    assert len({id(build(config, tiny.SPEC, 24)) for config in configs}) == 2
    for seed in range(2):
        fit(Config(seed=seed, **FLAGS), tmp_path / str(seed), quiet, build)  # raises where the step is traced twice


def test_another_configuration_in_the_folder_is_refused_by_name(compared):
    folder, _ = compared
    before = (folder / "compare.json").read_bytes()
    with pytest.raises(InputError, match=r"holds a comparison with learning_rate 0\.001, not 0\.5"):
        compare(["none", "se"], 3, folder, **FLAGS | {"learning_rate": 0.5})
    assert (folder / "compare.json").read_bytes() == before
    with pytest.raises(InputError, match="holds no comparison; choose an empty or a new folder"):
        compare(["none", "se"], 2, folder / "se-s0", **FLAGS)


@pytest.mark.usefixtures("no_figures")
def test_existing_runs_are_compared_and_runs_that_differ_are_refused(compared, tmp_path, quiet):
    folder, _ = compared
    runs = [folder / f"{variant}-s{seed}" for variant in ("none", "se") for seed in (0, 1)]
    found = of_runs(runs, tmp_path / "page")
    assert found.page == tmp_path / "page" / "compare.html" and found.table.looks == ()
    fit(Config(attention="se", seed=4, **FLAGS | {"dropout": 0.25}), tmp_path / "other", quiet)
    found = of_runs([*runs, tmp_path / "other"], tmp_path / "page")
    assert [row.variant.name for row in found.table.rows] == ["none", "se", "se:dropout=0.25"]
    path = tmp_path / "other" / "config.json"
    path.write_text(path.read_text().replace('"network": "cnn"', '"network": "resnet20"'))
    tiny.edit_result(path.parent, network="resnet20")
    with pytest.raises(InputError, match=r"other is of resnet20, .*none-s0 of cnn"):
        of_runs([*runs, tmp_path / "other"], tmp_path / "page")
    before = (folder / "compare.html").read_bytes()
    with pytest.raises(InputError, match="holds a comparison with runs of its own; choose another folder"):
        of_runs(runs, folder)
    assert (folder / "compare.html").read_bytes() == before
    with pytest.raises(InputError, match="hold the same variant and seed"):
        of_runs([*runs, runs[0]], tmp_path / "page")


def test_runs_on_other_images_are_refused(compared, tmp_path):
    other = shutil.copytree(compared[0] / "se-s1", tmp_path / "other")
    values = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(values | {"dataset_hash": "0"}))
    tiny.edit_result(other, dataset_hash="0")
    with pytest.raises(InputError, match=r"none-s0 were trained on other images \(their hash differs\)"):
        of_runs([compared[0] / "none-s0", other], tmp_path / "page")


def test_a_plan_says_what_it_can_show():
    plan = Plan(Config(**FLAGS), ("none", "se"), (8,))
    assert outlook(plan).endswith("16 runs: 2 variants, 8 seeds; where runs vary by 0.25 points (sd), half a point is "
                                  "seen in 96% of comparisons")  # fmt: skip
    assert "4 runs: 2 variants, 2 seeds: too few to show any difference; at least 3" in outlook(
        dataclasses.replace(plan, looks=(2,))
    )
    assert outlook(dataclasses.replace(plan, looks=(6, 8))).startswith("16 runs at most: 2 variants, 6 or 8 seeds")


def test_runs_are_judged_with_margin_failures_sizes_and_images():
    accuracies = trained(0.05, se=0.4, wide_se=0.1)
    del accuracies["se"][3]
    parameters = {"none": 800, "se": 1000, "wide:se": 900}
    runs = {
        name: {
            seed: results.Finished(None, None, {"test_accuracy": value, "parameters": parameters[name]}, [], None)
            for seed, value in scores.items()
        }
        for name, scores in accuracies.items()
    }
    plan = Plan(Config(**FLAGS), ("none", "se", "wide:se"), (8,), margin=0.7)
    row = compare_module._judge(plan, runs, {"se": {3: FAILURE}}, 200).rows[1]
    assert row.verdict.text.endswith(
        "7 of 8 seeds; less than 0.7 points; it also beats the control wide:se (900 parameters; se has 1,000)"
    )
    assert row.difference.images == pytest.approx(0.7714, abs=1e-4)


def test_what_may_have_been_seen_is_recorded_when_a_plan_is_extended(compared):
    folder, config = compared[0], read_plan(compared[0]).config
    for variants, looks, expected in (
        (("none", "se"), (2,), ((2,), 2)),
        (("none", "se", "wide:se"), (2,), ((2,), 2)),  # the control's runs are missing, se has its verdict
        (("none", "se"), (4,), ((), 2)),  # provisional
        (("none", "se"), (1, 4), ((1,), 2)),
        (("none", "wide:se"), (2,), ((), 0)),
        (("none",), (2,), ((), 0)),
    ):
        assert results.seen(folder, Plan(config, variants, looks)) == expected


@pytest.mark.parametrize(
    ("names", "seeds", "reason"),
    [
        (
            ["none", "se"],
            [2, 4],
            "^a look at 2 seeds can no longer be planned: results of 2 seeds are in",
        ),
        (["se", "none"], 3, "was planned with the baseline none, got se; name the same one"),
    ],
)
def test_a_plan_is_not_changed_to_what_was_seen(compared, tmp_path, names, seeds, reason):
    config = read_plan(compared[0]).config
    folder = shutil.copytree(compared[0], tmp_path / "c")
    (folder / "compare.json").unlink()
    shutil.copytree(folder, tmp_path / "runs")
    shutil.rmtree(folder)
    write_plan(folder, Plan(config, ("none", "se"), (3,)), "", lambda plan: ((), 0))
    shutil.copytree(tmp_path / "runs", folder, dirs_exist_ok=True)
    before = (folder / "compare.json").read_bytes()
    with pytest.raises(InputError, match=reason):
        compare(names, seeds, folder, **FLAGS)
    assert (folder / "compare.json").read_bytes() == before


def swapped(folder):
    (folder / "none-s0").rename(folder / "x"), (folder / "se-s0").rename(folder / "none-s0")
    (folder / "x").rename(folder / "se-s0")


def copied(folder):
    shutil.rmtree(folder / "none-s1"), shutil.copytree(folder / "none-s0", folder / "none-s1")


def edited(**change):
    def edit(folder):
        values = json.loads((folder / "se-s1" / "config.json").read_text())
        (folder / "se-s1" / "config.json").write_text(json.dumps(values | change))

    return edit


def wrong_accuracy(folder):
    values = json.loads((folder / "se-s1" / "result.json").read_text())
    tiny.edit_result(folder / "se-s1", test_accuracy=(values["test_accuracy"] + 0.5) % 1)


def others_weights(folder):
    shutil.copy(folder / "se-s0/checkpoints/epoch-1.safetensors", folder / "se-s1/checkpoints/epoch-1.safetensors")
    (folder / "se-s1" / predictions.FILE).unlink()


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swapped, "none-s0 must hold a run with attention none, found se; move it elsewhere"),
        (copied, "none-s1 must hold a run with seed 1, found 0; move it elsewhere"),
        (edited(dropout=0.25), r"se-s1 must hold a run with dropout 0\.0, found 0\.25"),
        (edited(dataset_hash="0"), "se-s1 was trained on other images than this comparison"),
        (wrong_accuracy, r"se-s1/result\.json says that \d+ of 40 test images were classified correctly, and"),
        (others_weights, r"se-s1/checkpoints/epoch-1\.safetensors is damaged: it is of another run or epoch"),
    ],
)
def test_a_folder_that_does_not_hold_the_planned_run_is_refused_by_name_before_more_is_trained(
    compared, tmp_path, change, reason
):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    change(folder)
    before = (folder / "compare.json").read_bytes()
    for call in (lambda: show(folder), functools.partial(compare, ["none", "se"], 2, folder, **FLAGS)):
        with pytest.raises(InputError, match=reason) as caught:
            call()
        assert "\n" not in str(caught.value) and (folder / "compare.json").read_bytes() == before


def test_no_run_is_added_that_is_trained_on_other_data(compared, tmp_path, monkeypatch):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset(seed=1))
    with pytest.raises(InputError, match="none-s0 was trained on other images than this comparison") as caught:
        compare(["none", "se"], 3, folder, **FLAGS)
    assert caught.value.setting == "data_dir" and not (folder / "none-s2").exists()
    assert read_plan(folder).seeds == 2


@pytest.mark.usefixtures("no_figures")
def test_knocked_out_gates_count_where_they_are_known(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    path = folder / "se-s1" / predictions.FILE
    with np.load(path) as file:
        kept = {name: file[name] for name in ("of", "intact")}
    np.savez_compressed(path, **kept)
    assert "Gate knock-out" in text_of(show(folder).page.read_text())


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    epoch, calls = loop._epoch, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr(loop, "_epoch", stopped)
    with pytest.raises(SystemExit) as caught:
        run_command(lambda _: compare(["none", "se"], 1, tmp_path / "c", **FLAGS))
    assert caught.value.code == 130
    assert f"stopped; 1 finished runs are kept in {tmp_path / 'c'}; the same command resumes" in capsys.readouterr().out


def test_the_page_shows_verdict_table_knockout_and_what_was_run(compared):
    html = (compared[0] / "compare.html").read_text()
    text = text_of(html)
    assert compared[1].table.rows[1].verdict.text in text
    for part in ("Differences to none", "Gate knock-out", "Learning curves", "Accuracy against cost", "by class"):
        assert part in text
    assert "jaxattn compare --attention none se --seeds 2 --dataset tiny" in text
    assert not re.search(r"(src|href)=\"(?!#|data:)[^\"]*//", html) and "<script src" not in html
    names = {path.name for path in (compared[0] / "figures").iterdir()}
    assert {"seeds.png", "seeds.svg", "differences.png", "curves.svg", "costs.png", "gates-se.png"} <= names


@pytest.mark.usefixtures("no_figures")
def test_pages_link_to_reports_that_are_there(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    (folder / "se-s0" / "report.html").write_text("a report")
    assert 'href="se-s0/report.html"' in show(folder).page.read_text()


@pytest.mark.usefixtures("no_figures")
def test_runs_in_a_folder_that_cannot_be_written_are_judged(compared, tmp_path, monkeypatch):
    folder, kept = shutil.copytree(compared[0], tmp_path / "c"), ("predictions.npz", "gates.json")
    for name in kept:
        (folder / "se-s0" / name).unlink()

    def refuse(path, data):
        raise PermissionError(path)

    monkeypatch.setattr("jaxattn.comparison.predictions.write_bytes", refuse)
    monkeypatch.setattr("jaxattn.comparison.vital_signs.write_sealed", refuse)
    assert show(folder).table == compared[1].table
    assert not any((folder / "se-s0" / name).exists() for name in kept)


@pytest.mark.usefixtures("small_network")
def test_curves_are_of_one_split_and_gates_by_position_have_signs(tmp_path, monkeypatch):
    drawn = []
    learning_curves = figures.learning_curves
    monkeypatch.setattr(figures, "learning_curves", lambda *given: drawn.append(given) or learning_curves(*given))
    monkeypatch.setattr("jaxattn.plots.canvas.write", lambda figure, path: None)
    variants = ["spatial", "spatial:validation=0,keep=last,schedule=linear", "spatial:monitor=test"]
    result = compare(variants, 1, tmp_path / "c", **FLAGS)
    assert [(list(metrics), monitored) for metrics, monitored, _ in drawn] == [(["spatial"], "validation")]
    text = text_of(result.page.read_text())
    assert "Gates Each gate over the test images" in text and "spatial, block1" in text and "by class, in" not in text


def test_predictions_are_kept_and_made_again_where_they_are_damaged(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    run = results.of_plan(folder, read_plan(folder))["se"][0]
    test, path = tiny.splits().test, run.folder / predictions.FILE
    kept = predictions.predictions(run, test)
    assert np.mean(kept["intact"] == test.labels) == pytest.approx(run.result["test_accuracy"])
    content = path.read_bytes()
    with np.load(path) as file:
        of = file["of"]
    damages = [b"PK half a file", b"", *(content[: len(content) * part // 8] for part in range(1, 8))]
    damages.append(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    changes = (
        {"one": kept["one"][:-1]},
        {"one": kept["one"].astype(float)},
        {"one": kept["one"] + 10},
        {"one": kept["one"] - 10},
        {"other": kept["one"]},
    )
    for change in changes:
        stream = io.BytesIO()
        np.savez_compressed(stream, of=of, **kept | change)
        damages.append(stream.getvalue())
    stream = io.BytesIO()
    np.savez_compressed(stream, of=of, **{name: kept[name] for name in ("intact", "mean", "other image")})
    for damage in (*damages, stream.getvalue()):
        path.write_bytes(damage)
        chex.assert_trees_all_equal(predictions.predictions(run, test), kept)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"variants": "se"}, "variants must be a list of names"),
        ({"variants": []}, "variants must be a list of names"),
        ({"variants": ["none", 1]}, "variants must be a list of names"),
        ({"variants": ["se", "se"]}, "two variants have the same name"),
        ({"looks": [10**12]}, "seeds must be a whole number from 1 to 1,000"),
        ({"looks": [2.5]}, "seeds must be a whole number from 1 to 1,000, found 2.5"),
        ({"looks": [3, 2]}, r"numbers of seeds must be ascending, found \[3, 2\]"),
        ({"looks": []}, "numbers of seeds must be ascending"),
        ({"looks": 2}, "is damaged"),
        ({"margin": "large"}, "is damaged"),
        ({"earlier": [{"looks": [0], "variants": [], "date": ""}]}, "seeds must be a whole number"),
        ({"earlier": 1}, "is damaged"),
        ({"config": []}, "is damaged"),
    ],
)
def test_a_damaged_plan_is_reported(compared, tmp_path, change, reason):
    values = json.loads((compared[0] / "compare.json").read_text())
    (tmp_path / "compare.json").write_text(json.dumps(values | change))
    with pytest.raises(InputError, match=reason):
        read_plan(tmp_path).runs()


@pytest.mark.usefixtures("no_figures", "warnings_printed")
@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.jsonl"])
def test_a_damaged_file_of_one_run_costs_no_other(compared, tmp_path, name):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    (folder / "se-s1" / name).write_text("{")
    result = compare(["none", "se"], 2, folder, **FLAGS)
    assert name in result.failures["se"][1].reason and "is damaged" in result.failures["se"][1].reason
    assert "1 of 2 seeds; seed 1 failed" in str(result)
