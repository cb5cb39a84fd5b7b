"""The network of airbench94, which trains to 94 % on CIFAR-10 in about ten epochs."""

import functools
from typing import final

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Num

from jaxattn.attention.registry import Attention
from jaxattn.layers import convolution, dense, init
from jaxattn.layers.compute_dtype import ComputeDtype
from jaxattn.layers.norm import BatchNorm
from jaxattn.layers.pooling import max_pool_2x2
from jaxattn.networks.network import Layer, Network, Site, attend

KEPT = 0.6  # fraction of the old running statistics that is kept in a step
EPSILON = 1e-12  # of the norms


@final
class ConvGroup(nn.Module):
    """conv 3x3 → max pool 2x2 → norm → GELU → conv 3x3 → norm → GELU → [attention]; norms have no scale.

    Attributes:
        channels: width C of the group.
        attention: as in `Network`; None for none.
        compute_dtype: see `Network`.
    """

    channels: int
    attention: Attention = None
    compute_dtype: ComputeDtype = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W Cin"], train: bool = False) -> Float[Array, "B H//2 W//2 C"]:
        """x [B, H, W, Cin] to [B, H // 2, W // 2, C].

        Raises:
            InputError: if the attention does not keep the shape of its input.
        """
        conv = functools.partial(convolution.conv_general_dilated, compute_dtype=self.compute_dtype)

        def convolve(x, name):
            options = {"padding": 1, "use_bias": False, "conv_general_dilated": conv}
            return init.conv(self.channels, x.shape[-1], 3, name=name, **options)(x)

        def activate(x, name):
            norm = BatchNorm(momentum=KEPT, epsilon=EPSILON, use_scale=False, name=name)
            return nn.gelu(norm(x, train), approximate=False)

        x = activate(max_pool_2x2(convolve(x, "conv1")), "norm1")
        return attend(self.attention, activate(convolve(x, "conv2"), "norm2"), train)


@final
class Airbench(Network):
    """conv 2x2, GELU; groups of convolutions with 64, 256, 256 channels; max pool 3x3; dense, divided by 9.

    The first convolution has as many filters as whitening gives, two for each of the 12 inputs of a patch, and its
    kernel is not trained: `first_conv` should be "whitening".

    Source: arXiv:2404.00498, section 3 and listing 4. There the bias of the first convolution is trained for three
    epochs, here to the end; there Lookahead's average of the weights is tested, here that of `ema`.
    """

    positions = ("after",)
    first = ("whiten",)
    frozen = ("whiten",)

    widths: tuple[int, ...] = (64, 256, 256)

    @nn.nowrap
    def sites(self) -> tuple[Site, ...]:
        """One at the end of each group."""
        return tuple(Site(f"group{i}", (f"group{i}", "attention"), i) for i in range(1, len(self.widths) + 1))

    @nn.nowrap
    def layers(self) -> tuple[Layer, ...]:
        """The first convolution; the convolutions, norms, attention and output of each group."""
        layers = [Layer("whiten", ("whiten",))]
        for site in self.sites():
            parts = ("conv1", "norm1", "conv2", "norm2", "attention")
            layers += [Layer(f"{site.name}_{part}", (site.name, part)) for part in parts]
            layers.append(Layer(site.name, (site.name,), mapped=True))
        return tuple(layers)

    @property
    def min_size(self) -> int:
        """The size that the pools need."""
        return 3 * 2 ** len(self.widths) + 1

    @nn.compact
    def __call__(self, images: Num[Array, "B H W 3"], train: bool = False) -> Float[Array, "B K"]:
        """Normalised images [B, H, W, 3] to logits [B, K].

        Raises:
            InputError: if the images are not floating-point numbers, or smaller than the pools need.
        """

        def frozen(x, kernel, *options, **others):
            return convolution.conv_general_dilated(
                x, jax.lax.stop_gradient(kernel), *options, compute_dtype=self.compute_dtype, **others
            )

        x = init.conv(24, 3, 2, padding="VALID", conv_general_dilated=frozen, name="whiten")(self.check(images))
        x = nn.gelu(x, approximate=False)
        for number, (site, channels) in enumerate(zip(self.sites(), self.widths, strict=True), 1):
            x = ConvGroup(channels, self.attention_of(number), self.compute_dtype, name=site.name)(x, train)
        x = nn.max_pool(x, (3, 3), strides=(3, 3)).reshape(x.shape[0], -1)
        dot = functools.partial(dense.dot_general, compute_dtype=self.compute_dtype)
        return init.dense(self.classes, x.shape[-1], use_bias=False, dot_general=dot, name="head")(x) / 9
