"""From a configuration to the compiled functions that train and evaluate it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxattn import attention, devices, optim, training
from jaxattn.attention.wide import widened
from jaxattn.config import Config
from jaxattn.data.augment import AUGMENT
from jaxattn.data.splits import Split
from jaxattn.errors import InputError, lookup
from jaxattn.model import CNN

EVAL_BATCH = 250
MOST_STEPS = 100
# Compiler options for a CPU. For what runs once, since compiling is most of its time:
QUICK = {"xla_backend_optimization_level": 0}
# For what trains and evaluates, since jax 0.10 would join what `winograd` keeps apart:
APART = {"xla_disable_hlo_passes": "cse_barrier_expander"}
PRODUCTS = {"float32": None, "bf16": jnp.bfloat16}


class Program(NamedTuple):
    """The pure functions of one configuration, compiled when first called.

    Attributes:
        model: the network.
        init: `key -> TrainState`.
        batch: of `training.make_batch`, what each step does first.
        step: by whether norms and dropout act as in training, the function of `training.make_train_step`.
        steps: likewise, of `training.make_train_steps`.
        steps_in_call: how many of an epoch's steps one call of `steps` is to take; 1 where `step` is to be called.
        evaluate: of `training.make_eval_step`.
        end_epoch: `(state, loss) -> state`, the plateau told of an epoch's loss.
        learning_rate: `(state, count) -> rate`, of the last of the next `count` steps.
    """

    model: CNN
    init: Callable[..., training.TrainState]
    batch: Callable[..., jax.Array]
    step: dict[bool, Callable]
    steps: dict[bool, Callable]
    steps_in_call: int
    evaluate: Callable
    end_epoch: Callable
    learning_rate: Callable[..., jax.Array]


def build(config: Config, classes: int, shape: tuple[int, int, int], steps_per_epoch: int) -> Program:
    """The program of a configuration.

    Args:
        config: what to train.
        classes: number of classes K.
        shape: of an image, (H, W, 3).
        steps_per_epoch: steps in an epoch.

    Raises:
        InputError: where attention, augmentation or schedule is not known.
    """
    model = _model(config, classes, shape)
    rate = optim.learning_rate(
        config.schedule,
        config.learning_rate,
        config.epochs * steps_per_epoch,
        round(config.warmup_epochs * steps_per_epoch),
    )
    optimizer = optim.adam(rate, config.weight_decay)
    plateau = optim.plateau(config.schedule, config.plateau_factor, config.plateau_patience)
    augment = lookup("augmentation", config.augment, AUGMENT)
    whole = devices.whole()

    def jit(function, compiler_options=APART, **options):
        return jax.jit(function, out_shardings=whole, compiler_options=on_cpu(compiler_options), **options)

    step = {train: training.make_train_step(model, optimizer, augment, train) for train in (True, False)}
    return Program(
        model=model,
        init=jit(
            lambda key: training.init_state(model, optimizer, plateau, key, shape),
            compiler_options=QUICK,
        ),
        batch=jax.jit(training.make_batch(augment)),
        step={train: jit(one, donate_argnums=0) for train, one in step.items()},
        steps={train: jit(training.make_train_steps(one), donate_argnums=0) for train, one in step.items()},
        steps_in_call=steps_in_call(jax.default_backend(), steps_per_epoch),
        evaluate=jit(training.make_eval_step(model)),
        end_epoch=jit(lambda state, loss: training.end_epoch(plateau, state, loss)),
        learning_rate=jit(lambda state, count: rate(state.step + count - 1) * state.plateau.scale),
    )


def on_cpu(options: dict[str, Any]) -> dict[str, Any] | None:
    """Compiler options that are meant for a CPU, if that is what programs run on here."""
    return options if jax.default_backend() == "cpu" else None


def steps_in_call(platform: str, steps_per_epoch: int) -> int:
    """Steps that one call takes: many, where each call costs, but few enough to show progress and see a loss diverge.

    Of 50 to 100 it is the number that leaves fewest steps of the epoch over; these are called one by one. On a CPU
    it is 1, since XLA's loops run each operation there on one core: a step took 18 times as long in one.
    """
    if platform == "cpu":
        return 1
    most = min(MOST_STEPS, steps_per_epoch)
    return min(range(most, most // 2, -1), key=lambda count: steps_per_epoch % count, default=1)


def _model(config: Config, classes: int, shape: tuple[int, int, int]) -> CNN:
    module = attention.resolve(config.attention, config.reduction)
    model = CNN(
        classes=classes,
        dropout=config.dropout,
        attention=module,
        attention_at=_blocks(config.attention_at, len(CNN.widths)),
        attention_position=config.attention_position,
        products=PRODUCTS[config.precision],
    )
    matched = attention.widened_after(config.attention)
    if matched is None:
        return model

    def parameters(widths, attention):
        variables = jax.eval_shape(
            model.clone(widths=widths, attention=attention).init, jax.random.key(0), np.zeros((1, *shape), np.float32)
        )
        return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))

    return model.clone(widths=widened(model.widths, attention.resolve(matched, config.reduction), parameters))


def _blocks(text: str, count: int) -> tuple[int, ...]:
    """Blocks 1..count from "1,3"."""
    parts = text.split(",")
    if not all(part.isdecimal() and 1 <= int(part) <= count for part in parts):
        raise InputError(f"attention_at must be blocks from 1 to {count} with commas between, got {text!r}")
    return tuple(sorted({int(part) for part in parts}))


def evaluate(program: Program, variables: dict[str, Any], split: Split) -> tuple[float, float, np.ndarray]:
    """Mean loss (nats), accuracy (fraction) and logits [N, K] of a split, over every picture once."""
    variables, images, labels = devices.put((variables, split.images, split.labels))
    count = jax.device_count()
    size = math.ceil(min(EVAL_BATCH, len(split)) / count) * count
    batches = np.arange(math.ceil(len(split) / size) * size, dtype=np.int32).reshape(-1, size)
    parts = [devices.settle(program.evaluate(variables, images, labels, devices.deal(batch))) for batch in batches]
    logits = np.concatenate([logits for _, logits in parts])[: len(split)]
    total = [sum(float(part) for part in column) for column in zip(*(sums for sums, _ in parts), strict=True)]
    return total[0] / total[2], total[1] / total[2], logits
