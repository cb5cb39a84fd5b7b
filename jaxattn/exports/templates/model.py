"""The network of a jaxattn run in PyTorch, in float32. It needs nothing but torch, and `model.pt` with the weights.

    model = load("model.pt")
    logits = model(preprocess(images))  # images: uint8 [B, H, W, 3], RGB, 0 to 255
    names = [CLASSES[i] for i in logits.argmax(dim=1)]

The network does not normalise its input; `preprocess` does.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = (32, 32)  # height and width of an image
MEAN = (0.4914, 0.4822, 0.4465)  # of red, green and blue, from 0 to 1
STD = (0.2023, 0.1994, 0.201)  # as in training; not the standard deviation of CIFAR-10's pixels
WIDTHS = (32, 64, 128)  # channels of each block
HIDDEN = 512
DROPOUT = 0.0
ATTENTION = "se"
ATTENTION_AT = (1, 2, 3)  # blocks, counted from 1
POSITION = "before"  # the pool, or "after" it
REDUCTION = 16  # channels per hidden unit of the attention


class SqueezeExcitation(nn.Module):
    """Channels weighted by a small network that sees their means. arXiv:1709.01507."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // REDUCTION, 1)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=(2, 3))))))
        return x * gate[:, :, None, None]


class EfficientChannelAttention(nn.Module):
    """Channels weighted by a convolution along them over their means. arXiv:1910.03151."""

    def __init__(self, channels: int):
        super().__init__()
        size = 2 * math.floor((math.log2(channels) + 1) / 4) + 1
        self.mix = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.mix(x.mean(dim=(2, 3))[:, None]))
        return x * gate[:, 0, :, None, None]


class ChannelAttention(nn.Module):
    """Channels weighted by a small network that sees their means and their maxima. arXiv:1807.06521."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // REDUCTION, 1)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means, maxima = (self.excite(F.relu(self.squeeze(z))) for z in (x.mean(dim=(2, 3)), x.amax(dim=(2, 3))))
        return x * torch.sigmoid(means + maxima)[:, :, None, None]


class SpatialAttention(nn.Module):
    """Positions weighted by a convolution over the mean and the maximum of the channels. arXiv:1807.06521."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1)
        return x * torch.sigmoid(self.conv(pooled))


class ConvolutionalBlockAttention(nn.Module):
    """Channel attention, then spatial attention: CBAM. arXiv:1807.06521."""

    def __init__(self, channels: int):
        super().__init__()
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))


class SimAM(nn.Module):
    """Each value weighted by how far it is from its channel's mean, without parameters. PMLR 139:11863."""

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        squares = (x - x.mean(dim=(2, 3), keepdim=True)) ** 2
        variance = squares.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(squares / (4 * (variance + 1e-4)) + 0.5)


MODULES = {
    "se": SqueezeExcitation,
    "eca": EfficientChannelAttention,
    "channel": ChannelAttention,
    "spatial": SpatialAttention,
    "cbam": ConvolutionalBlockAttention,
    "simam": SimAM,
}


class Block(nn.Module):
    """conv 3x3, BatchNorm, ReLU, attention, max pool 2x2."""

    def __init__(self, inputs: int, channels: int, attended: bool):
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.attention = MODULES[ATTENTION](channels) if attended else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        if POSITION == "before":
            return F.max_pool2d(self.attention(x), 2)
        return self.attention(F.max_pool2d(x, 2))


class Net(nn.Module):
    """The classifier: normalised images [B, 3, H, W] to logits [B, K]."""

    def __init__(self) -> None:
        super().__init__()
        for i, (inputs, channels) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False), 1):
            self.add_module(f"block{i}", Block(inputs, channels, ATTENTION != "none" and i in ATTENTION_AT))
        height, width = (size >> len(WIDTHS) for size in SIZE)
        self.hidden = nn.Linear(WIDTHS[-1] * height * width, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(HIDDEN, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for i in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"block{i}")(x)
        return self.head(self.dropout(F.relu(self.hidden(x.flatten(1)))))


def preprocess(images: Tensor) -> Tensor:
    """Images [B, H, W, 3], RGB from 0 to 255, as the network takes them: [B, 3, H, W], normalised."""
    scaled = images.float() / 255
    return ((scaled - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def load(path: str | Path = "model.pt") -> Net:
    """The network with the weights of a file, in evaluation mode."""
    model = Net()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
