"""Networks in PyTorch, as public repositories write them, for comparison in the benchmark and in tests."""

import torch
from torch import nn
from torch.nn import functional as F


class SE(nn.Module):
    """Squeeze-and-excitation without biases."""

    def __init__(self, channels, reduction):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze, self.excite = nn.Linear(channels, hidden, bias=False), nn.Linear(hidden, channels, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=(2, 3))))))[:, :, None, None]


def attention(channels, reduction):
    return SE(channels, reduction) if reduction else nn.Identity()


class BasicBlock(nn.Module):
    """With torchvision's names; without a projection, the shortcut is option A."""

    def __init__(self, inputs, channels, stride, projection, reduction, position):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added, self.position = stride, channels - inputs, position
        self.attention = attention(inputs if position == "pre" else channels, reduction)
        if projection and (stride != 1 or inputs != channels):
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def at(self, position, x):
        return self.attention(x) if self.position == position else x

    def forward(self, x):
        y = self.at("inside", F.relu(self.bn1(self.conv1(self.at("pre", x)))))
        y = self.at("residual", self.bn2(self.conv2(y)))
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        else:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return self.at("post", F.relu(self.at("identity", x) + y))


class ResNet(nn.Module):
    def __init__(self, blocks, widths, projection, reduction=0, position="residual"):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0])
        channels = widths[0]
        for i, (count, width) in enumerate(zip(blocks, widths, strict=True), 1):
            layer = []
            for j in range(count):
                stride = 2 if i > 1 and j == 0 else 1
                layer.append(BasicBlock(channels, width, stride, projection, reduction, position))
                channels = width
            setattr(self, f"layer{i}", nn.Sequential(*layer))
        self.stages, self.fc = len(blocks), nn.Linear(channels, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(1, self.stages + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.mean(dim=(2, 3)))


class WideBlock(nn.Module):
    def __init__(self, inputs, channels, stride, reduction, position):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.attention = attention(inputs if position == "pre" else channels, reduction)
        self.position = position
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Conv2d(inputs, channels, 1, stride, bias=False)

    def at(self, position, x):
        return self.attention(x) if self.position == position else x

    def forward(self, x):
        activated = F.relu(self.bn1(x))
        y = self.at("inside", F.relu(self.bn2(self.conv1(self.at("pre", activated)))))
        y = self.at("residual", self.conv2(y))
        x = self.shortcut(activated) if hasattr(self, "shortcut") else x
        return self.at("post", self.at("identity", x) + y)


class WideResNet(nn.Module):
    def __init__(self, blocks, widths, reduction=0, position="residual"):
        super().__init__()
        self.conv1, channels = nn.Conv2d(3, 16, 3, 1, 1, bias=False), 16
        for i, (count, width) in enumerate(zip(blocks, widths, strict=True), 1):
            layer = []
            for j in range(count):
                layer.append(WideBlock(channels, width, 2 if i > 1 and j == 0 else 1, reduction, position))
                channels = width
            setattr(self, f"layer{i}", nn.Sequential(*layer))
        self.bn1, self.fc = nn.BatchNorm2d(channels), nn.Linear(channels, 10)

    def forward(self, x):
        x = self.conv1(x)
        for i in (1, 2, 3):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(F.relu(self.bn1(x)).mean(dim=(2, 3)))


class ConvGroup(nn.Module):
    def __init__(self, inputs, channels, reduction):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4) for _ in range(2))
        for norm in (self.norm1, self.norm2):
            norm.weight.requires_grad = False
        self.attention = attention(channels, reduction)

    def forward(self, x):
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return self.attention(F.gelu(self.norm2(self.conv2(x))))


class Airbench(nn.Module):
    def __init__(self, widths=(64, 256, 256), reduction=0):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad = False
        inputs = (24, *widths[:-1])
        self.groups = nn.ModuleList(ConvGroup(a, b, reduction) for a, b in zip(inputs, widths, strict=True))
        self.head = nn.Linear(widths[-1], 10, bias=False)

    def forward(self, x):
        x = F.gelu(self.whiten(x))
        for group in self.groups:
            x = group(x)
        return self.head(F.max_pool2d(x, 3).flatten(1)) / 9


NETWORKS = {
    "resnet20": lambda reduction: ResNet((3, 3, 3), (16, 32, 64), False, reduction),
    "resnet18": lambda reduction: ResNet((2, 2, 2, 2), (64, 128, 256, 512), True, reduction),
    "airbench94": lambda reduction: Airbench(reduction=reduction),
}
