"""The configuration of a run: each field is a flag, a key of `config.json` and a line of the report."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, final

from jaxattn.errors import InputError
from jaxattn.fields import check, flag, is_optional, of_recipe
from jaxattn.recipes import CNN, is_file, recipe


@final
@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of one run. Fields that a recipe sets may be given to override the recipe.

    `attention` may also be a class: it is kept by its name, "module:Class".

    Raises:
        InputError: if a value breaks the rule of its field.
    """

    network: str = flag(
        "cnn",
        "what to train",
        "network: cnn, the tutorial's, or resnet20, wrn-16-4, ... (`jaxattn networks` lists all)",
    )
    recipe: str = flag(
        "standard", "what to train", "named set of training flags of the network, or a file NAME.toml with some"
    )
    attention: str = flag(
        "none",
        "what to train",
        "attention in each block: none, se, eca, cbam, ... (`jaxattn modules` lists all); without a name: se",
    )
    reduction: int = flag(16, "what to train", "channels per hidden unit of the attention", at_least=1)
    attention_at: str | None = flag(
        None,
        "what to train",
        "sites of the network with attention: numbers from 1, ranges, names, stage3, ends, last (default: where the "
        "module's paper has it, usually all; chains at all)",
    )
    attention_position: str | None = flag(
        None,
        "what to train",
        "position in a block; cnn: before or after the pool; residual networks: residual, pre, post, identity, inside "
        "or conv2 (default: before, residual)",
    )
    attention_start: str = flag(
        "usual",
        "what to train",
        "attention before training: what is usual for the module, or the identity, for pretrained weights",
        choices=("usual", "identity"),
    )
    seed: int = flag(
        0, "what to train", "seed of weights, batches, augmentation and the validation split", at_least=0, below=2**32
    )
    init: str | None = flag(
        None,
        "what to train",
        "weights to start from: a run folder, a safetensors export, or a file of PyTorch weights (default: drawn)",
    )

    dataset: str | None = flag(
        None,
        "data",
        "data set, folder:DIR with your own images, or package.module:NAME (default: cifar10 where it is available, "
        "else shapes)",
    )
    image_size: str | None = flag(
        None,
        "data",
        "pixels that the images of a folder are resized to, such as 64 or 48x64, height x width (default: 64, or 32 "
        "where they are smaller)",
    )
    skip_damaged: bool = flag(False, "data", "leave out the images of a folder that cannot be read")
    data_dir: str = flag(
        os.environ.get("TFDS_DATA_DIR", str(Path("~", "tensorflow_datasets"))), "data", "folder of the data set"
    )
    augment: str = of_recipe(
        str,
        "data",
        "augmentation; basic crops and flips, above 64 pixels by a random resized crop",
        choices=("none", "basic", "full"),
    )
    crop_padding: int = of_recipe(int, "data", "pixels of padding for the random crop", at_least=0, below=17)
    flips: str = of_recipe(
        str,
        "data",
        "horizontal flips: at random, or each image in every other epoch",
        choices=("random", "alternating"),
    )
    cutout: int = flag(
        0, "data", "side in pixels of a square that is hidden in each training image; 0: none", at_least=0, below=1025
    )
    mixup: float = flag(
        0.0, "data", "alpha of mixup, which blends pairs of training images and their labels; 0: none", at_least=0
    )
    validation: float = flag(
        0.1,
        "data",
        "fraction of the training images held out for validation, if that is monitored; 0: none, nothing is monitored",
        at_least=0,
        below=1,
    )

    epochs: int = of_recipe(int, "training", "passes over the training images", at_least=1)
    batch_size: int = of_recipe(int, "training", "images in a step", at_least=2)
    optimizer: str = of_recipe(
        str, "training", "optimiser: Adam, or SGD with Nesterov or plain momentum", choices=("adam", "sgd", "momentum")
    )
    momentum: float = of_recipe(float, "training", "momentum of SGD", at_least=0, below=1)
    learning_rate: float = of_recipe(float, "training", "peak learning rate", above=0)
    norm_bias_rate: float = of_recipe(float, "training", "factor on the learning rate of the norms' biases", above=0)
    muon_rate: float = of_recipe(
        float, "training", "peak learning rate of Muon for the hidden layer's kernel; 0: no Muon", at_least=0
    )
    muon_decay: float = of_recipe(float, "training", "decoupled decay of the kernel that Muon trains", at_least=0)
    schedule: str = of_recipe(
        str, "training", "learning-rate schedule", choices=("plateau", "cosine", "linear", "steps", "constant")
    )
    milestones: str = of_recipe(str, "training", "of steps: fractions of the training after which the rate falls")
    milestone_factor: float = of_recipe(
        float, "training", "of steps: factor on the learning rate at each", above=0, below=1
    )
    warmup_epochs: float = of_recipe(float, "training", "epochs of linear warm-up to the peak", at_least=0)
    plateau_factor: float = flag(0.5, "training", "of plateau: factor on the learning rate at each", above=0, below=1)
    plateau_patience: int = flag(
        3, "training", "of plateau: epochs without a lower loss before one (as PyTorch counts)", at_least=0
    )
    weight_decay: float = of_recipe(
        float, "training", "decay of kernels: decoupled with Adam (AdamW), coupled with SGD", at_least=0
    )
    label_smoothing: float = of_recipe(
        float, "training", "fraction of each label that is spread over all classes", at_least=0, below=1
    )
    ema: float = of_recipe(
        float, "training", "decay of the moving average of weights that is evaluated; 0: none", at_least=0, below=1
    )
    dropout: float = of_recipe(float, "training", "fraction of the dense units dropped", at_least=0, below=1)
    first_conv: str = of_recipe(
        str, "training", "initial kernel of the first convolution", choices=("pytorch", "whitening")
    )
    later_convs: str = of_recipe(
        str, "training", "initial kernels of the other convolutions", choices=("pytorch", "dirac")
    )
    monitor: str = of_recipe(
        str,
        "training",
        "split monitored by the plateau and the choice of the best epoch",
        choices=("validation", "test"),
    )
    train_mode: str = of_recipe(
        str, "training", "epochs with dropout and batch statistics", choices=("every-epoch", "first-epoch")
    )
    precision: str = flag(
        "float32",
        "training",
        "compute dtype of convolutions and dense layers (sums, weights and statistics stay float32); bf16 is for "
        "GPU and TPU: a CPU always computes in float32",
        choices=("float32", "bf16"),
    )
    keep: str = of_recipe(str, "training", "epoch whose weights are tested at the end", choices=("best", "last"))
    test_augmentation: str = flag(
        "none",
        "training",
        "the result also holds the accuracy of logits averaged over each test image and its mirror image (flips), and "
        "copies moved by a pixel (flips-and-shifts)",
        choices=("none", "flips", "flips-and-shifts"),
    )

    def __post_init__(self):
        if isinstance(self.attention, type):  # a class, by its name
            object.__setattr__(self, "attention", f"{self.attention.__module__}:{self.attention.__qualname__}")
        for name in ("network", "recipe"):
            check(Config.__dataclass_fields__[name], getattr(self, name))
        if not is_file(self.recipe) or any(getattr(self, name) is None for name in CNN):
            for name, value in recipe(self.network, self.recipe).items():
                if getattr(self, name) is None:
                    object.__setattr__(self, name, value)
        for field in dataclasses.fields(self):
            if not (getattr(self, field.name) is None and is_optional(field)):
                check(field, getattr(self, field.name))
        for name, value in (("schedule", "plateau"), ("keep", "best")):
            if self.monitored is None and getattr(self, name) == value:
                raise InputError(f"validation must be above 0 if {name} is {value}, which monitors it", "validation")

    @property
    def monitored(self) -> str | None:
        """The split that is monitored: "validation" or "test"; None if no images are held out."""
        return None if self.monitor == "validation" and self.validation == 0 else self.monitor

    @property
    def subject(self) -> str:
        """The attention in words, and the network if it is not the tutorial's."""
        return f"{'' if self.network == 'cnn' else f'network {self.network}, '}attention {self.attention}"

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """The inverse of `to_json`.

        Raises:
            InputError: if a field is missing, a key is not a field, or a value breaks its rule. A missing field is not
                filled from a recipe, which may have changed since.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = values.keys() - fields
        missing = [name for name, field in fields.items() if values.get(name) is None and not is_optional(field)]
        for problem, keys in (("lacks", missing), ("has unknown keys:", unknown)):
            if keys:
                raise InputError(
                    f"the configuration {problem} {', '.join(sorted(keys))}; it was written by another version"
                )
        return cls(**values)


# Settings that act only where another one has one of these values.
_NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("optimizer", ("sgd", "momentum")),
    **dict.fromkeys(("milestones", "milestone_factor"), ("schedule", ("steps",))),
    **dict.fromkeys(("plateau_factor", "plateau_patience"), ("schedule", ("plateau",))),
}


def without_effect(config: Config, name: str) -> str | None:
    """Why a setting does nothing in a configuration; None if it does something."""
    other, values = _NEEDS.get(name, ("", ()))
    if not values or (found := getattr(config, other)) in values:
        return None
    return f"{name} acts only if {other} is {' or '.join(values)}, it is {found}"


def check_effect(config: Config, given: Iterable[str]) -> None:
    """Checks that none of the settings that were given is one that does nothing in this configuration.

    Raises:
        InputError: if one is.
    """
    for name in given:
        if reason := without_effect(config, name):
            raise InputError(f"{reason}; leave it out", name)
