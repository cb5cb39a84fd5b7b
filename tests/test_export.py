"""`jaxattn export`: each format is read back by what it is for, and gives the same numbers."""

import ast
import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import yaml
from flax import linen as nn

from jaxattn import Config, export, load_run
from jaxattn import predict as predict_command
from jaxattn.comparison.compare import of_runs
from jaxattn.comparison.plan import Plan, write_plan
from jaxattn.convert import to_exported
from jaxattn.data.augment import normalize
from jaxattn.errors import InputError
from jaxattn.explain.inference import predict
from jaxattn.exports import FORMATS, safetensors, stablehlo, torch
from jaxattn.exports.template import with_settings
from jaxattn.runs.checkpoint import named
from jaxattn.runs.manifest import check_folder, read_manifest
from jaxattn.runs.run import Run
from jaxattn.training.program import network

pytestmark = pytest.mark.usefixtures("small_network")
SHAPE = (32, 32, 3)
IMAGES = tiny.splits().test.images
RESULT = {"test_accuracy": 0.75, "test_images": 40}
UNEQUAL = {"test_balanced_accuracy": 0.5, "test_images_by_class": [9, 1]}


def run_of(attention="se", result=None, shape=SHAPE, **flags):
    """A run with random weights, in no folder."""
    config = Config(attention=attention, **{"dataset": "tiny", "epochs": 3} | flags)
    spec = dataclasses.replace(tiny.SPEC, image_shape=shape)
    model = network(config, spec)
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key == "var":
            return random.uniform(0.5, 2, leaf.shape).astype(np.float32)
        return random.normal(0, 0.5, leaf.shape).astype(np.float32)

    variables = jax.tree.map(jnp.asarray, jax.tree.map_with_path(draw, like))
    return Run(Path("nowhere"), config, spec, model, variables, 3, [], result)


def write(folder, contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def python_block(text):
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return block


# the command and its folder


@pytest.mark.parametrize("to", ["safetensors", "stablehlo"])
def test_the_run_folder_gets_the_export_and_the_files_are_printed(unfinished, to, capsys):
    for _ in range(2):  # an earlier export is replaced
        export.main([str(unfinished), "--to", to])
        printed = capsys.readouterr().out.splitlines()
    folder = unfinished / f"export-{to}"
    assert printed[0] == str(folder / FORMATS[to].file)
    assert set(printed) == set(map(str, folder.iterdir()))
    shutil.rmtree(folder)


def test_a_folder_of_anything_else_is_refused_and_left_alone(unfinished, tmp_path):
    config = (unfinished / "config.json").read_bytes()
    (tmp_path / "thesis.tex").touch()
    for out in (unfinished, tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match=r"is not empty and holds no model\.safetensors") as caught:
            export.main([str(unfinished), "--to", "safetensors", "--out", str(out)])
        assert caught.value.setting == "out"
    assert (unfinished / "config.json").read_bytes() == config
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="cannot write"):
        export.main([str(unfinished), "--to", "safetensors", "--out", str(tmp_path / "thesis.tex" / "x")])


@pytest.mark.parametrize("to", FORMATS)
def test_a_package_that_is_missing_is_named_in_one_line(unfinished, tmp_path, monkeypatch, to):
    monkeypatch.setitem(sys.modules, FORMATS[to].package, None)
    with pytest.raises(InputError) as caught:
        export.main([str(unfinished), "--to", to, "--out", str(tmp_path / "out")])
    package = FORMATS[to].package
    assert str(caught.value) == f"an export to {to} needs {package}: pip install {package}"
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_answered_with_the_known_ones(unfinished):
    with pytest.raises(InputError, match="unknown format 'onnx'; known are safetensors, torch, stablehlo"):
        export.main([str(unfinished), "--to", "onnx"])


# safetensors


def test_safetensors_come_back_to_the_bit_with_equal_logits(unfinished, tmp_path):
    export.main([str(unfinished), "--to", "safetensors", "--out", str(tmp_path / "out")])
    run, loaded = load_run(unfinished), safetensors.load(tmp_path / "out")
    chex.assert_trees_all_equal(loaded.variables, run.variables)
    chex.assert_trees_all_equal_shapes_and_dtypes(loaded.variables, run.variables)
    np.testing.assert_array_equal(
        predict(loaded.model, loaded.spec, loaded.variables, IMAGES).logits,
        predict(run.model, run.spec, run.variables, IMAGES).logits,
    )
    assert (loaded.classes, loaded.epoch, loaded.result) == (run.classes, run.epoch, run.result)
    assert dataclasses.replace(loaded.config, data_dir=run.config.data_dir) == run.config


def test_names_are_places_in_the_network_and_scalars_keep_their_shape(tmp_path):
    run = run_of()
    run.variables["memory"] = {"block_1": {"steps": np.array(7, np.int32)}}  # as a module of one's own may
    folder = write(tmp_path / "out", safetensors.contents(run, SHAPE))
    arrays = safetensors.read_safetensors(folder / "model.safetensors")
    assert arrays["params/block_1/conv/kernel"].shape == (3, 3, 3, 4)
    assert arrays["batch_stats/block_3/norm/var"].shape == (8,)
    assert (arrays["memory/block_1/steps"].shape, int(arrays["memory/block_1/steps"])) == ((), 7)


def test_config_says_how_to_use_the_weights_and_nothing_of_this_machine(tmp_path):
    text = safetensors.contents(run_of(init=str(tmp_path / "before"), data_dir=str(tmp_path)), SHAPE)["config.json"]
    values = json.loads(text)
    data = values["data"]
    assert data["classes"] == list(tiny.splits().classes) and data["image_shape"] == [32, 32, 3]
    images = np.random.default_rng(0).uniform(0, 1, (1, 2, 2, 3)).astype(np.float32)
    np.testing.assert_allclose((images - data["mean"]) / data["std"], normalize(images, tiny.SPEC), rtol=1e-5)
    assert values["config"]["init"] == "before" and str(tmp_path) not in text.decode()


def front_matter(card):
    _, head, body = card.decode().split("---\n", 2)
    return yaml.safe_load(head), body


def test_model_card_has_the_metadata_of_the_hub_and_the_interval():
    card = safetensors.contents(run_of("cbam", RESULT, seed=5), SHAPE)["README.md"]
    assert card.startswith(b"---\n")
    head, body = front_matter(card)
    assert (head["license"], head["library_name"]) == ("apache-2.0", "jaxattn")
    assert {"image-classification", "jax", "cbam"} <= set(head["tags"])
    (result,) = head["model-index"][0]["results"]
    assert (result["task"]["type"], result["dataset"]["type"]) == ("image-classification", "tiny")
    assert "`tiny`: 160 training and 40 test images of 32x32 pixels (height x width) in 10 classes." in body
    assert body.count("Krizhevsky 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>") == 2  # what `Spec.source` says
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("accuracy", 0.75)]
    # Wilson 1927 for 30 of 40, computed by hand: (0.75 + z²/80 ± z sqrt(0.75 · 0.25/40 + z²/6400)) / (1 + z²/40)
    assert "Test accuracy 75.00 %, 95 % Wilson interval 59.81 to 85.81 %, n = 40 test images, one seed (5)" in body
    assert "x' = channel(x); spatial(x')" in body and "Intended use and limits" in body
    assert "monitored" not in body and "started from" not in body


def test_model_card_is_read_by_the_hubs_own_package():
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(safetensors.contents(run_of("se", RESULT, dataset="cifar10"), SHAPE)["README.md"].decode())
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.75, "test")


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (run_of, "Training had not finished: the weights are those after epoch 3 of 3"),
        (lambda: run_of(result=RESULT, recipe="original"), "The test set was monitored during training"),
        (lambda: run_of(result={"test_accuracy": 0.75}), "How many test images there were was not recorded"),
        (lambda: run_of("none"), "Attention: none."),
        (lambda: run_of("wide:se"), "Attention: none (`wide:se`: a control"),
        (lambda: run_of(attention_at="1,3", attention_position="after"), "at block1, block3, position after"),
        (lambda: run_of(result=RESULT | UNEQUAL), "unequal numbers of test images: 50.00 %"),
        (lambda: run_of(result=RESULT | {"test_superclass_accuracy": 0.8}), "Accuracy of the superclass: 80.00 %"),
        (lambda: run_of(dataset="folder:/somewhere/tiny"), "--dataset folder:tiny"),
        (lambda: run_of(init="/somewhere/runs/first"), "It started from the weights of `first`"),
    ],
)
def test_model_card_says_what_is_special(run, said):
    head, body = front_matter(safetensors.contents(run(), SHAPE)["README.md"])
    assert said in body and "/somewhere" not in body
    assert ("model-index" in head) == ("Test accuracy" in body)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "[x](http://y)\n# z", "`a` *b* & |c|"])
def test_names_of_classes_are_text_in_a_model_card(name):
    run = run_of()
    run = dataclasses.replace(run, spec=dataclasses.replace(run.spec, classes=(name, *"abcdefghi")))
    card = safetensors.contents(run, SHAPE)["README.md"].decode()
    (line,) = [line for line in card.splitlines() if line.startswith("Classes, in the order")]
    assert not re.search(r"<|(?<!\\)[`*\[|]", line) and line.endswith(", a, b, c, d, e, f, g, h, i.")


def test_model_cards_code_loads_it(tmp_path):
    run = run_of()
    folder = write(tmp_path / "out", safetensors.contents(run, SHAPE))
    known = {"images": IMAGES[:2]}
    exec(python_block((folder / "README.md").read_text()).replace("FOLDER", str(folder)), known)
    np.testing.assert_array_equal(known["probabilities"], run.predict(IMAGES[:2]))


def damage(folder, kind):
    config = json.loads((folder / "config.json").read_text())
    if kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "of a run":
        (folder / "config.json").write_text(json.dumps(config["config"]))
    elif kind == "truncated":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    elif kind == "fewer arrays":
        config["config"]["attention"] = "cbam"
        (folder / "config.json").write_text(json.dumps(config))
    else:
        config["data"]["classes"] = config["data"]["classes"][:4]
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no config", "holds no export"),
        ("of a run", "is not of an export"),
        ("truncated", "cannot be read as safetensors"),
        ("fewer arrays", r"params/block_1/attention/channel/excite/kernel is None, not \(1, 4\)"),
        ("other classes", r"params/head/bias is \(10,\) float32, not \(4,\)"),
    ],
)
def test_a_damaged_export_is_reported_in_one_line(tmp_path, kind, message):
    folder = write(tmp_path / "out", safetensors.contents(run_of(), SHAPE))
    damage(folder, kind)
    with pytest.raises(InputError, match=message) as caught:
        safetensors.load(folder)
    assert "\n" not in str(caught.value)


# PyTorch


def test_state_dict_is_in_pytorchs_words_and_layouts():
    params, state = (run := run_of("cbam")).variables["params"], to_exported(run.variables)
    block = ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
             "norm.num_batches_tracked", "attention.channel.squeeze.weight", "attention.channel.excite.weight",
             "attention.spatial.conv.weight")  # fmt: skip
    blocks = {f"block{i}.{name}" for i in (1, 2, 3) for name in block}
    assert state.keys() == blocks | {"hidden.weight", "hidden.bias", "head.weight", "head.bias"}
    assert state["block3.conv.weight"][5, 2, 0, 1] == params["block_3"]["conv"]["kernel"][0, 1, 2, 5]
    # input c, h, w of the hidden layer is at h, w, c in ours
    assert state["hidden.weight"][7, 5 * 16 + 2 * 4 + 3] == params["hidden"]["kernel"][(2 * 4 + 3) * 8 + 5, 7]
    mix = run_of("eca").variables
    np.testing.assert_array_equal(
        to_exported(mix)["block2.attention.mix.weight"][0, 0],
        mix["params"]["block_2"]["attention"]["mix"]["kernel"][:, 0, 0],
    )


def test_the_module_imports_torch_alone_and_its_settings_are_the_runs():
    text = with_settings("model.py", torch._settings(run_of("wide:se", dropout=0.25), "none", SHAPE)).decode()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }  # fmt: skip
    assert imported == {"math", "pathlib", "torch"}
    for line in ("ATTENTION = 'none'", "DROPOUT = 0.25", "WIDTHS = (4, 4, 9)  # channels of each block"):
        assert line in text.splitlines()
    with pytest.raises(ValueError, match="must have one line COLOUR = "):
        with_settings("model.py", {"COLOUR": "red"})


@pytest.mark.parametrize("attention", ["se+spatial", "cbam-code", "mhsa"])
def test_attention_without_a_pytorch_module_is_refused_with_what_is_possible(attention):
    pytest.importorskip("torch")
    with pytest.raises(InputError) as caught:
        torch.contents(run_of(attention), SHAPE)
    assert str(caught.value) == (
        f"attention {attention} cannot be exported to PyTorch, only none, se, eca, cbam, spatial, channel, simam and "
        "wide:NAME can"
    )


@pytest.mark.parametrize(
    "flags",
    [
        *({"attention": name} for name in torch.ATTENTION),
        {"attention": "wide:channel"},
        {"attention": "se", "attention_at": "1,3", "attention_position": "after", "reduction": 2},
        {"attention": "cbam", "attention_at": "3", "reduction": 4, "dropout": 0.3},
        {"attention": "simam", "attention_position": "after", "attention_at": "2"},
        {"attention": "se", "shape": (16, 40, 3)},
    ],
    ids=lambda flags: "-".join(map(str, flags.values())),
)
def test_logits_of_the_pytorch_module_are_ours(tmp_path, flags):
    pytorch = pytest.importorskip("torch")
    run, shape = run_of(**flags), flags.get("shape", SHAPE)
    folder = write(tmp_path / "out", torch.contents(run, shape))
    spec = importlib.util.spec_from_file_location("exported", folder / "model.py")
    exported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(exported)
    images = np.random.default_rng(1).integers(0, 256, (1000, *shape), np.uint8)
    with pytorch.inference_mode():
        net = exported.load(folder / "model.pt")
        theirs = net(exported.preprocess(pytorch.from_numpy(images))).numpy()
    ours = predict(run.model, run.spec, run.variables, images).logits
    assert np.abs(ours).max() > 1 and np.abs(theirs - ours).max() <= 1e-5 * np.abs(ours).max()  # float32 on both sides
    assert run.classes == exported.CLASSES


# StableHLO


READER = """
import sys
import numpy as np

for name in ("one", "five"):
    images = np.load(f"{name}.npy")
BLOCK
    np.save(f"{name}-out.npy", np.asarray(probabilities))
print(sorted({module.split(".")[0] for module in sys.modules} & {"jaxattn", "flax", "optax", "orbax"}))
"""


def probabilities(run, images):
    return np.asarray(jax.nn.softmax(predict(run.model, run.spec, run.variables, images).logits))


def test_stablehlo_runs_where_only_jax_is_imported_for_any_number_of_images(tmp_path):
    run = run_of("cbam")
    folder = write(tmp_path / "out", stablehlo.contents(run, SHAPE))
    given = {"one": IMAGES[:1], "five": IMAGES[3:8]}
    for name, images in given.items():
        np.save(folder / f"{name}.npy", images)
    block = python_block((folder / "README.md").read_text())
    assert len(block.split("\n")) <= 6
    code = READER.replace("BLOCK", textwrap.indent(block, "    "))
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert found.stdout.strip() == "[]"
    for name, images in given.items():
        out = np.load(folder / f"{name}-out.npy")
        assert out.shape == (len(images), 10) and out.dtype == np.float32
        np.testing.assert_allclose(out, probabilities(run, images), atol=1e-5)
    for said in (", ".join(run.classes), "6 months newer", "3 weeks older", f"JAX {jax.__version__}"):
        assert said in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    "flags",
    [
        {"attention": "sk"},
        {"attention": "triplet"},
        {"attention": "mhsa", "attention_at": "3"},
        {"attention": "none", "precision": "bf16"},
    ],
    ids=lambda flags: flags["attention"],
)
def test_kernels_of_every_platform_are_lowered_for_any_number_of_images(flags):
    run = run_of(**flags)
    program = stablehlo.program(run, SHAPE)
    assert program.platforms == ("cpu", "cuda", "tpu")
    (images,), (out,) = program.in_avals, program.out_avals
    assert (images.dtype, images.shape[1:], out.shape[1:]) == (np.uint8, SHAPE, (10,))
    assert images.shape[0] == out.shape[0] and not isinstance(out.shape[0], int)
    tolerance = 0.02 if "precision" in flags else 1e-5  # of bfloat16, in a program of another order
    np.testing.assert_allclose(program.call(IMAGES[:3]), probabilities(run, IMAGES[:3]), atol=tolerance)


def test_weights_are_inside():
    run = run_of("none")
    size = sum(array.nbytes for array in named(run.variables).values())
    assert len(stablehlo.contents(run, SHAPE)["model.stablehlo"]) > size


class NeedsTheNumber(nn.Module):
    """A module of a user's own that works for a known number of images only."""

    @nn.compact
    def __call__(self, x):
        return x * jnp.asarray(np.ones(int(x.shape[0])))[:, None, None, None]


def test_a_module_that_must_know_the_number_of_images_is_reported():
    with pytest.raises(InputError, match="attention test_export:NeedsTheNumber cannot be exported for any number"):
        stablehlo.program(run_of("test_export:NeedsTheNumber"), SHAPE)


# where a run is expected


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_where_a_run_is_expected_is_called_one(tmp_path, unfinished, monkeypatch, to):
    pytest.importorskip(FORMATS[to].package)
    monkeypatch.chdir(tmp_path)
    export.main([str(unfinished), "--to", to, "--out", "out"])
    message = f"out holds an export, {FORMATS[to].file}, and no run; name the folder of the run that was exported"
    calls = [
        lambda: load_run("out"),
        lambda: predict_command.main(["out", "x.png"]),
        lambda: export.main(["out", "--to", to]),
        lambda: of_runs(["out"], "page"),
    ]
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == message


def test_a_notebook_shows_an_export_that_was_loaded(tmp_path):
    folder = write(tmp_path / "out", safetensors.contents(run_of("cbam", RESULT), SHAPE))
    html = safetensors.load(folder)._repr_html_()
    assert "test accuracy 75.00%" in html and "attention cbam" in html and str(folder) in html
    assert "<svg" not in html and "report" not in html


LEFT = (".DS_Store", "Thumbs.db", "desktop.ini", "lost+found", ".ipynb_checkpoints", "._x", ".directory", "@eaDir")


@pytest.mark.parametrize("name", [*LEFT, "notes.txt", ".git"])
def test_a_folder_with_what_systems_leave_in_it_is_empty(tmp_path, unfinished, name):
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    calls = [
        lambda: check_folder(tmp_path, read_manifest(unfinished)),
        lambda: export.main([str(unfinished), "--to", "safetensors", "--out", str(tmp_path)]),
        lambda: write_plan(
            tmp_path, Plan(read_manifest(unfinished).config, ("none", "se"), (1,)), "0", lambda plan: ()
        ),
    ]
    for call in calls:
        for path in tmp_path.iterdir():
            if path.name != name:
                path.unlink()
        if name in LEFT:
            call()
        else:
            with pytest.raises(InputError, match="choose an empty or a new"):
                call()
