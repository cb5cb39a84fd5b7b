"""The PyTorch side of the benchmark: the tutorial's network and program, in one of several settings.

Started by the benchmark, which sends a line and reads a line of JSON: "step N" gives the seconds of N training steps,
"epoch WORKERS" the seconds of one epoch with its evaluation, "memory" the peak resident set in bytes.
"""

import json
import random
import resource
import sys
import time

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch_networks import NETWORKS

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, reduction=16):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.layers(x.mean((2, 3)))[:, :, None, None]


def network(attention=True):
    layers, inputs = [], 3
    for channels in (32, 64, 128):
        layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [SqueezeExcitation(channels)] if attention else []
        layers += [nn.MaxPool2d(2, 2)]
        inputs = channels
    head = [nn.Flatten(), nn.Linear(2048, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 10)]
    return nn.Sequential(*layers, *head)


class PillowTransforms:
    """What torchvision's transforms do to a Pillow image, with the same Pillow calls, if torchvision is missing.

    RandomCrop(32, padding=4), RandomHorizontalFlip, ColorJitter(.2, .2, .2, .1), RandomRotation(15), ToTensor and
    Normalize.
    """

    def __call__(self, image):
        image = ImageOps.expand(image, border=4, fill=0)
        left, top = random.randint(0, 8), random.randint(0, 8)
        image = image.crop((left, top, left + 32, top + 32))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        jitters = [self.hue, *(self.enhance(kind) for kind in ("Brightness", "Contrast", "Color"))]
        random.shuffle(jitters)
        for jitter in jitters:
            image = jitter(image)
        return to_tensor(image.rotate(random.uniform(-15, 15)))

    @staticmethod
    def enhance(kind):
        return lambda image: getattr(ImageEnhance, kind)(image).enhance(random.uniform(0.8, 1.2))

    @staticmethod
    def hue(image):
        hue, saturation, value = image.convert("HSV").split()
        turned = np.array(hue, dtype=np.uint8) + np.uint8(int(random.uniform(-0.1, 0.1) * 255) % 256)
        return Image.merge("HSV", (Image.fromarray(turned, "L"), saturation, value)).convert("RGB")


def to_tensor(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
    return pixels.sub_(torch.tensor(MEAN)[:, None, None]).div_(torch.tensor(STD)[:, None, None])


def transforms():
    """The transforms of training, and their name."""
    try:
        from torchvision import transforms as tv
    except ImportError:
        return PillowTransforms(), "Pillow calls as torchvision makes them"
    return tv.Compose(
        [
            tv.RandomCrop(32, padding=4),
            tv.RandomHorizontalFlip(),
            tv.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
            tv.RandomRotation(15),
            tv.ToTensor(),
            tv.Normalize(MEAN, STD),
        ]
    ), "torchvision"


class Images(Dataset):
    def __init__(self, images, labels, transform):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.images[i])), int(self.labels[i])


class Subject:
    def __init__(self, setting, batch, data, name="cnn"):
        torch.manual_seed(0)
        self.memory_format = torch.contiguous_format if setting == "nchw" else torch.channels_last
        net = network() if name == "cnn" else NETWORKS[name](reduction=16)
        self.net = net.to(memory_format=self.memory_format)
        self.forward = torch.compile(self.net) if setting == "compiled" else self.net
        self.bf16 = setting == "bf16"
        self.optimizer = torch.optim.Adam(self.net.parameters())
        self.loss = nn.CrossEntropyLoss()
        self.batch, self.data, self.transform = batch, data, transforms()
        self.x = torch.randn(batch, 3, 32, 32).to(memory_format=self.memory_format)
        self.y = torch.randint(0, 10, (batch,))

    def train(self, x, y):
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.loss(self.forward(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def step(self, count):
        self.net.train()
        seconds = []
        for _ in range(int(count)):
            start = time.perf_counter()
            self.train(self.x, self.y)
            seconds.append(time.perf_counter() - start)
        return seconds

    def epoch(self, workers):
        with np.load(self.data) as data:
            arrays = [data[name] for name in ("train_images", "train_labels", "test_images", "test_labels")]
        train = Images(*arrays[:2], self.transform[0])
        test = Images(*arrays[2:], to_tensor)
        loaders = [
            DataLoader(images, self.batch, shuffle=images is train, num_workers=int(workers))
            for images in (train, test)
        ]
        start = time.perf_counter()
        self.net.train()
        total = 0.0
        for x, y in loaders[0]:
            total += self.train(x.to(memory_format=self.memory_format), y)
        self.net.eval()
        with torch.no_grad():
            for x, y in loaders[1]:
                logits = self.net(x.to(memory_format=self.memory_format))
                total += self.loss(logits, y).item() + (logits.argmax(1) == y).sum().item()
        return time.perf_counter() - start

    def about(self):
        return {"torch": torch.__version__, "transforms": self.transform[1]}

    def memory(self):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    setting, batch, *others = sys.argv[1:]
    subject = Subject(setting, int(batch), *others)
    for line in sys.stdin:
        command, *arguments = line.split()
        print(json.dumps(getattr(subject, command)(*arguments)), flush=True)
