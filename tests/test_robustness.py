"""Networks on other images: the corruptions, the readers of published files, the command, and the page's section."""

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from pages import text_of
from published import write_published

from jaxattn.comparison import other_images, results, robustness_file
from jaxattn.comparison.compare import compare, show
from jaxattn.comparison.plan_file import read_plan
from jaxattn.comparison.robustness import Robustness, ViewInfo
from jaxattn.comparison.statistics import welch
from jaxattn.data import DATASETS, cifar10
from jaxattn.data.dataset import Dataset
from jaxattn.errors import InputError
from jaxattn.robustness import __main__ as command
from jaxattn.robustness import official
from jaxattn.runs.store import read_sealed, write_sealed

pytestmark = pytest.mark.usefixtures("small_network")
FLAGS = tiny.CONFIG | {"epochs": 1, "dataset": "cifar10"}


def made_up(seeds=4):
    """Accuracies of two variants on two views, one of them a corruption of two severities, and nats."""
    rng = np.random.default_rng(5)
    views = (
        ViewInfo("test images", 0, 40),
        ViewInfo("noise", 1, 40),
        ViewInfo("noise", 2, 40),
        ViewInfo("people's labels", 0, 40),
    )
    measured = {
        name: {
            seed: [{"accuracy": float(rng.uniform(0.4, 0.5) + gain)} for _ in range(3)]
            + [{"accuracy": 0.5 + 0.01 * seed, "cross-entropy": 1.5 + 0.1 * seed - gain}]
            for seed in range(seeds)
        }
        for name, gain in (("none", 0), ("se", 0.1))
    }
    return Robustness(views, measured, {name: dict.fromkeys(range(seeds), "x") for name in measured})


def test_differences_have_welchs_interval_at_a_level_for_all_variants_and_views():
    found = made_up()
    rows = found.rows()
    assert [row.name for row in rows] == ["test images", "noise", "people's labels", "people's labels, cross-entropy"]
    values = {
        name: np.array([np.mean([one["accuracy"] for one in every[1:3]]) for every in by_seed.values()])
        for name, by_seed in found.measured.items()
    }
    test = welch(100 * values["se"], 100 * values["none"])
    low, high = test.interval(1 - 0.05 / 4)
    line = found.table()[2]
    assert line[-1] == f"{test.mean:+.2f} ({low:+.2f} to {high:+.2f})"
    assert line[:2] == ["noise", "40"] and line[2].startswith(f"{100 * values['none'].mean():.2f} (sd ")
    assert found.table()[4][2:] == ["1.65 (sd 0.13)", "1.55 (sd 0.13)", found.table()[4][-1]]
    assert found.table()[4][-1].startswith("-0.10 (")
    assert "all intervals together keep 95 % (Bonferroni: 1 variant x 4 views)" in found.rule and "nats" in found.rule
    assert [line[0] for line in found.table(True)[1:4]] == ["test images", "noise 1", "noise 2"]


def test_one_run_has_accuracies_and_no_difference():
    found = made_up(seeds=1)
    one, other = (100 * found.measured[name][0][0]["accuracy"] for name in ("se", "none"))
    assert found.table()[1][-1] == f"{one - other:+.2f}"
    alone = Robustness(found.views, {"none": found.measured["none"]}, {"none": found.basis["none"]})
    assert alone.table()[0] == ["view", "images", "none, 1 seed"] and "interval" not in alone.rule


@pytest.fixture(scope="module")
def compared(small_network, tmp_path_factory):
    """The folder of a comparison on a small stand-in for CIFAR-10."""
    folder = tmp_path_factory.mktemp("robust") / "c"
    spec = cifar10.SPEC
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "cifar10", Dataset(spec, lambda data_dir: tiny.splits(spec=spec)))
        labels = tiny.splits().test.labels.astype(np.uint8)
        patch.setattr(official, "OFFICIAL", hashlib.sha256(labels.tobytes()).hexdigest())
        for name in ("_draw", "_gates"):
            patch.setattr(f"jaxattn.comparison.page.{name}", lambda *arguments: {})
        compare(["none", "se"], 3, folder, **FLAGS)
        yield folder


def run(*words):
    command.main(list(map(str, words)))


def flags_of(folder):
    files = write_published(folder, tiny.splits().test)
    return [word for name, path in files.items() for word in (f"--{name.replace('_', '-')}", path)]


@pytest.fixture
def folder(compared, tmp_path):
    return shutil.copytree(compared, tmp_path / "c")


def test_a_comparison_is_tested_on_every_view_and_its_page_shows_it(folder, tmp_path, capsys):
    run(folder, "--corruptions", "noise", "jpeg", *flags_of(tmp_path / "files"))
    out = capsys.readouterr().out
    names = ["test images", "noise", "jpeg", "without near-duplicates", "without doubted labels", "people's labels",
             "people's labels, cross-entropy", "CIFAR-10.1 v6", "C: fog", "C: snow"]  # fmt: skip
    found = robustness_file.read(folder, results.of_plan(folder, read_plan(folder)))
    assert [row.name for row in found.rows()] == names and all(name in out for name in names)
    for name, by_seed in found.measured.items():
        for seed, measured in by_seed.items():
            result = json.loads((folder / f"{name}-s{seed}" / "result.json").read_text())
            assert measured[0]["accuracy"] == pytest.approx(result["test_accuracy"])
    text = text_of((folder / "compare.html").read_text())
    for cell in (cell for line in found.table() + found.table(True) for cell in line):
        assert cell in text.replace("&#39;", "'")
    assert found.rule in out and "Other images" in text and f"page: {folder / 'compare.html'}" in out
    with (folder / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["variant", "seed", "view", "severity", "metric", "value"]
    assert len(rows) == 6 * (1 + 10 + 3 + 1 + 1 + 10)  # people's labels have two metrics
    assert {row["severity"] for row in rows} == {"", "1", "2", "3", "4", "5"}


@pytest.mark.usefixtures("no_figures")
def test_what_was_measured_is_kept_and_made_again_where_it_is_not_of_these_weights(folder, monkeypatch, capsys):
    run(folder, "--corruptions", "blur")
    first, content = capsys.readouterr().out, (folder / "robustness.json").read_text()
    assert "[1/6] test images: 40 images, 6 networks\n[2/6] blur: 40 images, 6 networks\n" in first
    monkeypatch.setattr(other_images, "load_run", lambda *run, **options: 1 / 0)  # no network is loaded again
    run(folder, "--corruptions", "blur")
    assert first.endswith(capsys.readouterr().out) and (folder / "robustness.json").read_text() == content
    monkeypatch.undo()
    path = folder / "se-s1" / other_images.KEPT
    kept = json.loads(path.read_text())
    some = next(iter(kept["measured"]))
    wrong = {"measured": {some: {"accuracy": 7}}}
    other = {"measured": {some: {"accuracy": 1 - kept["measured"][some]["accuracy"]}}}  # possible, and not measured
    for damage in ("", "[]", *(json.dumps(kept | one) for one in ({"of": "other"}, wrong, other))):
        path.write_text(damage)
        run(folder, "--corruptions")
        assert "[1/1] test images: 40 images, 1 networks" in capsys.readouterr().out
        assert json.loads(path.read_text())["measured"][some] == kept["measured"][some]


@pytest.mark.usefixtures("no_figures")
def test_the_page_leaves_out_what_is_of_other_weights_and_refuses_a_damaged_file(folder, capsys):
    run(folder, "--corruptions")
    path = folder / "robustness.json"
    values = read_sealed(path)
    values["runs"][0]["of"] = "other weights"
    write_sealed(path, values)
    assert "Tested are 5 of the 6 runs" in text_of(show(folder).page.read_text())
    good = values["runs"][1]
    for damage in ({"format": 2}, {"views": []}, {"views": values["views"] * 2}, {"runs": [good | {"measured": []}]},
                   {"runs": [good | {"measured": [{"loss": 1.0}]}]}, {"runs": 3}, {"runs": []}):  # fmt: skip
        write_sealed(path, values | damage)
        with pytest.raises(InputError, match=r"robustness\.json is damaged: .*; delete it, and test") as caught:
            show(folder)
        assert "\n" not in str(caught.value)
    write_sealed(path, values)
    text = path.read_text()
    digits = re.search(r'"accuracy": 0\.(\d)', text)
    path.write_text(text[: digits.start(1)] + str((int(digits[1]) + 1) % 10) + text[digits.end(1) :])
    with pytest.raises(InputError, match="its digest is of other contents"):
        show(folder)


def test_the_folder_of_a_comparison_may_be_named_twice_in_any_form(folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "_measured", lambda comparison, folders, flags: asked.append(comparison) or stop())

    def stop():
        raise InputError("stop")

    monkeypatch.chdir(folder.parent)
    with pytest.raises(InputError, match="stop"):
        command.main([folder.name, "--out", str(folder.absolute())])
    assert asked == [Path(folder.name)]


def test_results_of_runs_replace_none_of_a_comparison(folder):
    with pytest.raises(InputError, match="holds a comparison, whose results these would replace"):
        run(folder / "se-s0", "--corruptions", "--out", folder)


def test_runs_are_grouped_by_attention_and_one_alone_is_a_table(folder, tmp_path, capsys):
    runs = [folder / f"{name}-s{seed}" for name in ("se", "none") for seed in (0, 1)]
    run(*runs, "--corruptions", "blur", "--out", tmp_path / "out")
    assert "none minus se" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"robustness.json", "robustness.csv", "robustness.png"}
    run(runs[0], "--corruptions", "--images", "20", "--out", tmp_path / "one")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["view", "images", "se,", "1", "seed"] and lines[2].split()[2] == "20"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["RUN"], "--out must name a folder"),
        (["DIR", "RUN"], "is the folder of a comparison; name it alone"),
        (["DIR", "--corruptions", "fog"], "unknown corruption 'fog'; known are noise"),
        (["DIR", "--images", "0"], "images must be 1 to 40, the number of test images, got 0"),
        (["DIR/figures", "--out", "OUT"], r"holds no run"),
        (["DIR", "--people", "missing.npy"], "cannot read missing.npy"),
    ],
)
def test_wrong_command_lines_are_refused_and_nothing_is_written(folder, tmp_path, words, reason):
    before = {path for path in tmp_path.rglob("*")}
    places = {"RUN": folder / "se-s0", "DIR/figures": folder / "figures", "DIR": folder, "OUT": tmp_path / "out"}
    with pytest.raises(InputError, match=reason):
        run(*(places.get(word, word) for word in words))
    assert {path for path in tmp_path.rglob("*")} == before


ACTS = {
    "--corruptions": ["--corruptions", "blur"],
    "--images": ["--images", "20"],
    **{f"--{name.replace('_', '-')}": [f"--{name.replace('_', '-')}", name] for name in command.FILES},
}
INERT = {
    "--out": "where it writes: the tests here give one, or none",
    "--data-dir": "where the data is, as read_test has it",
    "--trust-code": "test_code_flags",
    "--accept-changed-code": "test_code_flags",
    "--cache-limit": "test_cache",
    "--traceback": "test_command",
    "--help": "test_conventions",
}


def test_every_flag_is_said_to_act_or_why_not():
    flags = {option for option in command.parser()._option_string_actions if option.startswith("--")}
    assert flags == ACTS.keys() | INERT.keys()


@pytest.mark.parametrize("flag", ACTS)
def test_a_flag_changes_the_results(folder, tmp_path, flag):
    files = write_published(tmp_path / "files", tiny.splits().test)
    for name, words in (("before", []), ("after", [files.get(word, word) for word in ACTS[flag]])):
        none = [] if flag == "--corruptions" and words else ["--corruptions"]
        run(folder / "se-s0", "--out", tmp_path / name, *none, *words)
    before, after = ((tmp_path / name / "robustness.json").read_text() for name in ("before", "after"))
    assert before != after


def test_code_of_others_is_not_run_unless_that_is_allowed(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(results, "notes", lambda runs, *flags: asked.append(flags) or [])
    run(folder / "se-s0", "--corruptions", "--out", folder / "out", "--trust-code")
    run(folder / "se-s0", "--corruptions", "--out", folder / "out", "--accept-changed-code")
    assert asked == [(True, False), (False, True)]
