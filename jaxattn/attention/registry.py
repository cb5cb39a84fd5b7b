"""The attention modules by name. To add one, add a file to this folder and a line to `GROUPS`."""

import functools
from collections.abc import Callable

from flax import linen as nn

from jaxattn.attention.bam import BottleneckAttention, BottleneckAttentionCode
from jaxattn.attention.cbam import ConvolutionalBlockAttention
from jaxattn.attention.channel import ChannelAttention
from jaxattn.attention.controls import Constant, Random, Shuffled
from jaxattn.attention.coord import CoordinateAttention
from jaxattn.attention.eca import EfficientChannelAttention
from jaxattn.attention.ela import EfficientLocalAttention
from jaxattn.attention.ema import EfficientMultiScaleAttention
from jaxattn.attention.ese import EffectiveSqueezeExcitation
from jaxattn.attention.fca import FrequencyChannelAttention
from jaxattn.attention.gc import GlobalContext, GlobalContextScale
from jaxattn.attention.gct import GatedChannelTransformation
from jaxattn.attention.ge import GatherExcite, GatherExciteLearned
from jaxattn.attention.grn import GlobalResponseNormalisation
from jaxattn.attention.mhsa import MultiHeadSelfAttention
from jaxattn.attention.non_local import NonLocal
from jaxattn.attention.nosqueeze import NoSqueeze
from jaxattn.attention.se import SqueezeExcitation
from jaxattn.attention.sge import SpatialGroupEnhance
from jaxattn.attention.shuffle import ShuffleAttention
from jaxattn.attention.simam import SimAM
from jaxattn.attention.sk import SelectiveKernel
from jaxattn.attention.spatial import SpatialAttention
from jaxattn.attention.srm import StyleRecalibration
from jaxattn.attention.triplet import TripletAttention

Attention = Callable[..., nn.Module] | None  # a Linen class or a partial of one; None for no attention

variant = functools.partial
GROUPS: dict[str, dict[str, Attention]] = {
    "by channel": {
        "se": SqueezeExcitation,
        "ese": EffectiveSqueezeExcitation,
        "ese-code": variant(EffectiveSqueezeExcitation, hard=True),
        "eca": EfficientChannelAttention,
        "eca-fixed3": variant(EfficientChannelAttention, kernel=3),
        "channel": ChannelAttention,
        "channel-code": variant(ChannelAttention, bias=True),
        "ge": GatherExcite,
        "ge-learned": GatherExciteLearned,
        "gc": GlobalContext,
        "gc-scale": GlobalContextScale,
        "srm": StyleRecalibration,
        "srm-code": variant(StyleRecalibration, sample=True),
        "sk": SelectiveKernel,
        "fca": FrequencyChannelAttention,
        "gct": GatedChannelTransformation,
        "grn": GlobalResponseNormalisation,
        "grn-code": variant(GlobalResponseNormalisation, average=True),
    },
    "by position": {
        "spatial": SpatialAttention,
        "spatial-code": variant(SpatialAttention, normalise=True),
    },
    "by channel and position": {
        "cbam": ConvolutionalBlockAttention,
        "cbam-code": variant(ConvolutionalBlockAttention, code=True),
        "bam": BottleneckAttention,
        "bam-code": BottleneckAttentionCode,
        "ge-2": variant(GatherExcite, extent=2),
        "ge-4": variant(GatherExcite, extent=4),
        "ge-learned-2": variant(GatherExciteLearned, extent=2),
        "ge-learned-4": variant(GatherExciteLearned, extent=4),
        "simam": SimAM,
        "simam-code": variant(SimAM, sample=True),
        "coord": CoordinateAttention,
        "coord-code": variant(CoordinateAttention, minimum=8),
        "triplet": TripletAttention,
        "nosqueeze": NoSqueeze,
        "shuffle": ShuffleAttention,
        "ema": EfficientMultiScaleAttention,
        "sge": SpatialGroupEnhance,
        "sge-code": variant(SpatialGroupEnhance, sample=True),
        "ela": EfficientLocalAttention,
    },
    "self-attention": {
        "mhsa": MultiHeadSelfAttention,
        "mhsa-code": variant(MultiHeadSelfAttention, scaled=True),
        "nonlocal": NonLocal,
        "nonlocal-code": variant(NonLocal, code=True),
    },
    "controls": {
        "constant": Constant,
        "random": Random,
        "shuffled": Shuffled,
    },
}
NONE: dict[str, Attention] = {"none": None}
ATTENTION = NONE | {k: v for group in GROUPS.values() for k, v in group.items()}
