"""`jaxattn train --init`: a run that starts from weights that are there already."""

import dataclasses
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jaxattn import Config, export, fit, load_run, resume
from jaxattn.convert import to_torch
from jaxattn.errors import InputError, Interrupted
from jaxattn.runs import weights
from jaxattn.runs.console import Console
from jaxattn.runs.manifest import read_manifest
from jaxattn.runs.weights import find, name_of, named
from jaxattn.training import loop, program

pytestmark = pytest.mark.usefixtures("small_network")

# With everything that could replace an initial weight.
FLAGS = {
    "dataset": "tiny", "epochs": 2, "batch_size": 6, "augment": "none", "first_conv": "whitening",
    "later_convs": "dirac", "ema": 0.9,
}  # fmt: skip
PLAIN = {**tiny.CONFIG, "first_conv": "pytorch", "later_convs": "pytorch"}


def test_a_run_gives_the_average_of_its_weights(tmp_path, quiet):
    done = fit(Config(**tiny.CONFIG | {"ema": 0.9}), tmp_path / "run", quiet)
    given = weights.read(tmp_path / "run")
    np.testing.assert_array_equal(given["params/head/kernel"], done.variables["params"]["head"]["kernel"])


@pytest.fixture
def started(monkeypatch, tmp_path, quiet):
    """The state in which a run of a configuration starts to train; it goes no further."""

    def start(**flags):
        states = []

        def stop(program, config, state, *rest):
            states.append(state)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            patch.setattr(loop, "train", stop)
            fit(Config(**FLAGS | flags), tmp_path / "started", quiet)
        shutil.rmtree(tmp_path / "started")
        return states[0]

    return start


def arrays(state):
    return named({"params": state.params, **state.collections})


def assert_taken_over(found, source):
    assert source
    for name, value in source.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def is_of_attention(name):
    return "/attention/" in name


def test_what_fits_is_taken_over_and_the_rest_starts_as_it_would(started, unfinished):
    source = named(load_run(unfinished).variables)  # with squeeze-and-excitation
    state, usual = started(attention="eca", init=str(unfinished)), started(attention="eca")
    found = arrays(state)
    assert {name for name in found if is_of_attention(name)} == {
        f"params/block_{i}/attention/mix/kernel" for i in (1, 2, 3)
    }
    assert_taken_over(found, {name: value for name, value in source.items() if not is_of_attention(name)})
    assert_taken_over(found, {name: value for name, value in arrays(usual).items() if is_of_attention(name)})
    chex.assert_trees_all_equal(
        (state.step, state.opt_state, state.plateau), (usual.step, usual.opt_state, usual.plateau)
    )
    assert int(state.step) == 0


def test_the_average_starts_at_the_weights_in_memory_of_its_own(started, unfinished):
    state = started(attention="se", init=str(unfinished))
    chex.assert_trees_all_equal(state.average, {"params": state.params, **state.collections})
    chex.assert_trees_all_equal(state.average, load_run(unfinished).variables)
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("form", ["export", "model.safetensors", "torch.safetensors", "torch.npz", "torch.pt"])
def test_weights_are_read_from_exports_and_files_of_pytorch(started, unfinished, tmp_path, form):
    path = tmp_path / form
    if form in ("export", "model.safetensors"):
        export.main([str(unfinished), "--to", "safetensors", "--out", str(tmp_path / "export")])
        path = tmp_path / "export" / ("model.safetensors" if form == "model.safetensors" else "")
    else:
        state = {name: np.array(value, order="C") for name, value in to_torch(load_run(unfinished).variables).items()}
        if form.endswith("npz"):
            np.savez(path, **state)
        elif form.endswith("pt"):
            torch = pytest.importorskip("torch")
            torch.save({"state_dict": {name: torch.tensor(value) for name, value in state.items()}}, path)
        else:
            from safetensors.numpy import save_file

            save_file(state, path)
    assert_taken_over(arrays(started(attention="se", init=str(path))), named(load_run(unfinished).variables))


@pytest.mark.parametrize(("attention", "name"), [("cbam", ""), ("eca", "model.pt")])
def test_an_export_to_pytorch_gives_back_every_parameter(tmp_path, quiet, attention, name):
    pytest.importorskip("torch")
    first = fit(Config(**PLAIN | {"epochs": 1, "attention": attention}), tmp_path / "first", quiet)
    export.main([str(first.folder), "--to", "torch", "--out", str(tmp_path / "out")])
    manifest = read_manifest(first.folder)
    config = dataclasses.replace(manifest.config, init=str(tmp_path / "out" / name))
    found = find(dataclasses.replace(manifest, config=config), tmp_path / "second")
    assert found.keys() == named(first.variables).keys()
    assert_taken_over(found, named(first.variables))


def test_a_line_says_what_was_taken_over_and_what_was_not(unfinished, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loop, "train", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(Interrupted):
        fit(Config(attention="cbam", attention_at="2,3", **FLAGS | {"init": str(unfinished)}), tmp_path / "run")
    # kernels, biases and norms of 3 blocks, hidden, head; of CBAM's gates 2 x (2 of channels, a 7x7 kernel) are new
    taken = (27 * 4 + 36 * 4 + 36 * 8) + 3 * (4 + 4 + 8) + (128 * 8 + 8) + (8 * 10 + 10)
    total = taken + 2 * 98 + (4 + 4) + (8 + 8)
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{taken:,} of {total:,} parameters taken over from {unfinished}; new here: block_2/attention, "
        "block_3/attention; left out: block_1/attention, block_2/attention, block_3/attention"
    )


def test_an_array_of_another_shape_is_not_taken_over(started, unfinished, tmp_path):
    state = {name: np.asarray(value) for name, value in to_torch(load_run(unfinished).variables).items()}
    state |= {"fc2.weight": state["fc2.weight"][:4], "fc2.bias": state["fc2.bias"][:4]}  # of four classes
    np.savez(tmp_path / "four.npz", **state)
    found, source = (
        arrays(started(attention="se", init=str(tmp_path / "four.npz"))),
        named(load_run(unfinished).variables),
    )
    heads = {name for name in source if name.startswith("params/head/")}
    assert_taken_over(found, {name: value for name, value in source.items() if name not in heads})
    assert_taken_over(found, {name: value for name, value in arrays(started(attention="se")).items() if name in heads})


def test_weights_of_another_type_get_the_networks(started, unfinished, tmp_path):
    state = to_torch(load_run(unfinished).variables)
    np.savez(tmp_path / "half.npz", **{name: np.asarray(value, np.float16) for name, value in state.items()})
    found = started(attention="se", init=str(tmp_path / "half.npz")).params
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
    kernel = np.asarray(load_run(unfinished).variables["params"]["head"]["kernel"])
    np.testing.assert_array_equal(found["head"]["kernel"], kernel.astype(np.float16).astype(np.float32))


def test_training_goes_on_from_them_and_resumes_without_them(tmp_path, quiet):
    first = fit(Config(**PLAIN), tmp_path / "first", quiet)
    config = Config(**PLAIN | {"epochs": 1, "init": str(tmp_path / "first")})
    second = fit(config, tmp_path / "second", quiet)
    assert second.metrics[0]["train_loss"] < min(line["train_loss"] for line in first.metrics[:1])
    shutil.rmtree(tmp_path / "first")
    grown = resume(tmp_path / "second", epochs=2, console=quiet)
    assert grown.config.init == str(tmp_path / "first") and grown.result["epochs"] == 2


def test_the_path_is_stored_absolute_and_is_part_of_the_run(tmp_path, quiet, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(Config(**PLAIN | {"epochs": 1}), tmp_path / "first", quiet)
    fit(Config(**PLAIN | {"epochs": 1, "init": "first"}), tmp_path / "second", quiet)
    assert read_manifest(tmp_path / "second").config.init == str(tmp_path / "first")
    with pytest.raises(InputError, match=r"holds a run with init .*first, not None"):
        fit(Config(**PLAIN | {"epochs": 1}), tmp_path / "second", quiet)


def test_weights_at_home_stay_there(started, unfinished, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(unfinished.parent))
    found = arrays(started(attention="se", init=f"~/{unfinished.name}"))
    assert_taken_over(found, named(load_run(unfinished).variables))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there are no weights at"),
        ("folder", "holds no run"),
        ("text", "weights must be one of"),
        ("damaged", "cannot be read as safetensors"),
        ("other", "no parameter of .* has the name and the shape of one of this network"),
    ],
)
def test_wrong_weights_are_reported_and_leave_no_folder(tmp_path, quiet, kind, message):
    path = tmp_path / ("weights.safetensors" if kind in ("damaged", "other") else "weights")
    if kind == "folder":
        path.mkdir()
    elif kind == "other":
        from safetensors.numpy import save_file

        save_file({"params/block_1/conv/kernel": np.zeros((5, 5, 3, 4), np.float32)}, path)
    elif kind != "missing":
        path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=message) as caught:
        fit(Config(**FLAGS | {"init": str(path)}), tmp_path / "run", quiet)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_names_are_paths_in_the_tree_of_variables():
    template = program.template(program.build(Config(attention="se", **FLAGS), tiny.SPEC, 1))
    names = {name_of(path) for path, _ in jax.tree.leaves_with_path(template.average)}
    assert {"params/block_1/attention/excite/kernel", "batch_stats/block_3/norm/var", "params/head/bias"} <= names


def test_without_weights_nothing_is_said(tmp_path, capsys):
    fit(Config(**PLAIN | {"epochs": 1}), tmp_path / "run", Console())
    assert "taken over" not in capsys.readouterr().out
