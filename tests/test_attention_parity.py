"""The same numbers as timm's modules with our weights, where timm has the module and is correct.

Not compared: gather-excite with parameters or layers of its own, whose constructors fail in timm 1.0, and what timm has
not: cbam without normalisation as a whole, bam, simam, srm, triplet.
"""

import functools
import importlib

import numpy as np
import pytest
import without_torchvision  # noqa: F401
from attention_runs import randoms, runs, variables

torch = pytest.importorskip("torch")
pytest.importorskip("timm")


def timm(file, name, *arguments, **options):
    return getattr(importlib.import_module(f"timm.layers.{file}"), name)(*arguments, **options)


def tensor(values, path):
    """One leaf; a kernel [.., in, out] turned to PyTorch's [out, in, ..]."""
    leaf = np.asarray(functools.reduce(lambda tree, key: tree[key], path.split("/"), values))
    turned = leaf if leaf.ndim == 1 or "kernel" not in path else np.moveaxis(leaf, (-1, -2), (0, 1))
    return torch.from_numpy(np.ascontiguousarray(turned))


def load(module, name, paths):
    """Sets {their name: our path}; "a + b" puts b below a. A path without its collection is of params."""
    theirs = dict(module.named_parameters()) | dict(module.named_buffers())
    for key, path in paths.items():
        full = [part if part.startswith("batch_stats/") else f"params/{part}" for part in path.split(" + ")]
        value, target = torch.cat([tensor(variables(name), part) for part in full]), theirs.pop(key)
        target.data.copy_(value.reshape(target.shape))
    # no weight keeps timm's initial value; a bias under a softmax over positions is without effect
    assert all(key.endswith("num_batches_tracked") or key == "conv_attn.bias" for key in theirs)


def layer(theirs, ours, bias=True):
    return {f"{theirs}.weight": f"{ours}/kernel"} | ({f"{theirs}.bias": f"{ours}/bias"} if bias else {})


def norm(theirs, ours):
    return {
        f"{theirs}.weight": f"{ours}/scale",
        f"{theirs}.bias": f"{ours}/bias",
        f"{theirs}.running_mean": f"batch_stats/{ours}/mean",
        f"{theirs}.running_var": f"batch_stats/{ours}/var",
    }


def mlp(bias, theirs="", ours=""):
    return layer(f"{theirs}fc1", f"{ours}squeeze", bias) | layer(f"{theirs}fc2", f"{ours}excite", bias)


def spatial(normalise):
    module = timm("cbam", "SpatialAttn")
    if normalise:
        return module, layer("conv.conv", "conv", False) | norm("conv.bn", "norm")
    module.conv.bn = torch.nn.Identity()
    return module, layer("conv.conv", "conv", False)


def cbam_code():
    names = mlp(True, "channel.", "channel/") | layer("spatial.conv.conv", "spatial/conv", False)
    return timm("cbam", "CbamModule", 8, rd_channels=2, mlp_bias=True), names | norm("spatial.conv.bn", "spatial/norm")


def global_context(part, **options):
    module = timm("global_context", "GlobalContext", 8, rd_channels=2, **options)
    getattr(module, part).norm.eps = 1e-5  # as PyTorch's LayerNorm and the authors' code; timm has 1e-6
    names = layer("conv_attn", "context/key", False) | layer(f"{part}.fc1", "context/squeeze")
    names |= {f"{part}.norm.weight": "context/norm/scale", f"{part}.norm.bias": "context/norm/bias"}
    return module, names | layer(f"{part}.fc2", "excite")


def coordinate(hidden):
    names = layer("conv1", "squeeze") | norm("bn1", "norm")
    names |= layer("conv_h", "height/excite") | layer("conv_w", "width/excite")
    return timm("coord_attn", "CoordAttn", 8, rd_channels=hidden, bias=True), names


def selective_kernel():
    module = timm("selective_kernel", "SelectiveKernel", 8, groups=8, split_input=False, rd_channels=32)
    names = layer("attn.fc_reduce", "squeeze", False) | norm("attn.bn", "squeeze_norm")
    names |= {"attn.fc_select.weight": "narrow/kernel + wide/kernel"}
    for i, ours in enumerate(("narrow", "wide")):
        names |= layer(f"paths.{i}.conv", f"{ours}_conv", False) | norm(f"paths.{i}.bn", f"{ours}_norm")
    return module, names


def self_attention():
    module = timm("bottleneck_attn", "BottleneckAttn", 8, feat_size=(5, 7), scale_pos_embed=True)
    names = {"qkv.weight": "query/kernel + key/kernel + value/kernel"}
    return module, names | {"pos_embed.height_rel": "rows", "pos_embed.width_rel": "columns"}


def non_local():
    names = layer("t", "theta") | layer("p", "phi") | layer("g", "g") | layer("z", "out") | norm("norm", "norm")
    return timm("non_local_attn", "NonLocalAttn", 8, use_scale=False, rd_channels=4), names


GRN = {"weight": "scale", "bias": "bias"}


def efficient_local():
    def group_norm(channels, **_):
        return torch.nn.GroupNorm(8, channels)

    # timm has one group, and SiLU before the sigmoid
    module = timm("coord_attn", "EfficientLocalAttn", 8, norm_layer=group_norm, act_layer=torch.nn.Identity)
    names = {}
    for theirs, ours in (("h", "height"), ("w", "width")):
        names |= {f"conv_{theirs}.weight": f"{ours}/kernel"}
        names |= {f"norm_{theirs}.weight": f"{ours}/norm/scale", f"norm_{theirs}.bias": f"{ours}/norm/bias"}
    return module, names


CASES = {
    "se": lambda: (timm("squeeze_excite", "SEModule", 8, rd_channels=2, bias=False), mlp(False)),
    "ese": lambda: (timm("squeeze_excite", "EffectiveSEModule", 8, gate_layer="sigmoid"), layer("fc", "excite")),
    "ese-code": lambda: (timm("squeeze_excite", "EffectiveSEModule", 8), layer("fc", "excite")),
    "eca": lambda: (timm("eca", "EcaModule", 8), layer("conv", "mix", False)),
    "eca-fixed3": lambda: (timm("eca", "EcaModule", kernel_size=3), layer("conv", "mix", False)),
    "channel": lambda: (timm("cbam", "ChannelAttn", 8, rd_channels=2), mlp(False)),
    "channel-code": lambda: (timm("cbam", "ChannelAttn", 8, rd_channels=2, mlp_bias=True), mlp(True)),
    "spatial": lambda: spatial(False),
    "spatial-code": lambda: spatial(True),
    "cbam-code": cbam_code,
    "ge": lambda: (timm("gather_excite", "GatherExcite", 8, use_mlp=False), {}),
    "ge-2": lambda: (timm("gather_excite", "GatherExcite", 8, extent=2, use_mlp=False), {}),
    "ge-4": lambda: (timm("gather_excite", "GatherExcite", 8, extent=4, use_mlp=False), {}),
    "grn-code": lambda: (timm("grn", "GlobalResponseNorm", 8, channels_last=False), GRN),
    "ela": efficient_local,
    "gc": lambda: global_context("mlp_add", fuse_add=True, fuse_scale=False),
    "gc-scale": lambda: global_context("mlp_scale"),
    "coord": lambda: coordinate(2),
    "coord-code": lambda: coordinate(8),
    "sk": selective_kernel,
    "mhsa": self_attention,
    "mhsa-code": self_attention,
    "nonlocal": non_local,
}


@pytest.mark.parametrize("name", CASES)
def test_output_is_that_of_timm(name):
    module, paths = CASES[name]()
    load(module, name, paths)
    if name == "mhsa":  # timm divides the queries by the root of D = 2
        module.qkv.weight.data[:8] *= 2**0.5
    images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(randoms(2), -1, 1)))
    for train, run in runs(name).items():
        theirs = module.train(train)(images).detach().numpy()
        # float32 on both sides
        np.testing.assert_allclose(run.y, np.moveaxis(theirs, 1, -1), rtol=1e-4, atol=1e-5, err_msg=f"train={train}")
