"""The configuration of a run: each field is a flag, a key of `config.json` and a line of the report."""

import dataclasses
import math
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from jaxattn.errors import InputError, shortened
from jaxattn.recipes import RECIPES

BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "at_least": (">=", operator.ge),
    "above": (">", operator.gt),
    "below": ("<", operator.lt),
}
LARGEST = 1_000_000  # of numbers without an upper bound of their own: steps are counted, and sums kept, in 32 bits
LONGEST = 4096  # characters of a text: as long as a path may be


def _flag(default: Any, group: str, help: str, **rules: Any) -> Any:
    """A field with its line in `--help` and its rule: `choices`, `at_least`, `below`, `above`."""
    return dataclasses.field(default=default, metadata={"group": group, "help": help, **rules})


def _recipe(kind: type, group: str, help: str, **rules: Any) -> Any:
    return _flag(None, group, help, kind=kind, **rules)


@final
@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of one run. Fields that a recipe sets may be given to override the recipe.

    `attention` may also be a class: it is kept by its name, "module:Class".

    Raises:
        InputError: where a value breaks the rule of its field.
    """

    recipe: str = _flag("standard", "what to train", "named set of training flags", choices=tuple(RECIPES))
    attention: str = _flag(
        "none",
        "what to train",
        "attention in each block: none, se, eca, cbam, ... (`python -m jaxattn.modules` lists all); alone it means se",
    )
    reduction: int = _flag(16, "what to train", "channels per hidden unit of the attention", at_least=1)
    attention_at: str = _flag("1,2,3", "what to train", "blocks with attention")
    attention_position: str = _flag(
        "before", "what to train", "position in the block, relative to the pool", choices=("before", "after")
    )
    seed: int = _flag(
        0, "what to train", "seed of weights, batches, augmentation and the validation split", at_least=0, below=2**32
    )
    init: str | None = _flag(
        None,
        "what to train",
        "weights to start from: a run folder, a safetensors export, or a file of PyTorch weights (default: drawn)",
    )

    dataset: str | None = _flag(
        None,
        "data",
        "data set, folder:DIR with your own images, or package.module:NAME (default: cifar10 where it is available, "
        "else shapes)",
    )
    image_size: str | None = _flag(
        None,
        "data",
        "pixels that the images of a folder are resized to, such as 64 or 48x64, height x width (default: 64, or 32 "
        "where they are smaller)",
    )
    skip_damaged: bool = _flag(False, "data", "leave out the images of a folder that cannot be read")
    data_dir: str = _flag(
        os.environ.get("TFDS_DATA_DIR", str(Path("~", "tensorflow_datasets"))), "data", "folder of the data set"
    )
    augment: str = _recipe(
        str,
        "data",
        "augmentation; basic crops and flips, above 64 pixels by a random resized crop",
        choices=("none", "basic", "full"),
    )
    crop_padding: int = _recipe(int, "data", "pixels of padding for the random crop", at_least=0, below=17)
    flips: str = _recipe(
        str,
        "data",
        "horizontal flips: at random, or each image in every other epoch",
        choices=("random", "alternating"),
    )
    cutout: int = _flag(
        0, "data", "side in pixels of a square that is hidden in each training image; 0: none", at_least=0, below=1025
    )
    mixup: float = _flag(
        0.0, "data", "alpha of mixup, which blends pairs of training images and their labels; 0: none", at_least=0
    )
    validation: float = _flag(
        0.1,
        "data",
        "fraction of the training images held out for validation, if that is monitored; 0: none, nothing is monitored",
        at_least=0,
        below=1,
    )

    epochs: int = _recipe(int, "training", "passes over the training images", at_least=1)
    batch_size: int = _recipe(int, "training", "images in a step", at_least=2)
    optimizer: str = _recipe(str, "training", "optimiser: Adam, or SGD with Nesterov momentum", choices=("adam", "sgd"))
    learning_rate: float = _recipe(float, "training", "peak learning rate", above=0)
    norm_bias_rate: float = _recipe(float, "training", "factor on the learning rate of the norms' biases", above=0)
    muon_rate: float = _recipe(
        float, "training", "peak learning rate of Muon for the hidden layer's kernel; 0: no Muon", at_least=0
    )
    muon_decay: float = _recipe(float, "training", "decoupled decay of the kernel that Muon trains", at_least=0)
    schedule: str = _recipe(
        str, "training", "learning-rate schedule", choices=("plateau", "cosine", "linear", "constant")
    )
    warmup_epochs: float = _recipe(float, "training", "epochs of linear warm-up to the peak", at_least=0)
    plateau_factor: float = _flag(0.5, "training", "factor on the learning rate at a plateau", above=0, below=1)
    plateau_patience: int = _flag(
        3, "training", "epochs without a lower loss before a plateau (as PyTorch counts)", at_least=0
    )
    weight_decay: float = _recipe(
        float, "training", "decay of kernels: decoupled with Adam (AdamW), coupled with SGD", at_least=0
    )
    label_smoothing: float = _recipe(
        float, "training", "fraction of each label that is spread over all classes", at_least=0, below=1
    )
    ema: float = _recipe(
        float, "training", "decay of the moving average of weights that is evaluated; 0: none", at_least=0, below=1
    )
    dropout: float = _recipe(float, "training", "fraction of the dense units dropped", at_least=0, below=1)
    first_conv: str = _recipe(
        str, "training", "initial kernel of the first convolution", choices=("pytorch", "whitening")
    )
    later_convs: str = _recipe(
        str, "training", "initial kernels of the other convolutions", choices=("pytorch", "dirac")
    )
    monitor: str = _recipe(
        str,
        "training",
        "split monitored by the plateau and the choice of the best epoch",
        choices=("validation", "test"),
    )
    train_mode: str = _recipe(
        str, "training", "epochs with dropout and batch statistics", choices=("every-epoch", "first-epoch")
    )
    precision: str = _flag(
        "float32",
        "training",
        "compute dtype of convolutions and dense layers (sums, weights and statistics stay float32); bf16 is for "
        "GPU and TPU: a CPU computes in float32 all the same",
        choices=("float32", "bf16"),
    )
    keep: str = _recipe(str, "training", "epoch whose weights are tested at the end", choices=("best", "last"))
    test_augmentation: str = _flag(
        "none",
        "training",
        "flips: the result also holds the accuracy of logits averaged over each test image and its mirror image",
        choices=("none", "flips"),
    )

    def __post_init__(self):
        if isinstance(self.attention, type):  # a class, by its name
            object.__setattr__(self, "attention", f"{self.attention.__module__}:{self.attention.__qualname__}")
        _check(Config.__dataclass_fields__["recipe"], self.recipe)
        for name, value in RECIPES[self.recipe].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for field in dataclasses.fields(self):
            if not (getattr(self, field.name) is None and _is_optional(field)):
                _check(field, getattr(self, field.name))
        for name, value in (("schedule", "plateau"), ("keep", "best")):
            if self.monitored is None and getattr(self, name) == value:
                raise InputError(f"validation must be above 0 where {name} is {value}, which follows it", "validation")

    @property
    def monitored(self) -> str | None:
        """The split that is monitored: "validation" or "test"; None where no images are held out."""
        return None if self.monitor == "validation" and self.validation == 0 else self.monitor

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """The inverse of `to_json`.

        Raises:
            InputError: where a field is missing, a key is not a field, or a value breaks its rule. What is missing is
                not filled from a recipe, which may have changed since.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = values.keys() - fields
        missing = [name for name, field in fields.items() if values.get(name) is None and not _is_optional(field)]
        for problem, keys in (("lacks", missing), ("has unknown keys:", unknown)):
            if keys:
                raise InputError(
                    f"the configuration {problem} {', '.join(sorted(keys))}; it was written by another version"
                )
        return cls(**values)


def kind(field: dataclasses.Field) -> type:
    """The type of a field's value: int, float, str or bool."""
    return field.metadata.get("kind") or (str if field.default is None else type(field.default))


def _is_optional(field: dataclasses.Field) -> bool:
    """Whether None is a value of the field, not a call for the recipe's."""
    return field.default is None and "kind" not in field.metadata


def _check(field: dataclasses.Field, value: Any) -> None:
    rules, wanted = field.metadata, kind(field)
    if isinstance(value, bool) != (wanted is bool) or not isinstance(
        value, (int, float) if wanted is float else wanted
    ):
        raise InputError(f"{field.name} must be of type {wanted.__name__}, got {shortened(value)}")
    if "choices" in rules and value not in rules["choices"]:
        raise InputError(f"unknown {field.name} {shortened(value)}; known are {', '.join(rules['choices'])}")
    if isinstance(value, str):
        _check_text(field.name, value)
        return
    bounds = [(sign, rules[name], holds) for name, (sign, holds) in BOUNDS.items() if name in rules]
    if not all(holds(value, bound) for _, bound, holds in bounds):
        rule = " and ".join(f"{sign} {bound}" for sign, bound, _ in bounds)
        raise InputError(f"{field.name} must be {rule}, got {shortened(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{field.name} must be a finite number, got {value}")
    if "below" not in rules and not BOUNDS["at_least"][1](LARGEST, value):
        raise InputError(f"{field.name} must be at most {LARGEST:,}, got {shortened(value)}")


def _check_text(name: str, value: str) -> None:
    """Checks that a text can be written, and read again."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} must be text that UTF-8 can hold, got {shortened(value)}", name) from error
    if "\0" in value or len(value) > LONGEST:
        raise InputError(
            f"{name} must be text without NUL, of at most {LONGEST:,} characters, got {len(value):,} of them: "
            f"{shortened(value)}",
            name,
        )
