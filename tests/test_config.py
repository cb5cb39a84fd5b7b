import json
import os

import pytest
import tiny

from jaxattn.config import Config
from jaxattn.data.augment import AUGMENT
from jaxattn.errors import InputError
from jaxattn.recipes import FAMILIES, recipes
from jaxattn.training.optim import SCHEDULES
from jaxattn.training.program import network

ALL = [(network, recipe) for network in ("cnn", "resnet20", "wrn-16-4", "mine:Net") for recipe in recipes(network)]


@pytest.mark.parametrize(("network", "recipe"), ALL)
def test_recipe_fills_its_flags_and_single_flags_override_it(network, recipe):
    for name, value in recipes(network)[recipe].items():
        assert getattr(Config(network=network, recipe=recipe), name) == value
    assert Config(network=network, recipe=recipe, epochs=7).epochs == 7


@pytest.mark.parametrize(("field", "known"), [("augment", AUGMENT), ("schedule", SCHEDULES)])
def test_choices_are_those_that_are_implemented(field, known):
    assert set(Config.__dataclass_fields__[field].metadata["choices"]) == set(known)


def test_recipes_set_the_same_fields():
    standards = [family["standard"].keys() for family in FAMILIES.values()]
    assert all(keys == standards[0] for keys in standards)
    assert all(recipe.keys() <= standards[0] for family in FAMILIES.values() for recipe in family.values())


def test_a_recipe_may_be_a_file_whose_values_are_kept(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('parent = "original"\nepochs = 3\nlearning_rate = 0.02\n')
    config = Config(recipe=str(path), epochs=4)
    assert (config.epochs, config.learning_rate, config.optimizer) == (4, 0.02, "adam")
    path.unlink()
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "cannot be read"),
        ("epoch = 3", "has the unknown key epoch; a recipe may set epochs, batch_size"),
        ('parent = "fast"', "parent in .* must be one of standard, quick, original, got 'fast'"),
        ("epochs = 0", "epochs must be >= 1, got 0"),
        ("epochs = 2.5", "epochs must be of type int, got 2.5"),
        ("parent = [1]", r"parent in .* must be one of standard, quick, original, got \[1\]"),
        ("a = " + "[" * 20_000, "cannot be read: it is nested too deep"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_line(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        Config(recipe=str(path))
    assert "\n" not in str(error.value)


def test_a_recipe_that_has_no_end_is_one_line(tmp_path):
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.toml")
    for name in ("zero.toml", "pipe.toml"):
        with pytest.raises(InputError, match="must be a file, it is a device or a pipe"):
            Config(recipe=str(tmp_path / name))


@pytest.mark.parametrize(("network", "recipe"), ALL)
def test_config_comes_back_from_json(network, recipe):
    config = Config(network=network, recipe=recipe, attention="se", dropout=0.0, seed=3)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"recipe": "fast"},
            "unknown recipe 'fast'; known are standard, quick, original for the network cnn, and a file NAME.toml",
        ),
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"epochs": 1.5}, "epochs must be of type int, got 1.5"),
        ({"epochs": True}, "epochs must be of type int, got True"),
        ({"batch_size": 1}, "batch_size must be >= 2, got 1"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be > 0, got nan"),
        ({"learning_rate": "1"}, "learning_rate must be of type float, got '1'"),
        ({"dropout": 1.0}, "dropout must be >= 0 and < 1, got 1.0"),
        ({"validation": -0.1}, "validation must be >= 0 and < 1, got -0.1"),
        (
            {"validation": 0.0, "keep": "best"},
            "validation must be above 0 if keep is best, which monitors it",
        ),
        ({"plateau_factor": 1.0}, "plateau_factor must be > 0 and < 1, got 1.0"),
        ({"precision": "fp8"}, "unknown precision 'fp8'; known are float32, bf16"),
        ({"seed": -1}, "seed must be >= 0 and < 4294967296, got -1"),
        ({"seed": 2**32}, "seed must be >= 0 and < 4294967296, got 4294967296"),
        ({"warmup_epochs": float("inf")}, "warmup_epochs must be a finite number, got inf"),
        ({"monitor": "train"}, "unknown monitor 'train'; known are validation, test"),
        ({"augment": "heavy"}, "unknown augment 'heavy'; known are none, basic, full"),
        ({"schedule": "step"}, "unknown schedule 'step'; known are plateau, cosine, linear, steps, constant"),
    ],
)
def test_wrong_value_is_reported_with_its_rule(values, message):
    with pytest.raises(InputError) as caught:
        Config(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"warmup_epochs": 1e308}, "warmup_epochs must be at most 1,000,000, got 1e+308"),
        ({"plateau_patience": 2**40}, "plateau_patience must be at most 1,000,000, got 1099511627776"),
        ({"epochs": 2**63}, "epochs must be at most 1,000,000, got 9223372036854775808"),
        ({"learning_rate": 10**400}, "learning_rate must be at most 1,000,000, got 1000"),
        ({"learning_rate": 10**5000}, "learning_rate must be at most 1,000,000, got a int without text (ValueError)"),
        ({"epochs": "a\nb" * 99}, "epochs must be of type int, got 'a"),
        ({"attention": "a\0:b"}, "attention must be text without NUL, of at most 4,096 characters, got 4 of them: 'a"),
        ({"data_dir": "x" * 5000}, "data_dir must be text without NUL, of at most 4,096 characters, got 5,000 of them"),
        ({"dataset": "\ud800"}, r"dataset must be text that UTF-8 can hold, got '\ud800'"),
        ({"augment": "x" * 5000}, "unknown augment 'xxx"),
    ],
)
def test_what_no_file_or_32_bits_can_hold_is_refused_in_one_short_line(values, message):
    with pytest.raises(InputError) as caught:
        Config(**values)
    line = str(caught.value)
    assert line.startswith(message) and "\n" not in line and len(line) < 250 and line.isprintable()


@pytest.mark.parametrize("blocks", ["9" * 4000, "1,,2", "4", "0", "one", "²"])
def test_blocks_that_are_not_there_are_refused_in_one_short_line(blocks):
    with pytest.raises(
        InputError, match=r"attention_at must be sites from 1 to 3, ranges such as 1-3, or all, last, .*, got '"
    ) as caught:
        network(Config(attention_at=blocks), tiny.SPEC)
    assert len(str(caught.value)) < 260


def test_there_is_no_network_as_wide_as_one_without_a_module():
    with pytest.raises(InputError, match="'wide:none' needs the name of a module whose parameters to match"):
        network(Config(attention="wide:none"), tiny.SPEC)


def test_json_of_another_version_is_refused_and_never_filled_from_todays_recipe():
    values = Config().to_json()
    with pytest.raises(
        InputError, match=r"the configuration has unknown keys: learning_rat; it was written by another"
    ):
        Config.from_json(values | {"learning_rat": 1})
    for name in ("muon_rate", "attention", "seed"):
        for damaged in ({k: v for k, v in values.items() if k != name}, values | {name: None}):
            with pytest.raises(InputError, match=f"^the configuration lacks {name}; it was written by another"):
                Config.from_json(damaged)


@pytest.mark.parametrize("name", [n for n in Config.__dataclass_fields__ if n not in recipes("cnn")["standard"]])
def test_none_is_no_value_but_of_what_has_none(name):
    if name in ("init", "dataset", "image_size", "attention_at", "attention_position"):
        assert getattr(Config(**{name: None}), name) is None
    else:
        with pytest.raises(InputError, match=f"^{name} must be of type .*, got None$|unknown recipe None"):
            Config(**{name: None})


def test_attention_may_be_a_class_and_is_kept_by_its_name():
    from jaxattn.attention.se import SqueezeExcitation

    assert Config(attention=SqueezeExcitation).attention == "jaxattn.attention.se:SqueezeExcitation"
