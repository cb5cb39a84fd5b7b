"""The same network in PyTorch, as the tutorial writes it; imported only where torch is installed."""

import torch
from torch import nn
from torch.nn import functional as F


class ChannelAttention(nn.Module):
    def __init__(self, channels, reduction=16):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.fc(x.mean(dim=(2, 3)))[:, :, None, None]


class TorchCNN(nn.Module):
    def __init__(self, attention=True, dropout=0.5, widths=(32, 64, 128), hidden=512):
        super().__init__()
        for i, (inputs, channels) in enumerate(zip((3, *widths[:2]), widths, strict=True), 1):
            setattr(self, f"conv{i}", nn.Conv2d(inputs, channels, 3, padding=1))
            setattr(self, f"bn{i}", nn.BatchNorm2d(channels))
            setattr(self, f"attention{i}", ChannelAttention(channels) if attention else nn.Identity())
        self.fc1 = nn.Linear(widths[2] * 4 * 4, hidden)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x):
        for i in (1, 2, 3):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
            x = F.max_pool2d(getattr(self, f"attention{i}")(x), 2)
        return self.fc2(self.dropout(F.relu(self.fc1(x.flatten(1)))))


def load(variables, attention, dropout=0.5, **sizes):
    """The twin with the weights of `variables`; `sizes` are its widths and hidden units, if they are others."""
    from jaxattn.convert import to_torch

    twin = TorchCNN(attention, dropout, **sizes)
    twin.load_state_dict({name: torch.tensor(value) for name, value in to_torch(variables).items()})
    return twin
