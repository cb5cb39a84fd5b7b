"""Recipes: named sets of training flags, for each family of networks; a file may hold one more.

A recipe of a family lists what differs from the family's `standard`, which lists everything.
"""

from typing import Any

from jaxattn.errors import InputError, first_line, shortened
from jaxattn.limits import read_toml
from jaxattn.paths import local_path

Values = dict[str, Any]
STANDARD = "standard"
# Chosen by validation accuracy alone.
CNN: Values = {
    "epochs": 16,
    "batch_size": 128,
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 0.12,
    "norm_bias_rate": 8.0,
    "muon_rate": 0.015,
    "muon_decay": 0.2,
    "schedule": "linear",
    "warmup_epochs": 3.0,
    "milestones": "0.5,0.75",
    "milestone_factor": 0.1,
    "weight_decay": 5e-4,
    "label_smoothing": 0.1,
    "ema": 0.998,
    "dropout": 0.0,
    "first_conv": "whitening",
    "later_convs": "dirac",
    "augment": "basic",
    "crop_padding": 2,
    "flips": "alternating",
    "monitor": "validation",
    "train_mode": "every-epoch",
    "keep": "last",
}
# What differs in a run of four epochs, chosen by validation accuracy alone (`experiments/recipe`).
QUICK: Values = {"epochs": 4, "warmup_epochs": 0.5, "crop_padding": 1}
# The tutorial's program as it is written, mistakes included: the test loss is monitored, and the network is put into
# training mode once, before the first epoch, and into evaluation mode at the end of each.
ORIGINAL: Values = {
    "epochs": 50,
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "norm_bias_rate": 1.0,
    "muon_rate": 0.0,
    "muon_decay": 0.0,
    "schedule": "plateau",
    "warmup_epochs": 0.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "dropout": 0.5,
    "first_conv": "pytorch",
    "later_convs": "pytorch",
    "augment": "full",
    "crop_padding": 4,
    "flips": "random",
    "monitor": "test",
    "train_mode": "first-epoch",
}
# Ingredients for any network: none acts on a hidden matrix or on the norms' biases alone.
PLAIN: Values = {
    **CNN,
    "learning_rate": 0.1,
    "norm_bias_rate": 1.0,
    "muon_rate": 0.0,
    "muon_decay": 0.0,
    "warmup_epochs": 2.0,
    "first_conv": "pytorch",
    "later_convs": "pytorch",
}
# arXiv:1512.03385, section 4.2: 64,000 steps, the rate divided by 10 after 32,000 and 48,000. These are 182 epochs of
# the 45,000 images that are left of CIFAR's when a tenth is held out; of all 50,000 they are 164.
RESIDUAL_PAPER: Values = {
    "epochs": 182,
    "optimizer": "momentum",
    "schedule": "steps",
    "warmup_epochs": 0.0,
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "crop_padding": 4,
    "flips": "random",
}
# The same section: 110 layers start with a tenth of the rate, for about 400 steps. Here it rises to its peak in these.
DEEP_PAPER: Values = {**RESIDUAL_PAPER, "warmup_epochs": 1.14}
# arXiv:1605.07146, section 3: 200 epochs, the rate divided by 5 after 60, 120 and 160; Nesterov momentum.
WIDE_PAPER: Values = {
    **RESIDUAL_PAPER,
    "epochs": 200,
    "optimizer": "sgd",
    "milestones": "0.3,0.6,0.8",
    "milestone_factor": 0.2,
    "weight_decay": 5e-4,
}
# arXiv:2404.00498, listing 4, with rate and decay for the mean of the loss. There the rate rises from 0.2 of its peak
# and falls to 0.07 of it, the biases of norms are decayed, too, and Lookahead takes the place of `ema`.
AIRBENCH: Values = {
    **CNN,
    "epochs": 10,
    "batch_size": 1024,
    "momentum": 0.85,
    "learning_rate": 1.5,
    "norm_bias_rate": 64.0,
    "muon_rate": 0.0,
    "muon_decay": 0.0,
    "warmup_epochs": 2.3,
    "weight_decay": 1.33e-3,
    "label_smoothing": 0.2,
    "ema": 0.99,
}
# The attention for which a recipe was tuned, by family and recipe; "none" by the authors of a paper. Others were not.
TUNED_FOR = {
    ("cnn", STANDARD): "se",
    ("cnn", "quick"): "se",
    ("airbench94", STANDARD): "none",
    ("resnet", "paper"): "none",
    ("resnet110", "paper"): "none",
    ("wrn", "paper"): "none",
}
# By the first of these names that the network's name starts with.
FAMILIES: dict[str, dict[str, Values]] = {
    "airbench94": {STANDARD: AIRBENCH},
    "cnn": {STANDARD: CNN, "quick": QUICK, "original": ORIGINAL},
    "resnet110": {STANDARD: PLAIN, "paper": DEEP_PAPER},
    "resnet18": {STANDARD: PLAIN},  # its paper does not train it on CIFAR
    "resnet": {STANDARD: PLAIN, "paper": RESIDUAL_PAPER},
    "wrn": {STANDARD: PLAIN, "paper": WIDE_PAPER},
    "other": {STANDARD: PLAIN},
}


def recipes(network: str) -> dict[str, Values]:
    """The recipes of a network, by name, each with all of its values."""
    family = FAMILIES[_family(network)]
    return {name: {**family[STANDARD], **values} for name, values in family.items()}


def _family(network):
    return next((name for name in FAMILIES if network.startswith(name) and ":" not in network), "other")


def tuned_for(network: str, name: str) -> str | None:
    """The attention for which a recipe was tuned, "none" for the plain network; None if it was not tuned."""
    return TUNED_FOR.get((_family(network), name))


def recipe(network: str, name: str) -> Values:
    """All values of a recipe, by its name or from a TOML file, which may name another one as its `parent`.

    Raises:
        InputError: if it is unknown, the file cannot be read, or a key in it is not a recipe's.
    """
    known = recipes(network)
    if name in known:
        return known[name]
    if not is_file(name):
        raise InputError(
            f"unknown recipe {shortened(name)}; known are {', '.join(known)} for the network {network}, and a file "
            "NAME.toml"
        )
    try:
        values = read_toml(local_path(name, "recipe"))
    except InputError as error:
        raise InputError(str(error), "recipe") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"the recipe {name} cannot be read: {reason}", "recipe") from error
    parent = values.pop("parent", STANDARD)
    if not isinstance(parent, str) or parent not in known:
        raise InputError(f"parent in {name} must be one of {', '.join(known)}, got {shortened(parent)}", "recipe")
    if unknown := sorted(values.keys() - known[parent].keys()):
        raise InputError(
            f"{name} has the unknown key {unknown[0]}; a recipe may set {', '.join(known[parent])}", "recipe"
        )
    return {**known[parent], **values}


def is_file(name: str) -> bool:
    """Whether the name of a recipe is that of a file."""
    return name.endswith(".toml")


def defaults(network: str, name: str) -> Values:
    """What a recipe sets; for a file, which may have changed or be gone, what `standard` sets."""
    return recipes(network)[STANDARD] if is_file(name) else recipe(network, name)
