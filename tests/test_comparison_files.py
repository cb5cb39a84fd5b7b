"""Files of a comparison: numbers of other programs, which are judged, and what others read."""

import csv
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
from accuracies import trained

from jaxattn.cli.command import run_command
from jaxattn.comparison import csv_file, files, page, sections, usage
from jaxattn.comparison.compare import compare
from jaxattn.comparison.csv_file import read_csv
from jaxattn.comparison.estimates import Estimate
from jaxattn.comparison.files import HEADER
from jaxattn.comparison.numbers import of_csv
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.plan_file import read_plan
from jaxattn.comparison.results import Finished
from jaxattn.comparison.verdict import judge
from jaxattn.config import Config
from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.explain.knockout import CONDITIONS

ROWS = [(name, seed, base + 0.001 * (seed % 3)) for seed in range(8) for name, base in (("plain", 0.8), ("mine", 0.81))]


def written(path, separator=",", header="variant,seed,accuracy", shown=str):
    lines = [header.replace(",", separator)]
    lines += [separator.join((name, str(seed), shown(value))) for name, seed, value in ROWS]
    path.write_text("\n".join(lines))
    return path


# numbers of other programs


@pytest.mark.parametrize(
    ("separator", "header", "shown"),
    [
        (",", "variant,seed,accuracy", str),
        (";", "Variant,SEED, Accuracy ", lambda value: f"{value:.4f}".replace(".", ",")),
        ("\t", "variant,seed,accuracy", lambda value: f"{100 * value:.2f}"),
        (",", "variant,seed,accuracy", lambda value: f"{100 * value:.2f} %"),
        (",", "variant,seed,accuracy,note", lambda value: f"{value:.4f},looks fine"),
        (";", "variant,seed,accuracy", lambda value: f"{100 * value:.2f}%".replace(".", ",")),
    ],
)
def test_numbers_are_read_as_people_write_them(tmp_path, separator, header, shown):
    found = read_csv(written(tmp_path / "x.csv", separator, header, shown))
    assert list(found) == ["plain", "mine"]
    for name, seed, value in ROWS:
        assert found[name][seed] == pytest.approx(value)


def test_numbers_of_this_packages_variants_are_judged_as_its_runs(tmp_path):
    accuracies = {
        name: {seed: 0.8 + gain + 0.003 * (-1) ** seed for seed in range(8)}
        for name, gain in {"none": 0, "se@3:reduction=4": 0.004, "constant": 0, "wide:se+eca": 0, "wide:16": 0}.items()
    }
    lines = [f"{name},{seed},{value}" for name, scores in accuracies.items() for seed, value in scores.items()]
    (tmp_path / "x.csv").write_text("\n".join(["variant,seed,accuracy", *lines]))
    found = of_csv(tmp_path / "x.csv", out=tmp_path / "page")
    assert found.table == judge(accuracies, "none")
    page = found.page.read_text()
    assert "is one of 95 % or 98.33 %" in page and "modules and controls are counted separately" in page
    (tmp_path / "x.csv").write_text("\n".join(["variant,seed,accuracy", *lines, "theirs,0,0.8", "theirs,1,0.81"]))
    assert of_csv(tmp_path / "x.csv").table.rows[1].verdict != judge(accuracies, "none").rows[1].verdict


def test_numbers_of_other_programs_are_judged(tmp_path):
    found = of_csv(written(tmp_path / "x.csv"))
    assert found.table.baseline == "plain" and found.page is None
    assert found.verdict.startswith("mine helps: +1.0 points on these test images")
    assert of_csv(tmp_path / "x.csv", baseline="mine").verdict.startswith("plain hurts: -1.0 points")
    assert "; less than 2 points" in of_csv(tmp_path / "x.csv", margin=2).verdict
    assert of_csv(tmp_path / "x.csv", planned=9).verdict.startswith("mine provisional, 8 of 9 seeds")
    with pytest.raises(InputError, match=r"^unknown baseline 'other'; known are plain, mine$"):
        of_csv(tmp_path / "x.csv", baseline="other")


def test_the_columns_are_named(tmp_path):
    path = written(tmp_path / "x.csv", header="model,seed,accuracy")
    with pytest.raises(InputError, match=r"line 1: columns must be variant, seed, accuracy, each once, got 'model,"):
        read_csv(path)


def test_as_many_variants_and_seeds_are_read_as_the_limit_says(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "MAX_COMPARED", 3)
    rows = [f"{variant},{seed},0.5" for variant in "abc" for seed in range(3)]
    (tmp_path / "x.csv").write_text("\n".join(["variant,seed,accuracy", *rows]))
    assert {variant: len(seeds) for variant, seeds in read_csv(tmp_path / "x.csv").items()} == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,1,nan", r"line 3: it must hold a variant \(at most 100 characters\), a seed \(a whole number of 64"),
        ("a,1,inf", "line 3: "),
        ("a,1,1.01", "line 2: accuracies must be all fractions or all percent, got 0.5 among percent"),
        ("a,1,100.1", "line 3: "),
        (",1,0.5", "line 3: "),
        ("a,1,-0.1", "line 3: "),
        (f"a,{2**63},0.5", "line 3: "),
        ("a,1e3,0.5", "line 3: "),
        ("a\0b,1,0.5", "line 3: "),
        ("a,1", "line 3: "),
        ("a,0,0.5", "line 3: seed 0 of a appears twice"),
        (f"{'x' * 200_000},1,0.5", "field larger than field limit"),
        ("\n".join(f"a,{seed},0.5" for seed in range(1, 300)), "at most 200 variants and as many seeds"),
        ("\n".join(f"b{variant},1,0.5" for variant in range(300)), "at most 200 variants and as many seeds"),
        ("x" * (9 << 20), "must have at most 8,388,608 bytes"),
    ],
)
def test_a_line_of_a_csv_file_that_cannot_be_judged_is_named(tmp_path, line, reason):
    (tmp_path / "x.csv").write_text(f"variant,seed,accuracy\na,0,0.5\n{line}\n")
    with pytest.raises(InputError, match=reason) as caught:
        of_csv(tmp_path / "x.csv")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "variant,seed,accuracy\na,0,93,51\nb,0,93,72",
            "line 2: it has more cells than columns; quote cells that contain ','",
        ),
        ("variant,seed,accuracy,Accuracy\na,0,1,1", "each once"),
        ("variant,seed,accuracy\n", "must hold at least 2 variants, it holds 0"),
        ("variant,seed,accuracy\na,0,0.5", "must hold at least 2 variants, it holds 1"),
        ("variant,seed,accuracy\na,0,0.9%\nb,0,0.5", "line 3: accuracies must be all fractions or all percent"),
    ],
)
def test_a_file_that_could_be_misread_is_refused(tmp_path, text, reason):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match=reason):
        read_csv(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "encoding", "b"),
    [
        ("\r\n\r\nvariant,seed,accuracy\r\n,,\r\na,0,0.5\r\nb,0,0.7\r\n", "utf-8", 0.7),
        ("variant,seed,accuracy\na,0,0.5\nb,0,0.7", "utf-16", 0.7),
        ('variant,seed,accuracy\na,0,"0,5"\nb,0,"0,7"', "utf-8", 0.7),
        ("variant;seed;accuracy;a,b,c,d\na;0;0.5;\nb;0;0.7;x,y", "utf-8", 0.7),
        ("variant,seed,accuracy\na,0,0.9%\nb,0,0.7%", "utf-8", 0.007),
    ],
)
def test_files_as_spreadsheets_write_them_are_read(tmp_path, text, encoding, b):
    (tmp_path / "x.csv").write_text(text, encoding)
    assert read_csv(tmp_path / "x.csv")["b"] == {0: pytest.approx(b)}


def test_a_page_replaces_no_comparison_and_not_the_file_itself(tmp_path):
    path = written(tmp_path / "results.csv")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "compare.json").write_text("{}")
    for out in (tmp_path, tmp_path / "c"):
        with pytest.raises(InputError, match="holds a comparison, or the file itself; choose another folder"):
            of_csv(path, out=out)
    assert {one.name for one in tmp_path.iterdir()} == {"results.csv", "c"}


def test_numbers_get_a_page_too(tmp_path):
    found = of_csv(written(tmp_path / "x & y.csv"), out=tmp_path / "page")
    html = found.page.read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL))
    assert "mine against plain" in text and "mine helps: +1.0 points" in text
    assert "These accuracies are from x &amp; y.csv; the runs are not here." in text
    assert "Gate knock-out" not in text and "{{" not in html
    assert "Every variant was trained" not in text and "before training" not in text and "0 runs" not in text
    assert {path.name for path in (tmp_path / "page" / "figures").iterdir()} == {
        f"{name}.{form}" for name in ("seeds", "differences") for form in ("png", "svg")
    }
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        "compare.html", "figures", "results.csv", "table.md", "table.tex"
    }  # fmt: skip
    assert read_csv_rows(tmp_path / "page")[1:] == [
        [name, str(seed), "test", "accuracy", str(value)] for want in ("plain", "mine") for name, seed, value in ROWS
        if name == want
    ]  # fmt: skip


@pytest.mark.parametrize(
    "flags",
    [
        "--data-dir x",
        "--executor here",
        "--retry-failed",
        "--mirror m",
        "--trust-code",
        "--epochs 3",
        "--validation 0",
        "--vary ema=0",
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(tmp_path, capsys, flags):
    from importlib import import_module

    arguments = ["--csv", str(written(tmp_path / "x.csv")), *flags.split()]
    with pytest.raises(SystemExit):
        run_command(lambda _: import_module("jaxattn.comparison.__main__").main(arguments))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {flags.split()[0]} does nothing with --csv; leave it out"


# what others read


def read_csv_rows(folder):
    with (folder / "results.csv").open() as file:
        return list(csv.reader(file))


def test_numbers_in_the_long_file_are_all_of_the_tested_epoch():
    result, lines = {"test_accuracy": 0.5, "tested_epoch": 1}, [{"val_loss": 3.0}, {"val_loss": 2.0}]
    run = Finished(None, Config(), result, lines, None)
    rows = list(files._of_runs({"se": {0: run}}))
    assert rows == [("se", 0, "test", "accuracy", 0.5), ("se", 0, "validation", "loss", 3.0)]


def test_the_page_says_what_all_runs_have_in_common():
    one, other = Config(dropout=0.25, learning_rate=0.06), Config(dropout=0.25, learning_rate=0.12, recipe="quick")
    start = "Network cnn, recipe standard or quick, 16 or 4 epochs, on cifar10"
    assert sections.settings([one, other], "cifar10") == f"{start}; changed from the recipe: dropout 0.25."
    assert "4 epochs, on x; changed from the recipe: epochs 4." in sections.settings([Config(epochs=4)], "x")
    assert sections.settings([Config(), Config(dropout=0.25)], "x").startswith(
        "Network cnn, recipe standard, 16 epochs, on x. The recipe was tuned"
    )


def test_a_row_says_where_an_early_look_decided_and_other_outcomes_may_be_missing(tmp_path, monkeypatch):
    values = trained(0.2, se=0.6, eca=0.0)
    table, common = judge(values, "none", (6, 8)), page._common
    outcomes = {"loss": [Estimate("eca", 8, 1, 0, 2)], "error": [Estimate("se", 8, 3, 2, 4)]}
    monkeypatch.setattr(page, "_common", lambda *arguments: common(*arguments) | {"outcomes": outcomes})
    html = page.write_numbers_page(tmp_path, Path("x.csv"), table, values, True).read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL))
    assert "+0.60 (6 seeds)" in text and text.count(" seeds) ") == 1
    assert "se – +3.000 (+2.000 to +4.000) eca +1.000 (+0.000 to +2.000) –" in text


def test_the_cells_of_a_table_by_hand():
    text = files.markdown(judge(trained(0.2, se=0.6), "none", (6, 8)))
    assert "| se | 8 | 80.60 ± 0.21 | +0.60 (+0.29 to +0.91), 6 seeds | helps |" in text
    table = judge(trained(0.4, se=0.5, eca=0.5), "none", (8,), 200)
    cells = sections.table_row(table.rows[1], table, None)["difference"]
    assert (cells["wins"], cells["corrected"], cells["images"]) == ("75%", "0.069", pytest.approx(1))


def test_the_command_that_repeats_a_comparison_has_its_looks_and_margin(tmp_path):
    plan = Plan(Config(dataset="shapes"), ("none", "se"), (6, 8), margin=0.7)
    assert "--attention none se --seeds 6,8 --margin 0.7 " in sections.command(tmp_path, plan)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [("1", ".5", (1, 0.5)), ("0", "93.5", (0, 0.935)), ("100", "93.5", (1, 0.935))]
)
def test_fractions_and_percent_are_told_apart_at_their_ends(tmp_path, first, second, expected):
    (tmp_path / "x.csv").write_text(f"variant,seed,accuracy\na,0,{first}\na,1,{second}\nb,0,{first}\n")
    assert read_csv(tmp_path / "x.csv")["a"] == pytest.approx(dict(enumerate(expected)))


def test_a_line_is_named_by_its_number_in_the_file(tmp_path):
    (tmp_path / "x.csv").write_text("variant,seed,accuracy\n\n\na,0,high\n")
    with pytest.raises(InputError, match="line 4"):
        read_csv(tmp_path / "x.csv")


def test_what_is_counted_by_image_is_of_the_seeds_of_the_look_that_decided():
    table, test = judge(trained(0.2, se=0.6), "none", (6, 8)), tiny.splits().test
    random = np.random.default_rng(0)
    every = {
        name: {seed: {"intact": random.integers(0, 10, len(test))} for seed in range(8)} for name in ("none", "se")
    }
    six = {name: {seed: by_seed[seed] for seed in range(6)} for name, by_seed in every.items()}
    assert sections.crossed_intervals(table, every, test) == sections.crossed_intervals(table, six, test)
    lacking = Split(test.images[:36], test.labels[:36].clip(0, 8))  # no image of the last class
    fewer = {
        name: {seed: {"intact": one["intact"][:36]} for seed, one in by_seed.items()} for name, by_seed in every.items()
    }
    classes = sections.by_class(table, fewer, lacking, tiny.SPEC)
    assert "nan" not in classes[0]["spoken"] and classes[0]["spoken"].count(" to ") == 9


def test_of_many_classes_those_that_changed_most_are_drawn():
    labels = np.repeat(np.arange(25), 2).astype(np.int32)
    test = Split(np.zeros((50, 4, 4, 3), np.uint8), labels)
    right = np.where((np.arange(50) % 2 == 0) & (labels < 20), labels, (labels + 1) % 25)  # one image of 20 classes
    predicted = {
        name: {seed: {"intact": classes} for seed in range(2)}
        for name, classes in (("none", (labels + 1) % 25), ("se", right))
    }
    spec = dataclasses.replace(tiny.SPEC, classes=tuple(f"c{i}" for i in range(25)))
    table = judge({"none": {0: 0.1, 1: 0.2}, "se": {0: 0.3, 1: 0.5}}, "none")
    assert [row.label for row in sections.by_class(table, predicted, test, spec)[0]["rows"]] == [
        f"c{i}" for i in range(20)
    ]


def test_points_lost_by_hand():
    labels = np.arange(4)
    test = Split(np.zeros((4, 4, 4, 3), np.uint8), labels.astype(np.int32))

    def wrong(count):
        return np.where(np.arange(4) < count, (labels + 1) % 4, labels)

    lost = {"se": {seed: {"intact": labels, **dict.fromkeys(CONDITIONS[1:], wrong(seed + 1))} for seed in (0, 1)}}
    ((row),) = usage.knockout(lost, test)
    assert row["n"] == 2 and row["cells"] == 3 * ["+37.50 (-121.33 to +196.33)"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({}, "The recipe was tuned for se alone."),
        ({"network": "wrn-16-4", "recipe": "paper"}, "The recipe was tuned for the network without attention alone."),
        ({"network": "resnet20"}, "The recipe was not tuned for this network."),
        ({"recipe": "original"}, "The recipe was not tuned for this network."),
    ],
)
def test_the_page_says_for_what_the_recipe_was_tuned(flags, sentence):
    assert sections.settings([Config(**flags)], "cifar10").endswith(sentence)


@pytest.mark.usefixtures("small_network", "no_figures")
def test_a_comparison_leaves_files_for_programs_and_papers(tmp_path):
    result = compare(["none", "se@3"], 3, tmp_path, **tiny.CONFIG | {"epochs": 1})
    header, *rows = read_csv_rows(tmp_path)
    assert header == list(HEADER) and {row[2] for row in rows} == {"test", "validation"}
    accuracies = [float(row[4]) for row in rows if row[0] == "se@3" and row[2:4] == ["test", "accuracy"]]
    assert np.mean(accuracies) == result.table.rows[1].variant.mean
    assert {row[3] for row in rows} == {"accuracy", "loss", "balanced_accuracy", "calibration_error"}
    verdicts = json.loads((tmp_path / "compare.json").read_text())["verdicts"]
    assert [(one["variant"], one["kind"], one["n"]) for one in verdicts] == [
        ("se@3", result.table.rows[1].verdict.kind, 3)
    ]
    assert read_plan(tmp_path).variants == ("none", "se@3")  # it is still a plan
    markdown, latex = ((tmp_path / f"table.{form}").read_text() for form in ("md", "tex"))
    assert markdown.startswith(
        "| variant | seeds | accuracy, % (mean ± sd) | difference from none, points | verdict |\n| --- |"
    )
    assert f"* {result.verdict}" in markdown
    assert latex.count(r"\\") == 3 and r"accuracy, \%" in latex and "$\\pm$" in latex
    assert latex.splitlines()[0].startswith("% se@3 ")


def test_names_are_escaped_in_tables(tmp_path):
    path = tmp_path / "x.csv"
    names = {"a_b": 2, "50%|x": 2, "[1]\\|": 1}
    rows = [f"{name},{seed},0.{5 + seed}" for name, seeds in names.items() for seed in range(seeds)]
    path.write_text("\n".join(["variant,seed,accuracy", *rows]))
    of_csv(path, out=tmp_path / "page")
    markdown = (tmp_path / "page" / "table.md").read_text()
    assert r"| 50%\|x | 2 |" in markdown and r"| \[1\]\\\| | 1 |" in markdown and r"| a\_b | 2 |" in markdown
    latex = (tmp_path / "page" / "table.tex").read_text()
    assert r"a\_b & 2" in latex and r"50\%|x & 2" in latex and r"{}[1]\textbackslash{}| & 1" in latex
