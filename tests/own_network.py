"""A network as a reader would write one, with all that a recipe can act on."""

from typing import ClassVar

import flax.linen as nn

from jaxattn.networks.network import Layer, Network, Site, attend


class Net(Network):
    """Convolution, norm, ReLU, attention, mean over quarters, two dense layers."""

    first: ClassVar = ("stem",)

    widths: tuple[int, ...] = (8,)
    hidden: int = 8
    dropout: float = 0.0

    @nn.nowrap
    def sites(self):
        return (Site("stem", ("attention",), 1),)

    @nn.nowrap
    def layers(self):
        return (Layer("stem", ("stem",)), Layer("norm", ("norm",), mapped=True))

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(self.widths[0], (3, 3), strides=(2, 2), name="stem")(self.check(images))
        x = nn.relu(nn.BatchNorm(use_running_average=not train, name="norm")(x))
        x = attend(self.attention_of(1), x, train)
        x = x.mean(axis=(1, 2))
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(nn.Dense(self.hidden, name="hidden")(x)))
        return nn.Dense(self.classes, name="head")(x)
