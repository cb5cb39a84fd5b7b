"""The contract of a network: what training, explanation, reports and exports may ask of it."""

import enum
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Num

from jaxattn.attention import mode
from jaxattn.attention.registry import Attention
from jaxattn.errors import InputError
from jaxattn.layers.compute_dtype import ComputeDtype
from jaxattn.tree import keys_of

Path = tuple[str, ...]  # of a module: the names of the enclosing modules, then its own


class Group(enum.StrEnum):
    """What a parameter is to a recipe. Each parameter of a network is in one group."""

    FIRST = "first convolution"
    CONVOLUTION = "convolutions"
    HIDDEN = "hidden matrices"
    HEAD = "head"
    NORM_SCALE = "norm scales"
    NORM_BIAS = "norm biases"
    BIAS = "biases"
    ATTENTION = "attention"


class Site(NamedTuple):
    """A place for attention in a network.

    Attributes:
        name: as `--attention-at` and the report call it.
        path: of the attention module.
        stage: number of the stage, from 1; a stage ends where the map becomes smaller.
    """

    name: str
    path: Path
    stage: int


class Layer(NamedTuple):
    """A part of a network that can be captured.

    Attributes:
        name: as `--layers` and the report call it.
        path: of the module that computes it.
        mapped: whether its features and class activation maps are shown if no layer is named.
    """

    name: str
    path: Path
    mapped: bool = False


class Network(nn.Module):
    """Base class of networks. Your own network extends it, and defines `sites`, `layers` and `__call__`.

    Attributes:
        classes: number of classes K.
        attention: a Linen class or a partial of one; None for none.
        attention_at: at which of the `sites`, counted from 1; None for all.
        attention_position: where in a block, one of `positions`; None for the first of them.
        compute_dtype: what operands of convolutions and dense layers are rounded to; None for their own type. Weights,
            sums, statistics and attention keep their type; but on GPU and TPU a convolution rounds each finished sum
            to it, once.
        widths: channels of each stage; the control `wide` enlarges the last.
        positions: where in a block attention can be placed.
        first, head: paths of the first convolution and of the last dense layer.
        frozen: the path of a layer whose kernel is not trained, if there is one.
    """

    classes: int = 10
    attention: Attention = None
    attention_at: tuple[int, ...] | None = None
    attention_position: str | None = None
    compute_dtype: ComputeDtype = None
    widths: tuple[int, ...] = ()

    positions: ClassVar[tuple[str, ...]] = ("after",)
    first: ClassVar[Path] = ("first",)
    head: ClassVar[Path] = ("head",)
    frozen: ClassVar[Path | None] = None

    @nn.nowrap
    def sites(self) -> tuple[Site, ...]:
        """The sites for attention, first to last.

        Raises:
            NotImplementedError: if a subclass does not define it.
        """
        raise NotImplementedError

    @nn.nowrap
    def layers(self) -> tuple[Layer, ...]:
        """What can be captured, first to last.

        Raises:
            NotImplementedError: if a subclass does not define it.
        """
        raise NotImplementedError

    @nn.nowrap
    def groups(self, params: Any) -> Any:
        """The group of each parameter, a tree like `params` [...].

        By default, Flax's names and the number of axes decide: a layer with a scale, or with nothing but a bias, is a
        norm; a kernel of four axes is a convolution, one of two a hidden matrix, unless it is the first convolution or
        the head; anything else is a bias.
        """
        sites = {site.path for site in self.sites()}
        layers: dict[Path, set[str]] = {}
        for path, _ in jax.tree.leaves_with_path(params):
            *module, name = keys_of(path)
            layers.setdefault(tuple(module), set()).add(name)

        def group(path, leaf):
            *module, name = keys_of(path)
            within = tuple(module)
            if any(within[: len(site)] == site for site in sites):
                return Group.ATTENTION
            if "scale" in layers[within] or layers[within] == {"bias"}:
                return Group.NORM_SCALE if name == "scale" else Group.NORM_BIAS
            if name != "kernel":
                return Group.BIAS
            special = {self.first: Group.FIRST, self.head: Group.HEAD}
            return special.get(within, Group.CONVOLUTION if leaf.ndim == 4 else Group.HIDDEN)

        return jax.tree.map_with_path(group, params)

    @property
    def min_size(self) -> int:
        """Pixels that the shorter side of an image must have."""
        return 1

    @property
    def position(self) -> str:
        """The position of attention in a block."""
        return self.attention_position or self.positions[0]

    @property
    def hidden_channels(self) -> dict[Path, int]:
        """C of the flattened map [H, W, C] that a hidden matrix [H W C, F] reads, by the path of its layer."""
        return {}

    @nn.nowrap
    def attention_of(self, number: int) -> Attention:
        """The attention at a site, counted from 1; None for none."""
        return self.attention if self.attention_at is None or number in self.attention_at else None

    @nn.nowrap
    def check(self, images: Num[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """The images [B, H, W, C], unchanged, after a check of their type and size.

        Raises:
            InputError: if they are not floating-point numbers, or too small.
        """
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise InputError(
                f"images must be normalised floating-point numbers, got {images.dtype}; Run.predict takes uint8 images"
            )
        if images.ndim != 4 or min(images.shape[1:3]) < self.min_size:
            raise InputError(f"images must be [B, H, W, C] with H, W >= {self.min_size}, got {list(images.shape)}")
        return images


def attend(
    attention: Attention, x: Float[Array, "B H W C"], train: bool, name: str = "attention"
) -> Float[Array, "B H W C"]:
    """x [B, H, W, C] after an attention module, of the same shape. For the body of a compact module.

    Args:
        attention: a Linen class or a partial of one; None returns x. One that behaves differently in training is told
            by a field or an argument of its call (`attention.mode`).
        x: [B, H, W, C].
        train: whether it trains.
        name: of the module.

    Raises:
        InputError: if it does not keep the shape.
    """
    return x if attention is None else apply(mode.create(attention, train, name), x, train)


def apply(module: nn.Module, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H W C"]:
    """x [B, H, W, C] after a module that `attention.mode.create` made, of the same shape.

    Raises:
        InputError: if it does not keep the shape.
    """
    attended = mode.attend(module, x, train)
    if attended.shape != x.shape:
        raise InputError(f"attention must keep the shape of its input, {list(x.shape)}, got {list(attended.shape)}")
    return attended


class _Probe(nn.Module):
    def __call__(self, x):
        return x


def site_shapes(network: Network, shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """The shape [H, W, C] of attention's input at each of the sites, for images of `shape` (H, W, 3)."""
    seen: dict[Path, tuple[int, ...]] = {}

    def record(call, args, kwargs, context):
        if isinstance(context.module, _Probe):
            seen[context.module.path] = args[0].shape[1:]
        return call(*args, **kwargs)

    probed = network.clone(attention=_Probe, attention_at=None)
    with nn.intercept_methods(record):
        jax.eval_shape(probed.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    height_width_channels = (seen[site.path] for site in network.sites())
    return [(height, width, channels) for height, width, channels in height_width_channels]
