"""Attention modules by name. Adding one is a file here and a line in `ATTENTION`."""

import functools
import importlib
import inspect
from collections.abc import Callable

from flax import linen as nn

from jaxattn.attention.bam import BottleneckAttention, BottleneckAttentionCode
from jaxattn.attention.cbam import ConvolutionalBlockAttention
from jaxattn.attention.chain import Chain, takes
from jaxattn.attention.channel import ChannelAttention
from jaxattn.attention.controls import Constant, Random, Shuffled
from jaxattn.attention.coord import CoordinateAttention
from jaxattn.attention.eca import EfficientChannelAttention
from jaxattn.attention.ese import EffectiveSqueezeExcitation
from jaxattn.attention.gate import Gate
from jaxattn.attention.gc import GlobalContext, GlobalContextScale
from jaxattn.attention.ge import GatherExcite, GatherExciteLearned
from jaxattn.attention.mhsa import MultiHeadSelfAttention
from jaxattn.attention.non_local import NonLocal
from jaxattn.attention.se import SqueezeExcitation
from jaxattn.attention.simam import SimAM
from jaxattn.attention.sk import SelectiveKernel
from jaxattn.attention.spatial import SpatialAttention
from jaxattn.attention.srm import StyleRecalibration
from jaxattn.attention.triplet import TripletAttention
from jaxattn.errors import InputError

__all__ = ["ATTENTION", "Gate", "resolve", "widened_after"]

variant = functools.partial
ATTENTION: dict[str, Callable[..., nn.Module] | None] = {
    "none": None,
    "se": SqueezeExcitation,
    "ese": EffectiveSqueezeExcitation,
    "ese-code": variant(EffectiveSqueezeExcitation, hard=True),
    "eca": EfficientChannelAttention,
    "eca-fixed3": variant(EfficientChannelAttention, kernel=3),
    "channel": ChannelAttention,
    "channel-code": variant(ChannelAttention, bias=True),
    "spatial": SpatialAttention,
    "spatial-code": variant(SpatialAttention, normalise=True),
    "cbam": ConvolutionalBlockAttention,
    "cbam-code": variant(ConvolutionalBlockAttention, code=True),
    "bam": BottleneckAttention,
    "bam-code": BottleneckAttentionCode,
    "ge": GatherExcite,
    "ge-2": variant(GatherExcite, extent=2),
    "ge-4": variant(GatherExcite, extent=4),
    "ge-learned": GatherExciteLearned,
    "ge-learned-2": variant(GatherExciteLearned, extent=2),
    "ge-learned-4": variant(GatherExciteLearned, extent=4),
    "gc": GlobalContext,
    "gc-scale": GlobalContextScale,
    "simam": SimAM,
    "simam-code": variant(SimAM, sample=True),
    "coord": CoordinateAttention,
    "coord-code": variant(CoordinateAttention, minimum=8),
    "srm": StyleRecalibration,
    "srm-code": variant(StyleRecalibration, sample=True),
    "triplet": TripletAttention,
    "sk": SelectiveKernel,
    "mhsa": MultiHeadSelfAttention,
    "mhsa-code": variant(MultiHeadSelfAttention, scaled=True),
    "nonlocal": NonLocal,
    "nonlocal-code": variant(NonLocal, code=True),
    "constant": Constant,
    "random": Random,
    "shuffled": Shuffled,
}
WIDE = "wide:"


def resolve(name: str, reduction: int = 16) -> Callable[..., nn.Module] | None:
    """What `CNN(attention=...)` takes, by name.

    Args:
        name: a key of `ATTENTION`; several joined by "+", in a row; "package.module:ClassName" for a Linen module of
            your own that takes [B, H, W, C] to [B, H, W, C]; or "wide:NAME", which stands for no attention here (the
            widths come from `jaxattn.attention.wide`).
        reduction: given to modules that have a hidden width to set; ignored by the rest.

    Raises:
        InputError: where the name is not known, cannot be imported or is no Linen module, or reduction is below 1.
    """
    if reduction < 1:
        raise InputError(f"reduction must be at least 1, got {reduction}")
    matched = widened_after(name)
    modules = [_resolve_one(part, reduction) for part in (matched or name).split("+")]
    if matched is not None:
        return None
    if len(modules) == 1:
        return modules[0]
    if None in modules:
        raise InputError(f"'none' cannot be chained: take it out of {name!r}")
    return functools.partial(Chain, tuple(modules))


def widened_after(name: str) -> str | None:
    """The NAME of "wide:NAME", whose parameters the plain network is to match; None for any other name."""
    return name.removeprefix(WIDE) if name.startswith(WIDE) else None


def _resolve_one(name, reduction):
    if name.startswith(WIDE):
        raise InputError(f"{name!r} must stand alone: it widens the network, there is no module to chain or to match")
    module = _import(name) if ":" in name else _look_up(name)
    if module is not None and takes(module, "reduction"):
        return functools.partial(module, reduction=reduction)
    return module


def _look_up(name):
    if name not in ATTENTION:
        raise InputError(
            f"unknown attention {name!r}; known are {', '.join(ATTENTION)}, wide:NAME, NAME+NAME and "
            "package.module:ClassName"
        )
    return ATTENTION[name]


def _import(name):
    """A Linen class from "package.module:ClassName"; everything that can go wrong is one line."""
    path, _, class_name = name.partition(":")
    try:
        found = getattr(importlib.import_module(path), class_name)
    except Exception as error:  # a module of the user's may raise anything while it is imported
        lines = str(error).splitlines() or [""]
        raise InputError(f"cannot import attention {name!r}: {type(error).__name__}: {lines[0]}") from error
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise InputError(f"attention {name!r} must be a class that extends flax.linen.Module, got {found!r:.60}")
    needed = [
        field.name
        for field in inspect.signature(found).parameters.values()
        if field.default is field.empty and field.kind is not field.VAR_KEYWORD
    ]
    if needed:
        raise InputError(
            f"attention {name!r} needs a default for its field {needed[0]!r}: it is made without arguments"
        )
    return found
