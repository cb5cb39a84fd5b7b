"""Residual networks and airbench94 against PyTorch's with the same weights: logits, gradients and statistics."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compat import enable_x64
from flax.traverse_util import flatten_dict, unflatten_dict

torch = pytest.importorskip("torch")

from experiments.benchmark import torch_networks  # noqa: E402
from jaxattn.attention import resolve  # noqa: E402
from jaxattn.convert import load_torch  # noqa: E402
from jaxattn.convert.residual import from_residual  # noqa: E402
from jaxattn.errors import InputError  # noqa: E402
from jaxattn.networks import resolve as resolve_network  # noqa: E402
from jaxattn.networks.airbench import Airbench  # noqa: E402
from jaxattn.networks.resnet import ResNet  # noqa: E402
from jaxattn.networks.wide_resnet import WideResNet  # noqa: E402

RNG = np.random.default_rng(0)
POSITIONS = ("residual", "pre", "post", "identity", "inside")
SMALL = {"widths": (4, 8, 12), "blocks": (1, 2, 1)}


def from_twin(twin):
    """The arrays of a twin as our variables: those of its norms, kernels and attention, by our names."""
    found = {}
    for name, value in twin.items():
        if name.endswith("num_batches_tracked") or re.fullmatch(r"groups.\d+.norm\d.weight", name):
            continue
        *layer, part = name.split(".")
        if layer[0] == "groups":
            layer = [f"group{int(layer[1]) + 1}", *layer[2:]]
        if layer[0].startswith("layer"):
            layer = [f"stage{layer[0][5:]}_block{int(layer[1]) + 1}", *layer[2:]]
        names = {"conv1": "conv", "bn1": "norm", "fc": "head"} if len(layer) == 1 else {"bn1": "norm1", "bn2": "norm2"}
        layer = [names.get(one, one) for one in layer]
        if "downsample" in layer or layer[-1] == "shortcut":
            layer = [layer[0], "shortcut_norm" if layer[-1] == "1" else "shortcut_conv"]
        if part.startswith("running"):
            found["batch_stats", *layer, part[8:]] = value
        else:
            kernel = value.transpose({4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[value.ndim])
            found["params", *layer, "bias" if part == "bias" else "kernel" if value.ndim > 1 else "scale"] = kernel
    return unflatten_dict(found)


def randomised(twin):
    generator = torch.Generator().manual_seed(0)
    for name, value in twin.state_dict().items():
        if value.is_floating_point() and not re.search(r"norm\d.weight", name):  # those of airbench94 stay 1
            drawn = torch.rand(value.shape, generator=generator)
            value.copy_(drawn + 0.5 if "var" in name or value.ndim == 1 else drawn - 0.5)
    return twin.double()


NETWORKS = {
    "option A": (lambda **o: ResNet(**SMALL, **o), lambda **o: torch_networks.ResNet(**SMALL, projection=False, **o)),
    "projection": (
        lambda **o: ResNet(**SMALL, projection=True, **o),
        lambda **o: torch_networks.ResNet(**SMALL, projection=True, **o),
    ),
    "wide": (lambda **o: WideResNet(**SMALL, **o), lambda **o: torch_networks.WideResNet(**SMALL, **o)),
    "airbench": (lambda **o: Airbench(widths=(4, 8, 12), **o), lambda **o: torch_networks.Airbench((4, 8, 12), **o)),
}
PLACES = [(kind, position) for kind in NETWORKS if kind != "airbench" for position in (None, *POSITIONS)]


@pytest.mark.parametrize(("kind", "position"), [*PLACES, ("airbench", None), ("airbench", "after")])
def test_logits_gradients_and_statistics_equal_those_of_pytorch(kind, position):
    make, make_twin = NETWORKS[kind]
    attention = {"attention": resolve("se", 4), "attention_position": position} if position else {}
    model = make(**attention)
    options = {"reduction": 4, "position": position} if position else {}
    if kind == "airbench":
        options.pop("position", None)
    twin = randomised(make_twin(**options)).train()
    images, labels = RNG.normal(size=(4, 9, 8, 3) if kind != "airbench" else (4, 26, 27, 3)), np.array([1, 0, 7, 2])
    variables = from_twin({name: value.numpy().copy() for name, value in twin.state_dict().items()})
    logits = twin(torch.tensor(images).permute(0, 3, 1, 2))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    with enable_x64():

        def loss_of(params):
            all_variables = {**variables, "params": params}
            ours, updated = model.apply(all_variables, jnp.asarray(images), train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(ours, labels).mean(), (ours, updated)

        run = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
        (_, (ours, updated)), gradients = run(variables["params"])
    np.testing.assert_allclose(ours, logits.detach().numpy(), rtol=1e-9, atol=1e-9)
    expected = from_twin({name: p.grad.numpy() for name, p in twin.named_parameters() if p.grad is not None})["params"]
    gradients = flatten_dict(gradients)
    frozen = {("whiten", "kernel")} if kind == "airbench" else set()
    assert gradients.keys() == flatten_dict(expected).keys() | frozen
    assert not any(np.any(gradients[path]) for path in frozen)
    for path, value in flatten_dict(expected).items():
        np.testing.assert_allclose(gradients[path], value, rtol=1e-9, atol=1e-9 * np.abs(value).max(), err_msg=path)
    after = from_twin({name: value.numpy() for name, value in twin.state_dict().items()})["batch_stats"]
    statistics = flatten_dict(updated["batch_stats"])
    for path, value in flatten_dict(after).items():
        np.testing.assert_allclose(statistics[path], value, rtol=1e-9, err_msg=path)


def public(state, head, shortcut, prefix):
    """A state dict under the names of another repository."""
    renamed = {name.replace("fc.", f"{head}.").replace("downsample", shortcut): value for name, value in state.items()}
    return {prefix + name: value for name, value in renamed.items()}


@pytest.mark.parametrize(
    ("network", "head", "shortcut", "prefix"),
    [
        ("resnet20", "linear", "shortcut", "module."),  # akamaster
        ("resnet20b", "fc", "downsample", ""),  # chenyaofo
        ("resnet18", "fc", "downsample", ""),  # torchvision's names
        ("resnet18", "linear", "shortcut", "module."),  # kuangliu
    ],
)
def test_weights_under_the_names_of_public_checkpoints_are_read(network, head, shortcut, prefix, tmp_path):
    kind = resolve_network(network)
    options = {"widths": kind.keywords.get("widths", (16, 32, 64)), "blocks": kind.keywords["blocks"]}
    twin = torch_networks.ResNet(**options, projection=kind.keywords.get("projection", False)).eval()
    torch.save({"state_dict": public(twin.state_dict(), head, shortcut, prefix)}, tmp_path / "weights.th")
    variables = load_torch(tmp_path / "weights.th")
    images = RNG.normal(size=(2, 32, 32, 3)).astype(np.float32)
    with torch.no_grad():
        expected = twin(torch.tensor(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(kind().apply(variables, jnp.asarray(images)), expected, atol=1e-4)


def test_a_layer_of_another_network_is_named():
    state = {"layer1.0.conv1.weight": np.zeros((4, 4, 3, 3)), "layer1.0.conv3.weight": np.zeros((4, 4, 1, 1))}
    with pytest.raises(InputError, match=r"layer 'layer1.0.conv3.weight' is not part of a residual network"):
        from_residual(state)
