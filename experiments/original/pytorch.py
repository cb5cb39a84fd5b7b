"""The tutorial's program in PyTorch, with its slip corrected: the network trains in training mode in every epoch.

python -m experiments.original.pytorch --seed 0 --data-dir DIR --out RUN [--attention]

It checks `--recipe original --train-mode every-epoch`, which should reach the same; jaxattn only reads the images. It
uses Pillow's transforms, Adam with PyTorch's defaults and an incomplete last batch in each epoch, and halves the
learning rate if the test loss has not fallen for more than 3 epochs. PyTorch compiles the training step, with images in
the layout channels_last, which changes only rounding and time. Unlike in jaxattn, a seed does not give the networks
with and without attention the same initial weights.

With the same flags, it resumes after the last complete epoch. It writes the two files of a run that `python -m
experiments.original` reads, for RUN `<recipe>-<attention>-s<seed>`.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from experiments.benchmark.torch_subject import Images, network, to_tensor, transforms
from jaxattn.data.cifar10 import DATASET

EPOCHS, BATCH = 50, 64


class Tutorial:
    def __init__(self, attention, loaders):
        self.net = network(attention).to(memory_format=torch.channels_last)
        self.compiled, self.loaders, self.loss = torch.compile(self.net), loaders, nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=3)
        self.parts = {"net": self.net, "optimizer": self.optimizer, "plateau": self.plateau}

    def run(self, part):
        """Mean loss and accuracy over one of the loaders; "train" updates the weights."""
        train, sums = part == "train", torch.zeros(3, dtype=torch.float64)
        self.net.train(train)
        with torch.set_grad_enabled(train):
            for x, y in self.loaders[part]:
                forward = self.compiled if train else self.net
                logits = forward(x.to(memory_format=torch.channels_last))
                loss = self.loss(logits, y)
                if train:
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                sums += torch.tensor([loss.item() * len(y), (logits.argmax(1) == y).sum().item(), len(y)])
        return (sums[:2] / sums[2]).tolist()

    def epoch(self):
        """Trains one epoch and tests; returns the line of `metrics.jsonl`."""
        started, rate = time.perf_counter(), self.optimizer.param_groups[0]["lr"]
        losses, accuracies = zip(self.run("train"), self.run("test"), strict=True)
        self.plateau.step(losses[1])
        return {
            **dict(zip(("train_loss", "val_loss"), losses, strict=True)),
            **dict(zip(("train_accuracy", "val_accuracy"), accuracies, strict=True)),
            "learning_rate": rate,
            "seconds": round(time.perf_counter() - started, 3),
        }

    def save(self, path, metrics):
        draft = path.with_suffix(".part")
        torch.save({"metrics": metrics, **{name: part.state_dict() for name, part in self.parts.items()}}, draft)
        draft.replace(path)

    def restore(self, path):
        saved = torch.load(path, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        return saved["metrics"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attention", action="store_true")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2, help="processes that transform images")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    splits = DATASET.load(arguments.data_dir)
    transform, name = transforms()
    train = Images(splits.train.images, splits.train.labels, transform)
    test = Images(splits.test.images, splits.test.labels, to_tensor)
    loaders = {
        "train": DataLoader(train, BATCH, shuffle=True, num_workers=arguments.workers),
        "test": DataLoader(test, BATCH),
    }
    tutorial = Tutorial(arguments.attention, loaders)
    arguments.out.mkdir(parents=True, exist_ok=True)
    state = arguments.out / "state.pt"
    metrics = tutorial.restore(state) if state.exists() else []
    for number in range(len(metrics) + 1, EPOCHS + 1):
        torch.manual_seed(1000 * arguments.seed + number)
        random.seed(1000 * arguments.seed + number)  # for transforms in this process; workers are seeded by PyTorch
        metrics.append({"epoch": number, **tutorial.epoch()})
        (arguments.out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
        tutorial.save(state, metrics)
        print(metrics[-1], flush=True)
    result = {
        "test_loss": metrics[-1]["val_loss"],
        "test_accuracy": metrics[-1]["val_accuracy"],
        "tested_epoch": EPOCHS,
        "epochs": EPOCHS,
        "monitored": "test",
        "dataset": splits.name,
        "dataset_hash": splits.digest(),
        "attention": "se" if arguments.attention else "none",
        "seed": arguments.seed,
        "transforms": name,
        "versions": {"torch": torch.__version__},
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
