"""Variants of a comparison: their names, their configurations, and that each is trained and judged as what it is."""

import dataclasses
import json

import pytest
import tiny

from jaxattn import Config
from jaxattn.attention.se import SqueezeExcitation
from jaxattn.comparison import train
from jaxattn.comparison.compare import compare, show
from jaxattn.comparison.plan import Plan, check_variants
from jaxattn.comparison.plan_file import read_plan, write_plan
from jaxattn.comparison.table import attention_of, explains
from jaxattn.comparison.variants import Variant, distinct_names, named, parse, read, vary
from jaxattn.errors import InputError
from jaxattn.runs.fit import fit

FLAGS = tiny.CONFIG | {"epochs": 1}


# names


@pytest.mark.parametrize(
    ("text", "attention", "settings", "name"),
    [
        ("se", "se", {}, "se"),
        ("  se ", "se", {}, "se"),
        ("wide:se", "wide:se", {}, "wide:se"),
        ("se@3", "se", {"attention_at": "3"}, "se@3"),
        ("se@1,3", "se", {"attention_at": "1,3"}, "se@1,3"),
        ("se:at=last", "se", {"attention_at": "last"}, "se@last"),
        ("wide:se@3", "wide:se", {"attention_at": "3"}, "wide:se@3"),
        ("se:reduction=4", "se", {"reduction": 4}, "se:reduction=4"),
        ("se+eca:position=pre", "se+eca", {"attention_position": "pre"}, "se+eca:position=pre"),
        ("mine:Gate:reduction=4", "mine:Gate", {"reduction": 4}, "mine:Gate:reduction=4"),
        (
            "se@1,3 : learning_rate=.06, ema=0",
            "se",
            {"attention_at": "1,3", "learning_rate": 0.06, "ema": 0.0},
            "se@1,3:learning_rate=0.06,ema=0",
        ),
        ("se:ema=0.9999999", "se", {"ema": 0.9999999}, "se:ema=0.9999999"),
        ("none:milestones=0.5,0.75", "none", {"milestones": "0.5,0.75"}, "none:milestones=0.5,0.75"),
        ("none:recipe=original", "none", {"recipe": "original"}, "none:recipe=original"),
    ],
)
def test_a_variant_is_read_from_its_name_and_named_in_one_way(text, attention, settings, name):
    variant = parse(text)
    assert variant == Variant(attention, settings) and variant.name == name
    assert parse(variant.name) == variant and attention_of(variant.name) == attention


def test_a_class_is_a_variant():
    assert parse(SqueezeExcitation).name == "jaxattn.attention.se:SqueezeExcitation"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("se:foo=1", "foo is no setting of training; settings are attention_at, "),
        ("se:seed=1", "seed is common to all runs of a comparison; settings are "),
        ("se:dataset=shapes", "dataset is common to all runs"),
        ("se:reduction=many", "reduction must be int, got 'many'"),
        ("se:reduction=4,ema=", "ema has no value"),
        ("se:init=", "init has no value"),
        ("se@3:at=4", "at is set twice"),
        ("se:position=pre,attention_position=post", "attention_position is set twice"),
        ("x" * 101, "a variant must be printable text of at most 100 characters"),
        ("", "a variant must be printable text of at most 100 characters, got ''"),
        (" \n", "a variant must be printable text"),
        ("s\0e", "a variant must be printable text"),
        ("se\x1b[31m", "a variant must be printable text"),
    ],
)
def test_a_name_that_means_nothing_is_refused(text, reason):
    with pytest.raises(InputError, match=r"^(variant|a variant)") as caught:
        parse(text)
    assert reason in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_controls_are_known_with_settings_too():
    assert explains("wide:se@3") == explains("wide:se:ema=0") == "capacity"
    assert explains("constant@last") == explains("random:reduction=4") == "scaling"
    assert explains("se@3") is explains("none:ema=0") is None


# grids and files


def test_settings_vary_for_each_variant():
    found = [variant.name for variant in vary(map(parse, ("none", "se@3")), ["learning_rate=.06,.12", "ema=0,.99"])]
    rates = [f"learning_rate={rate},ema={ema}" for rate in ("0.06", "0.12") for ema in ("0", "0.99")]
    assert found == [*(f"none:{one}" for one in rates), *(f"se@3:{one}" for one in rates)]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["learning_rate"], "^vary must be SETTING=VALUE,VALUE, got 'learning_rate'$"),
        (["learning_rate="], "^vary must be SETTING=VALUE,VALUE"),
        (["learning_rate=.1,x"], "learning_rate must be float, got 'x'"),
        (["seed=1,2"], "seed is common to all runs"),
        (["ema=0", "ema=.9"], "^ema varies already"),
        (["at=1,2"], "^attention_at varies already"),
        (["milestones=.5,.75"], "^milestones are numbers with commas"),
    ],
)
def test_settings_that_cannot_vary_are_refused(settings, reason):
    with pytest.raises(InputError, match=reason):
        vary([parse("none"), parse("se@3")], settings)


def test_the_baseline_comes_first_and_each_variant_once():
    names = [variant.name for variant in named(["se", "none", " se", "se:at=3", "se@3"], (), "none")]
    assert names == ["none", "se", "se@3"]
    with pytest.raises(InputError, match=r"^a comparison takes 2 to 200 variants, got 1"):
        named(["se", "se "])
    with pytest.raises(InputError, match=r"^a comparison takes 2 to 200 variants, got 201"):
        named(["se"], ["reduction=" + ",".join(map(str, range(1, 202)))])
    assert named(["se", "none", "se:at=3"], (), "se:at=3")[0].name == "se@3"
    with pytest.raises(InputError, match=r"^baseline 'eca' must be one of the variants: se, none"):
        named(["se", "none"], (), "eca")


def test_variants_are_read_from_a_file(tmp_path):
    path = tmp_path / "variants.toml"
    path.write_text('variants = ["none", "se@3"]')
    assert read(path) == ["none", "se@3"]
    for text in ("", "variants = 3", 'variants = ["none", 3]', 'variants = ["se"]\nseeds = 3', "variants = ["):
        path.write_text(text)
        with pytest.raises(InputError, match=r"variants.toml"):
            read(path)
    with pytest.raises(InputError, match=r"^cannot read .*nothing.toml"):
        read(tmp_path / "nothing.toml")


# configurations


def test_a_run_is_trained_with_what_all_have_in_common_and_the_variants_own_settings():
    common = Config(dataset="shapes", epochs=3, batch_size=7)
    plan = Plan(common, ("none", "se@3:ema=0", "none:recipe=original"), (2,))
    assert plan.config_of("se@3:ema=0", 1) == Config(
        dataset="shapes", epochs=3, batch_size=7, attention="se", attention_at="3", ema=0.0, seed=1
    )
    assert plan.config_of("none:recipe=original", 0) == Config(
        dataset="shapes", epochs=3, batch_size=7, attention="none", recipe="original"
    )
    assert [plan.variant_of(config) for _, config in plan.runs()] == [*plan.variants] * 2


def test_each_run_has_a_folder_of_its_own():
    names = ("wide:se", "se@3:reduction=4", "se@1,3", "se@1-3", "eca", "ECA")
    plan = Plan(Config(dataset="shapes"), names, (1,))
    folders = [plan.run_name(name, 1) for name in names]
    assert folders[:3] == ["wide-se-s1", "se-3-reduction-4-s1", "se-1-3-s1"] and folders[4] == "eca-s1"
    assert len({folder.lower() for folder in folders}) == len(names)


def test_a_plan_depends_on_no_file_and_no_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "mine.toml"
    recipe.write_text("learning_rate = 0.5")
    (tmp_path / "weights").mkdir()
    plan = Plan(Config(dataset="shapes"), ("none", "se:init=weights", "se:recipe=mine.toml"), (1,))
    write_plan(tmp_path / "c", plan, "", lambda plan: ((), 0))
    recipe.write_text("learning_rate = 0.25")
    again = dataclasses.replace(plan)  # without what it has cached
    with pytest.raises(InputError, match=r"planned with another se:recipe=mine\.toml, of learning_rate 0\.5"):
        write_plan(tmp_path / "c", again, "", lambda plan: ((), 0))
    recipe.unlink()
    monkeypatch.chdir("/")
    stored = read_plan(tmp_path / "c")
    assert stored.runs() == plan.runs() and stored.config_of("se:recipe=mine.toml", 0).learning_rate == 0.5
    assert stored.config_of("se:init=weights", 0).init == str(tmp_path / "weights")


def test_what_was_seen_and_planned_is_kept_when_a_plan_changes(tmp_path):
    plan = Plan(Config(dataset="shapes"), ("none", "se"), (8,))
    write_plan(tmp_path / "a", plan, "", lambda plan: ((), 0))
    write_plan(tmp_path / "a", dataclasses.replace(plan, looks=(9,)), "", lambda plan: ((), 5))
    (earlier,) = read_plan(tmp_path / "a").earlier
    assert (earlier.looks, earlier.planned) == ((5,), (8,))  # provisional results of five seeds
    write_plan(tmp_path / "b", dataclasses.replace(plan, looks=(6, 9)), "", lambda plan: ((), 0))
    more = dataclasses.replace(plan, looks=(6, 9), variants=("none", "se", "eca"))
    write_plan(tmp_path / "b", more, "", lambda plan: ((6,), 7))
    (earlier,) = read_plan(tmp_path / "b").earlier
    assert (earlier.looks, earlier.planned, earlier.variants) == ((6,), (6, 9), ("none", "se"))
    write_plan(tmp_path / "c", dataclasses.replace(plan, margin=0.5), "", lambda plan: ((), 0))
    with pytest.raises(InputError, match=r"was planned with a margin of 0\.5 points, got 0\.3"):
        write_plan(tmp_path / "c", plan, "", lambda plan: ((), 0))


def test_data_may_move_between_two_calls(tmp_path):
    for place in ("/old", "/new"):
        plan = Plan(Config(dataset="shapes", data_dir=place), ("none", "se"), (2,))
        write_plan(tmp_path, plan, "", lambda plan: ((), 0))
    stored = read_plan(tmp_path)
    assert stored.config.data_dir == stored.config_of("se", 1).data_dir == "/new"


def test_the_plan_of_an_earlier_version_is_read(tmp_path):
    write_plan(tmp_path, Plan(Config(dataset="shapes"), ("none", "se"), (8,)), "", lambda plan: ((), 0))
    values = json.loads((tmp_path / "compare.json").read_text())
    for name in ("looks", "margin", "earlier"):
        del values[name]
    (tmp_path / "compare.json").write_text(json.dumps(values | {"seeds": 8, "extended": [4, 6]}))
    stored = read_plan(tmp_path)
    assert stored.looks == (8,) and [earlier.looks for earlier in stored.earlier] == [(4,), (6,)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda configs: configs.pop("se"), "'se'"),
        (lambda configs: configs["se"].update(attention="eca"), "the configuration of se is not its own"),
        (lambda configs: configs["se"].update(seed=1), "the configuration of se is not its own"),
        (lambda configs: configs["se"].update(dataset="cifar10"), "dataset of se is not that of the other runs"),
    ],
)
def test_damaged_configurations_of_a_plan_are_reported(tmp_path, change, reason):
    write_plan(tmp_path, Plan(Config(dataset="shapes"), ("none", "se"), (1,)), "", lambda plan: ((), 0))
    values = json.loads((tmp_path / "compare.json").read_text())
    change(values["configs"])
    (tmp_path / "compare.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=f"is damaged: .*{reason}"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("se", "se:reduction=16"), "^variants se and se:reduction=16 have the same settings; leave one out"),
        (("none", "none:learning_rate=-1"), "^learning_rate must be > 0, got -1"),
    ],
)
def test_variants_that_are_not_told_apart_are_refused(names, reason):
    with pytest.raises(InputError, match=reason):
        check_variants(Plan(Config(dataset="shapes"), names, (1,)))


# comparisons


@pytest.mark.usefixtures("small_network")
def test_where_how_much_and_with_what_are_asked_in_one_comparison(trained, tmp_path):
    names = ["none", "se@1", "se@3:reduction=4", "none:label_smoothing=0"]
    result = compare(names, 2, tmp_path, **FLAGS)
    assert [row.variant.name for row in result.table.rows] == names
    assert [(one.attention, one.attention_at, one.reduction, one.label_smoothing) for one in trained[:4]] == [
        ("none", None, 16, 0.1), ("se", "1", 16, 0.1), ("se", "3", 4, 0.1), ("none", None, 16, 0.0)
    ]  # fmt: skip
    assert json.loads((tmp_path / "compare.json").read_text())["variants"] == names
    text = result.page.read_text()
    assert "&#39;se@3:reduction=4&#39;" not in text and "se@3:reduction=4 none:label_smoothing=0 --seeds 2" in text
    assert show(tmp_path).verdict == result.verdict and len(trained) == 8
    compare(names, 2, tmp_path, **FLAGS)
    assert len(trained) == 8  # nothing is trained again


@pytest.mark.usefixtures("small_network")
def test_a_setting_varies_for_all_variants(trained, tmp_path):
    result = compare(["none", "se"], 1, tmp_path, vary=["learning_rate=.001,.003"], **FLAGS)
    assert [row.variant.name for row in result.table.rows] == [
        f"{name}:learning_rate={rate}" for name in ("none", "se") for rate in ("0.001", "0.003")
    ]
    assert [config.learning_rate for config in trained] == [0.001, 0.003] * 2
    assert read_plan(tmp_path).config.learning_rate == FLAGS["learning_rate"]


@pytest.mark.usefixtures("small_network")
def test_more_seeds_are_trained_only_where_something_is_left_to_tell(trained, tmp_path, monkeypatch, capsys):
    accuracy, spread = {"none": 0.5, "se": 0.9}, 0.01

    def told_apart(config, *rest):
        run = fit(config, *rest)
        path = run.folder / "result.json"
        path.write_text(json.dumps({**run.result, "test_accuracy": accuracy[config.attention] + spread * config.seed}))
        return run

    monkeypatch.setattr(train, "fit", lambda config, *rest: trained.append(config) or told_apart(config, *rest))
    monkeypatch.setattr("jaxattn.comparison.predictions.check_accuracy", lambda *arguments: None)
    result = compare(["none", "se"], [3, 4, 5], tmp_path / "apart", **FLAGS)
    assert {config.seed for config in trained} == {0, 1, 2} and result.table.rows[1].verdict.kind == "helps"
    assert "every verdict is settled after 3 seeds, no more are trained" in capsys.readouterr().out
    trained.clear()
    accuracy["se"] = 0.5
    compare(["none", "se"], [3, 4], tmp_path / "alike", **FLAGS)
    assert {config.seed for config in trained} == {0, 1, 2}  # identical in all seeds, so equivalent
    trained.clear()
    accuracy["se"] = 0.505
    compare(["none", "se"], [3, 4], tmp_path / "unclear", **FLAGS)
    assert {config.seed for config in trained} == {0, 1, 2, 3}


@pytest.mark.usefixtures("small_network")
def test_what_failed_is_trained_again_once_not_at_every_look(trained, tmp_path, monkeypatch):
    def failing(config, *rest):
        trained.append(config)
        if (config.attention, config.seed) == ("se", 1):
            raise RuntimeError("out of luck")
        return fit(config, *rest)

    monkeypatch.setattr(train, "fit", failing)
    compare(["none", "se"], [3, 4], tmp_path, **FLAGS)
    trained.clear()
    compare(["none", "se"], [3, 4], tmp_path, retry_failed=True, **FLAGS)
    assert [(config.attention, config.seed) for config in trained] == [("se", 1)]


def test_more_seeds_than_a_plan_can_hold_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"^seeds must be at most 1,000, got 1001"):
        compare(["none", "se"], 1001, tmp_path / "out", **FLAGS)
    assert not (tmp_path / "out").exists()


def test_existing_runs_are_told_apart_by_what_differs_between_them():
    configs = [
        Config(attention="none"), Config(attention="se", seed=1), Config(attention="se", attention_at="3"),
        Config(attention="se", learning_rate=0.06, data_dir="elsewhere"),
    ]  # fmt: skip
    assert distinct_names(configs) == ["none", "se", "se@3", "se:learning_rate=0.06"]
    same = [dataclasses.replace(config, dropout=0.25) for config in configs]  # which all have in common
    assert distinct_names(same) == ["none", "se", "se@3", "se:learning_rate=0.06"]
    file = dataclasses.replace(same[0], recipe="mine.toml", ema=0.5, momentum=0.8, validation=0.2)
    flags = dataclasses.replace(file, recipe="standard")  # the same values, given as flags
    assert distinct_names([file, flags, Config(attention="none")])[0] == (
        "none:recipe=mine.toml,validation=0.2,momentum=0.8,ema=0.5,dropout=0.25"
    )
    recipes = [Config(attention="se"), Config(attention="se", recipe="quick")]
    assert distinct_names(recipes) == ["se", "se:recipe=quick"]
