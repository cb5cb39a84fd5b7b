"""From a configuration to the compiled functions that train and evaluate it."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxattn import runtime
from jaxattn.config import Config
from jaxattn.data.augment import AUGMENT
from jaxattn.data.spec import Spec
from jaxattn.errors import InputError, lookup
from jaxattn.networks import create
from jaxattn.networks.network import Group, Network
from jaxattn.networks.placement import Placement
from jaxattn.runtime import KEEP_BARRIERS, QUICK_COMPILE
from jaxattn.training import devices, optim
from jaxattn.training.batch import make_batch
from jaxattn.training.groups import decayed, named, of_group
from jaxattn.training.muon import muon, with_muon
from jaxattn.training.state import TrainState, init_state
from jaxattn.training.step import end_epoch, make_eval_step, make_train_step, make_train_steps

MAX_STEPS = 100
COMPUTE_DTYPE = {"float32": None, "bf16": jnp.bfloat16}


class Program(NamedTuple):
    """The pure functions of one configuration, compiled when first called.

    Attributes:
        model: the network.
        init: `key -> TrainState`.
        batch: jitted augmentation: (key, step, images, rows) -> batch (see `batch.make_batch`).
        step: the function from `step.make_train_step`, by whether norms and dropout act as in training.
        steps: likewise, from `step.make_train_steps`.
        steps_in_call: how many of an epoch's steps one call of `steps` should take; 1 if `step` should be called.
        evaluate: from `step.make_eval_step`.
        end_epoch: `(state, loss) -> state`, after the reduce-on-plateau has seen an epoch's loss.
        learning_rate: `state -> rate`, of the last step.
    """

    model: Network
    init: jax.stages.Wrapped
    batch: Callable[..., jax.Array]
    step: dict[bool, jax.stages.Wrapped]
    steps: dict[bool, jax.stages.Wrapped]
    steps_in_call: int
    evaluate: Callable
    end_epoch: Callable
    learning_rate: Callable[..., jax.Array]


def build(config: Config, spec: Spec, steps_per_epoch: int) -> Program:
    """The program of a configuration.

    Args:
        config: what to train.
        spec: of the data set.
        steps_per_epoch: steps in an epoch.

    Raises:
        InputError: if attention, augmentation, optimiser or schedule is unknown.
    """
    model = network(config, spec)
    rate = _rate(config, config.learning_rate, steps_per_epoch)
    optimizer = _optimizer(config, rate, steps_per_epoch, model)
    plateau = optim.plateau(config.schedule, config.plateau_factor, config.plateau_patience)
    augment = functools.partial(lookup("augmentation", config.augment, AUGMENT), padding=config.crop_padding)
    batch_of = make_batch(augment, spec, steps_per_epoch if config.flips == "alternating" else 0, config.cutout)

    def jit(function, cpu=KEEP_BARRIERS, **options):
        return runtime.jit(function, cpu, out_shardings=devices.replicated(), **options)

    step = {
        train: make_train_step(model, optimizer, batch_of, train, config.label_smoothing, config.ema, config.mixup)
        for train in (True, False)
    }
    return Program(
        model=model,
        init=jit(
            lambda key: init_state(model, optimizer, plateau, key, spec.image_shape, averaged=config.ema > 0),
            cpu=QUICK_COMPILE,
        ),
        batch=runtime.jit(batch_of),
        step={train: jit(one, donate_argnums=0) for train, one in step.items()},
        steps={train: jit(make_train_steps(one), donate_argnums=0) for train, one in step.items()},
        steps_in_call=steps_in_call(jax.default_backend(), steps_per_epoch),
        evaluate=jit(make_eval_step(model, spec)),
        end_epoch=jit(lambda state, loss: end_epoch(plateau, state, loss)),
        learning_rate=jit(lambda state: rate(state.step - 1) * state.plateau.scale),
    )


def _rate(config, peak, steps_per_epoch):
    warmup = round(config.warmup_epochs * steps_per_epoch)
    milestones = optim.fractions(config.milestones)
    steps = config.epochs * steps_per_epoch
    return optim.learning_rate(config.schedule, peak, steps, warmup, milestones, config.milestone_factor)


def _optimizer(config, rate, steps_per_epoch, model):
    make = lookup("optimizer", config.optimizer, optim.OPTIMIZERS)
    optimizer = make(rate, config.weight_decay, decayed(model), config.momentum)
    if config.norm_bias_rate != 1:
        optimizer = optax.chain(optimizer, optim.scaled(config.norm_bias_rate, of_group(model, Group.NORM_BIAS)))
    if config.muon_rate:
        hidden = muon(_rate(config, config.muon_rate, steps_per_epoch), config.muon_decay, model.hidden_channels)
        optimizer = with_muon(optimizer, hidden, of_group(model, Group.HIDDEN))
    return optimizer


def ingredients(config: Config, program: Program) -> dict[str, tuple[str, ...]]:
    """The parameters that each ingredient in use acts on, by the name of its setting (`groups.named`).

    Raises:
        InputError: if one acts on none.
    """
    model, params = program.model, template(program).params
    in_use = {
        "weight_decay": (config.weight_decay > 0, decayed(model)),
        "norm_bias_rate": (config.norm_bias_rate != 1, of_group(model, Group.NORM_BIAS)),
        "muon_rate": (config.muon_rate > 0, of_group(model, Group.HIDDEN)),
        "first_conv": (config.first_conv != "pytorch", of_group(model, Group.FIRST)),
        "later_convs": (config.later_convs != "pytorch", of_group(model, Group.CONVOLUTION)),
    }
    acts_on = {name: named(chosen(params)) for name, (is_used, chosen) in in_use.items() if is_used}
    for name, names in acts_on.items():
        if not names:
            raise InputError(
                f"{name} {getattr(config, name)} has no effect in the network {config.network}; leave it at "
                f"{'pytorch' if name in ('first_conv', 'later_convs') else 1 if name == 'norm_bias_rate' else 0}",
                name,
            )
    return acts_on


def template(program: Program) -> TrainState:
    """The shapes and types of the program's state."""
    return jax.eval_shape(program.init, jax.random.key(0))


def steps_in_call(platform: str, steps_per_epoch: int) -> int:
    """Steps that one call takes: many where a call has overhead, but few enough to show progress and see divergence.

    It is the number from 50 to 100 that leaves the fewest steps of the epoch over; these are called one by one. On a
    CPU it is 1, since XLA's loops run each operation on one core there: in a loop, a step took 18 times as long.
    """
    if platform == "cpu":
        return 1
    most = min(MAX_STEPS, steps_per_epoch)
    return min(range(most, most // 2, -1), key=lambda count: steps_per_epoch % count, default=1)


def network(config: Config, spec: Spec) -> Network:
    """The network of a configuration; arguments and errors are those of `build`."""
    return create(
        config.attention,
        config.reduction,
        spec.image_shape,
        config.network,
        Placement(config.attention_at, config.attention_position, config.attention_start),
        dropout=config.dropout,
        classes=len(spec.classes),
        compute_dtype=COMPUTE_DTYPE[config.precision],
    )
