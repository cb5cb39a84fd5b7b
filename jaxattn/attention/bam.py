"""BAM: a channel and a dilated spatial branch, combined before the sigmoid, with a skip connection."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.layers import init
from jaxattn.layers.grouped_convolution import conv_general_dilated
from jaxattn.layers.norm import BatchNorm

DILATION = 4


def _dilated(features: int, inputs: int, name: str) -> nn.Conv:
    return init.conv(
        features,
        inputs,
        3,
        padding=DILATION,
        kernel_dilation=(DILATION, DILATION),
        conv_general_dilated=conv_general_dilated,
        name=name,
    )


@final
class BottleneckAttention(nn.Module):
    """y = x + x sigmoid(Mc(x) + Ms(x)): Mc weights by channel, Ms by position.

    Mc(x) = norm(W1 relu(W0 mean(x) + b0) + b1); Ms(x) = norm(f3(relu(f2(relu(f1(relu(f0(x)))))))), f0 and f3
    1x1, f1 and f2 3x3 with dilation 4, all with bias.

    Attributes:
        reduction: r; both branches have max(C // r, 1) hidden channels.
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:1807.06514, equations 1-4. The equations have no activation between the layers. The code has ReLU
    there; without it each branch would be one linear map. The authors' code multiplies the branches: `bam-code`. As in
    both, it stands before each downsampling: its default sites in a residual network are the ends of all stages but
    the last.
    """

    paper = "arXiv:1807.06514"
    formula = "x + x σ(norm(mlp(mean(x))) + norm(convs(x)))"
    usual_sites, usual_position = "bottlenecks", "post"
    differs = "paper: branches added, BatchNorm at their ends; code: multiplied, BatchNorm in the hidden layers"

    reduction: int = 16
    train: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]; the skip connection adds 1 to them."""
        channels = x.shape[-1]
        hidden = max(channels // self.reduction, 1)
        by_channel = jnp.mean(x, axis=(1, 2), keepdims=True)
        by_channel = nn.relu(init.dense(hidden, channels, name="squeeze")(by_channel))
        by_channel = init.dense(channels, hidden, name="excite")(by_channel)
        by_channel = BatchNorm(name="channel_norm")(by_channel, self.train)
        by_position = nn.relu(init.dense(hidden, channels, name="reduce")(x))
        by_position = nn.relu(_dilated(hidden, hidden, "context_1")(by_position))
        by_position = nn.relu(_dilated(hidden, hidden, "context_2")(by_position))
        by_position = init.dense(1, hidden, name="project")(by_position)
        by_position = BatchNorm(name="spatial_norm")(by_position, self.train)
        return nn.sigmoid(by_channel + by_position)

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] plus x times its gate: [B, H, W, C]."""
        return x + x * self.gate(x).astype(x.dtype)


@final
class BottleneckAttentionCode(nn.Module):
    """y = x + x sigmoid(Mc(x) Ms(x)): Mc weights by channel, Ms by position.

    Mc(x) = W1 relu(norm(W0 mean(x) + b0)) + b1; Ms(x) = f3 h(f2 h(f1 h(f0 x))) with h(u) = relu(norm(u)), f0 and
    f3 1x1, f1 and f2 3x3 with dilation 4, all with bias.

    Attributes:
        reduction: r; both branches have max(C // r, 1) hidden channels.
        train: whether BatchNorm uses the batch's statistics.

    Source: the authors' code for arXiv:1807.06514, whose constructor fails on a name that it never defines. Here it
    runs, and maps need not be square. The paper adds the branches: `bam`.
    """

    paper = BottleneckAttention.paper
    formula = "x + x σ(mlp(mean(x)) convs(x)), norm inside both"
    usual_sites, usual_position = BottleneckAttention.usual_sites, BottleneckAttention.usual_position
    differs = BottleneckAttention.differs

    reduction: int = 16
    train: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]; the skip connection adds 1 to them."""
        channels = x.shape[-1]
        hidden = max(channels // self.reduction, 1)

        def activate(u, name):
            return nn.relu(BatchNorm(name=name)(u, self.train))

        by_channel = jnp.mean(x, axis=(1, 2), keepdims=True)
        by_channel = activate(init.dense(hidden, channels, name="squeeze")(by_channel), "squeeze_norm")
        by_channel = init.dense(channels, hidden, name="excite")(by_channel)
        by_position = activate(init.dense(hidden, channels, name="reduce")(x), "reduce_norm")
        by_position = activate(_dilated(hidden, hidden, "context_1")(by_position), "context_1_norm")
        by_position = activate(_dilated(hidden, hidden, "context_2")(by_position), "context_2_norm")
        by_position = init.dense(1, hidden, name="project")(by_position)
        return nn.sigmoid(by_channel * by_position)

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] plus x times its gate: [B, H, W, C]."""
        return x + x * self.gate(x).astype(x.dtype)
