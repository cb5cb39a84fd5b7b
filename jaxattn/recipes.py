"""Recipes: named sets of training flags."""

from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    # Chosen by validation accuracy alone.
    "standard": {
        "epochs": 16,
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.12,
        "norm_bias_rate": 8.0,
        "muon_rate": 0.015,
        "muon_decay": 0.2,
        "schedule": "linear",
        "warmup_epochs": 3.0,
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
    },
    # The tutorial's program as it is written, slips included: the test loss is monitored, and the network is put into
    # training mode once, before the first epoch, and into evaluation mode at the end of each.
    "original": {
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
        "keep": "last",
    },
}
