"""The export to PyTorch: its state dict, its module, and its logits."""

import ast
import importlib.util

import numpy as np
import pytest
from exported import SHAPE, run_of, write

from jaxattn.convert import to_exported
from jaxattn.errors import InputError
from jaxattn.explain.inference import predict
from jaxattn.exports import torch
from jaxattn.exports.template import with_settings

pytestmark = pytest.mark.usefixtures("small_network")


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
