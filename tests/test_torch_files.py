"""Files of PyTorch weights as training programs leave them: taken over, or refused in one line of ours."""

import argparse
import logging

import chex
import numpy as np
import pytest
from test_convert import assert_trees_equal, variables_of

from jaxattn.convert import from_exported, from_torch, load_torch, to_exported, to_torch
from jaxattn.errors import InputError

torch = pytest.importorskip("torch")
VARIABLES = variables_of("se")


def state(variables=VARIABLES):
    return {name: torch.tensor(np.asarray(value)) for name, value in to_torch(variables).items()}


def prefixed(prefix, arrays):
    return {prefix + name: value for name, value in arrays.items()}


def optimiser_state():
    parameter = torch.nn.Parameter(torch.ones(2))
    adam = torch.optim.Adam([parameter])
    parameter.sum().backward()
    adam.step()
    return adam.state_dict()


def saved(path, contents):
    torch.save(contents, path)
    return path


@pytest.mark.parametrize("key", ["net", "model", "weights", "state", "model_state", "state_dict", "model_state_dict",
                                 "ema", "whatever"])  # fmt: skip
def test_weights_are_found_under_any_key_beside_all_else(tmp_path, key):
    contents = {
        "epoch": 3,
        "best": 0.9,
        "optimizer": optimiser_state(),
        key: state(),
        "args": {"lr": 0.1},
        "none": None,
    }
    assert_trees_equal(load_torch(saved(tmp_path / "a.pt", contents)), VARIABLES)
    nested = {"checkpoint": {"epoch": torch.tensor(3), "inner": contents}}
    assert_trees_equal(load_torch(saved(tmp_path / "b.pt", nested)), VARIABLES)


@pytest.mark.parametrize("ending", ["pt", "pth", "pth.tar", "ckpt", "bin"])
def test_weights_are_read_from_files_of_any_usual_ending(tmp_path, ending):
    assert_trees_equal(load_torch(saved(tmp_path / f"model.{ending}", state())), VARIABLES)


FORMS = {
    "parameters": lambda s: {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()},
    "data parallel": lambda s: prefixed("module.", s),
    "compiled": lambda s: prefixed("_orig_mod.", s),
    "averaged": lambda s: {"n_averaged": torch.tensor(3), **prefixed("module._orig_mod.", s)},
    "lightning": lambda s: {"state_dict": prefixed("net.", s), "epoch": 1},
    "without counters": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    "with constants": lambda s: {
        "mean": torch.ones(3),
        "norm.std": torch.ones(1, 3, 1, 1),
        "step": torch.tensor(2),
        **s,
    },
    "in a tuple": lambda s: (3, s),
    "legacy": lambda s: s,
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_taken_in_any_form_that_wrappers_give_them(tmp_path, form):
    path = tmp_path / "model.pt"
    torch.save(FORMS[form](state()), path, _use_new_zipfile_serialization=form != "legacy")
    assert_trees_equal(load_torch(path), VARIABLES)
    exported = {name: torch.tensor(value) for name, value in to_exported(VARIABLES).items()}
    torch.save(FORMS[form](exported), path)
    assert_trees_equal(load_torch(path), VARIABLES)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_of_other_precisions_are_rounded_no_further(tmp_path, dtype, ending):
    rounded = {name: value.to(dtype).contiguous() for name, value in state().items()}
    path = tmp_path / f"model.{ending}"
    if ending == "pt":
        torch.save(rounded, path)
    else:
        from safetensors.torch import save_file

        save_file(rounded, path)
    expected = from_torch({name: value.float().numpy() for name, value in rounded.items()})
    chex.assert_trees_all_equal(load_torch(path), expected)


def test_of_several_weights_the_ones_that_fit_are_taken_and_an_average_before_others(tmp_path, caplog):
    caplog.set_level(logging.INFO, "jaxattn")
    doubled = {name: value * 2 for name, value in state().items()}
    other = {"a.weight": torch.ones(3, 3)}
    assert_trees_equal(load_torch(saved(tmp_path / "a.pt", {"teacher": other, "model": state()})), VARIABLES)
    assert not caplog.records
    found = load_torch(saved(tmp_path / "b.pt", {"teacher": other, "model": state(), "model_ema": doubled}))
    chex.assert_trees_all_equal(found["params"]["head"]["bias"], 2 * VARIABLES["params"]["head"]["bias"])
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path / 'b.pt'} holds weights under model and model_ema; those under model_ema are used"
    )


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (lambda: torch.nn.Sequential(torch.nn.Linear(2, 2)), "holds an object, torch.nn.modules.container.Sequential"),
        (
            lambda: {"net": state(), "args": argparse.Namespace(lr=1)},
            "an object, argparse.Namespace, as well as or",
        ),
        (lambda: {"epoch": 3, "loss": [1.0]}, r"contains no named arrays, but a dict of epoch \(int\), loss \(list\)"),
        (lambda: [torch.ones(2)], "contains no named arrays, but a list"),
        (lambda: torch.ones(2), "contains no named arrays, but a Tensor"),
        (lambda: {}, "contains no named arrays, but a dict of nothing"),
    ],
)
def test_what_is_no_state_dict_is_named_with_what_to_save_instead(tmp_path, contents, message):
    refused(saved(tmp_path / "model.pt", contents()), message)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda one: one.to_sparse(), "the tensor head.weight holds no plain numbers"),
        (lambda one: one.to("meta"), "the tensor head.weight holds no plain numbers"),
        (lambda one: torch.complex(one, one), "arrays must hold real numbers, head.weight is complex64"),
    ],
)
def test_a_tensor_that_is_no_array_of_real_numbers_is_named(tmp_path, tensor, message):
    refused(saved(tmp_path / "model.pt", {"net": state() | {"head.weight": tensor(torch.ones(2, 3))}}), message)


@pytest.mark.parametrize("within", [lambda one: one, lambda one: [one] * 3000])
def test_what_lies_in_many_others_is_read_once(tmp_path, within):
    contents = {"weight": torch.zeros(1)}
    for _ in range(2):
        one = within(contents)
        contents = {f"key{i}": one for i in range(3000)}
    with pytest.raises(InputError, match=r"layer .* is not part of this network|contains no named arrays"):
        load_torch(saved(tmp_path / "model.pt", contents))


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        load_torch(path)
    line = str(caught.value)
    assert line.endswith("; save the weights alone: torch.save(model.state_dict(), 'weights.pt')")
    assert line.isprintable() and "weights_only" not in line


def test_a_program_and_a_damaged_file_are_named_with_what_to_save_instead(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.warns(DeprecationWarning):
        torch.jit.script(Net()).save(path)
    refused(path, "is a TorchScript archive, a program")
    whole = saved(tmp_path / "whole.pt", state()).read_bytes()
    for contents in (b"", b"hello", whole[: len(whole) // 2], whole[100:]):
        path.write_bytes(contents)
        refused(path, r"cannot be read as \.pt: it is damaged, or torch\.save did not write it")


def test_weights_of_another_network_are_named_by_their_place(tmp_path):
    with pytest.raises(InputError, match=r"a\.pt, run\.net: the weights must be of n 3x3 convolutions"):
        load_torch(saved(tmp_path / "a.pt", {"run": {"net": {"fc.weight": torch.ones(2, 2)}, "epoch": 3}}))


def residual(axes):
    """The state dict of a residual network whose kernels have so many axes: of sound, images or films."""
    kernel = torch.ones(4, 4, *[3] * (axes - 2))
    return {"conv1.weight": kernel, "layer1.0.conv1.weight": kernel, "fc.weight": torch.ones(2, 4)}


def exported(*without, **instead):
    weights = {name: torch.tensor(value) for name, value in to_exported(VARIABLES).items() if name not in without}
    return weights | {name.replace("_", "."): torch.ones(shape) for name, shape in instead.items()}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda: residual(5), r"'conv1.weight' is not part of a residual network .* \[4, 4, 3, 3, 3\]"),
        (lambda: residual(3), r"'conv1.weight' is not part of a residual network .* \[4, 4, 3\]"),
        (
            lambda: residual(4) | {"bn1.weight": torch.ones(())},
            r"'bn1.weight' is not part of a residual network .* \[\]",
        ),
        (lambda: exported("block2.conv.weight"), "are of 2 blocks but lack block2.conv.weight"),
        (lambda: exported(extra_weight=()), r"'extra.weight' is not part of this network; it is \[\]"),
        (
            lambda: exported(extra_weight=(2, 2, 3, 3, 3)),
            r"'extra.weight' is not part of this network; it is \[2, 2, 3, 3, 3\]",
        ),
        (lambda: exported(block3_conv_weight=(0, 4, 3, 3)), r"of another network \(ZeroDivisionError"),
        (lambda: exported(head_kernel_weight=(2,)), r"of another network \("),
        (lambda: state() | {"conv1.weight": torch.ones(0, 3, 3, 3)}, "a norm of 0 channels"),
    ],
)
def test_names_of_this_network_with_arrays_of_another_are_refused(tmp_path, weights, message):
    with pytest.raises(InputError, match=message) as caught:
        load_torch(saved(tmp_path / "model.pt", weights()))
    assert "\n" not in str(caught.value)


def test_a_bias_of_another_shape_is_left_to_the_network_that_takes_the_weights_over(tmp_path):
    variables = load_torch(saved(tmp_path / "model.pt", state() | {"conv1.bias": torch.ones(())}))
    assert variables["params"]["block_1"]["conv"]["bias"].shape == ()


@pytest.mark.parametrize("name", ["none", "se", "channel", "eca", "cbam", "spatial", "simam"])
def test_exported_names_come_back_with_every_parameter_of_any_attention(name):
    variables = variables_of(name)
    assert_trees_equal(from_exported(to_exported(variables)), variables)
    assert from_exported(to_torch(VARIABLES)) is None


def test_images_need_not_be_square():
    image, wide = (32, 64, 3), variables_of("se", (32, 64, 3))
    kernel = wide["params"]["hidden"]["kernel"]
    for there, back, name in ((to_exported, from_exported, "hidden.weight"), (to_torch, from_torch, "fc1.weight")):
        weights = there(wide, image)
        # input c, h, w of a map of 4 x 8 positions is at h, w, c in ours
        assert weights[name][9, 100 * 32 + 2 * 8 + 5] == kernel[(2 * 8 + 5) * 128 + 100, 9]
        assert_trees_equal(back(weights, image), wide)
        with pytest.raises(InputError, match="channels of a square map, got 4096 inputs"):
            back(weights)
