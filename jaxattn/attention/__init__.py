"""Attention modules, one method per file. `registry` lists them by name.

Each is a plain Linen class from maps [B, H, W, C] of any size to maps of the same shape, so it fits into any Linen
network, and into an NNX network through `flax.nnx.bridge.ToNNX`. The short names are those of the papers.
"""

from jaxattn.attention.bam import BottleneckAttention as BAM
from jaxattn.attention.cbam import ConvolutionalBlockAttention as CBAM
from jaxattn.attention.channel import ChannelAttention
from jaxattn.attention.coord import CoordinateAttention
from jaxattn.attention.eca import EfficientChannelAttention as ECA
from jaxattn.attention.ela import EfficientLocalAttention as ELA
from jaxattn.attention.ema import EfficientMultiScaleAttention as EMA
from jaxattn.attention.ese import EffectiveSqueezeExcitation as ESE
from jaxattn.attention.fca import FrequencyChannelAttention as FCA
from jaxattn.attention.gate import Gate
from jaxattn.attention.gc import GlobalContext as GC
from jaxattn.attention.gct import GatedChannelTransformation as GCT
from jaxattn.attention.ge import GatherExcite
from jaxattn.attention.grn import GlobalResponseNormalisation as GRN
from jaxattn.attention.mhsa import MultiHeadSelfAttention as MHSA
from jaxattn.attention.non_local import NonLocal
from jaxattn.attention.nosqueeze import NoSqueeze
from jaxattn.attention.registry import ATTENTION
from jaxattn.attention.resolve import resolve
from jaxattn.attention.se import SqueezeExcitation as SE
from jaxattn.attention.sge import SpatialGroupEnhance as SGE
from jaxattn.attention.shuffle import ShuffleAttention
from jaxattn.attention.simam import SimAM
from jaxattn.attention.sk import SelectiveKernel as SK
from jaxattn.attention.spatial import SpatialAttention
from jaxattn.attention.srm import StyleRecalibration as SRM
from jaxattn.attention.triplet import TripletAttention

__all__ = [
    "ATTENTION", "BAM", "CBAM", "ECA", "ELA", "EMA", "ESE", "FCA", "GC", "GCT", "GRN", "MHSA", "SE", "SGE", "SK", "SRM",
    "ChannelAttention", "CoordinateAttention", "Gate", "GatherExcite", "NoSqueeze", "NonLocal", "ShuffleAttention",
    "SimAM", "SpatialAttention", "TripletAttention", "resolve",
]  # fmt: skip
