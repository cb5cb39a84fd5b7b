"""Weights in PyTorch's layout, from any supported file and under any names, converted to ours and back."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxattn.attention import resolve
from jaxattn.convert import from_torch, load_torch, to_torch
from jaxattn.errors import InputError
from jaxattn.networks import CNN


def variables_of(name, image=(32, 32, 3)):
    model = CNN(attention=resolve(name))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *image)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), shapes)


def assert_trees_equal(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    chex.assert_trees_all_equal(ours, theirs)


@pytest.mark.parametrize("name", ["none", "se"])
def test_conversion_there_and_back_changes_no_weight(name):
    variables = variables_of(name)
    assert_trees_equal(from_torch(to_torch(variables)), variables)


def test_layouts_are_pytorchs():
    variables = variables_of("se")
    state, params = to_torch(variables), variables["params"]
    assert state["conv2.weight"].shape == (64, 32, 3, 3)
    assert state["conv2.weight"][5, 7, 1, 2] == params["block_2"]["conv"]["kernel"][1, 2, 7, 5]
    assert state["attention3.fc.0.weight"].shape == (8, 128)
    # input c, h, w of the hidden layer is at h, w, c in ours
    assert state["fc1.weight"][9, 100 * 16 + 2 * 4 + 3] == params["hidden"]["kernel"][(2 * 4 + 3) * 128 + 100, 9]


def test_layers_are_recognised_by_shape_and_order_not_by_name():
    variables = variables_of("se")
    renamed = {
        f"net.{i:02d}{'bn' if 'bn' in k else ''}.{k.replace('.', '_', k.count('.') - 1)}": v
        for i, (k, v) in enumerate(to_torch(variables).items())
    }
    with pytest.raises(InputError):  # each array its own layer: no bias beside its kernel
        from_torch(renamed)
    layers = ["features.0", "features.1", "ca.0", "ca.2", "features.4", "features.5", "cb.0", "cb.2", "features.8",
              "features.9", "cc.0", "cc.2", "classifier.0", "classifier.3"]  # fmt: skip
    ours = dict.fromkeys(key.rpartition(".")[0] for key in to_torch(variables))
    names = dict(zip(ours, layers, strict=True))
    state = {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": v for key, v in to_torch(variables).items()}
    assert_trees_equal(from_torch(state), variables)


@pytest.mark.parametrize("name", ["none", "se"])
def test_layers_are_put_in_the_order_in_which_they_feed_each_other(name):
    variables = variables_of(name)
    state = to_torch(variables)
    assert_trees_equal(from_torch(dict(sorted(state.items(), reverse=True))), variables)


def test_other_attention_is_not_mistaken_for_squeeze_and_excitation():
    state = to_torch(variables_of("se"))
    biased = {k: v[:, :, None, None] if "fc." in k else v for k, v in state.items()}
    with pytest.raises(
        InputError, match=r"'attention1\.fc\.0' with \['bias', 'weight'\].* is not part of this network"
    ):
        from_torch(biased | {"attention1.fc.0.bias": np.zeros(2)})
    for name in ("channel-code", "random", "eca"):
        with pytest.raises(InputError, match="only attention se can be converted to PyTorch"):
            to_torch(variables_of(name))
    with pytest.raises(InputError, match="a convolution of 32 channels to follow the layer before"):
        from_torch(state | {"conv2.weight": np.zeros((64, 31, 3, 3))})


def test_attention_as_1x1_convolutions_is_accepted():
    variables = variables_of("se")
    state = {k: v[:, :, None, None] if "fc." in k else v for k, v in to_torch(variables).items()}
    assert_trees_equal(from_torch(state), variables)


@pytest.mark.parametrize("ending", ["npz", "safetensors", "pt"])
def test_file_of_weights_is_read(tmp_path, ending):
    variables, path = variables_of("se"), tmp_path / f"model.{ending}"
    state = to_torch(variables)
    if ending == "npz":
        np.savez(path, **state)
    elif ending == "safetensors":
        save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({"state_dict": {k: torch.tensor(v) for k, v in state.items()}, "epoch": 3}, path)
    assert_trees_equal(load_torch(path), variables)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if "conv3" not in k}, "got 2, 3, 6 and 2"),
        (lambda s: {**s, "extra.weight": np.zeros((2, 2, 5, 5))}, "'extra'.*is not part of this network"),
        (lambda s: {**s, "fc1.weight": s["fc1.weight"][:, :-1]}, "128 channels of a square map, got 2047"),
    ],
)
def test_weights_of_another_network_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        from_torch(change(to_torch(variables_of("se"))))


def test_unreadable_files_are_reported_in_one_line(tmp_path):
    for name, message in [
        ("a.onnx", "must be one of"),
        ("a.npz", "cannot be read"),
        ("a.safetensors", "cannot be read"),
    ]:
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(InputError, match=message) as caught:
            load_torch(tmp_path / name)
        assert "\n" not in str(caught.value)
