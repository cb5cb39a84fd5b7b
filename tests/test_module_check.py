"""A module of the reader's own is refused before training where it cannot be used."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import own_network
import pytest
import tiny
from flax import linen as nn

from jaxattn import CNN, Config, fit
from jaxattn.attention import Gate
from jaxattn.errors import InputError
from jaxattn.explain.capture import mapped_layers
from jaxattn.networks.network import Layer, Network, Site, attend
from jaxattn.training.check import check_network

pytestmark = pytest.mark.usefixtures("small_network")
CONFIG = tiny.CONFIG | {"epochs": 1}


def norm_of(x, evaluating):
    return x * nn.sigmoid(nn.BatchNorm(use_running_average=evaluating)(x))


class Frozen(nn.Module):
    @nn.compact
    def __call__(self, x, mode="evaluation"):
        return norm_of(x, mode == "evaluation")


class HalfFrozen(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = norm_of(x, not train)
        return x * nn.sigmoid(nn.BatchNorm(use_running_average=True, name="forgotten")(x))


class Noise(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * jax.random.uniform(self.make_rng("noise"), x.shape)


class NoiseInEvaluation(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dropout(0.5, deterministic=False)(x)


class UpdatesAlways(nn.Module):
    @nn.compact
    def __call__(self, x):
        return norm_of(x, False)


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x, nn.sigmoid(x)


class PairOfGates(Gate):
    @nn.compact
    def gate(self, x):
        return nn.sigmoid(x), x


class Needs(nn.Module):
    @nn.compact
    def __call__(self, x, mask):
        return x * mask


class Wrong(nn.Module):
    @nn.compact
    def __call__(self, x):
        raise RuntimeError("first line\nsecond line")


class DropsByKeyword(nn.Module):
    @nn.compact
    def __call__(self, x, **mode):
        return nn.Dropout(0.5, deterministic=not mode.get("train", False))(x)


class DropsByPosition(nn.Module):
    @nn.compact
    def __call__(self, x, *mode):
        return nn.Dropout(0.5)(x, not (mode and mode[0]))


def hiding(method):
    def hidden(self, *given, **named):
        return method(self, *given, **named)

    return hidden


class DropsDecorated(nn.Module):
    def setup(self):
        self.drop = nn.Dropout(0.5)

    @hiding
    def __call__(self, x, train=False):
        return self.drop(x, deterministic=not train)


class DropsByAnotherField(nn.Module):
    inference: bool = True

    @nn.compact
    def __call__(self, x):
        return nn.MultiHeadDotProductAttention(1, dropout_rate=0.5, deterministic=self.inference)(x, x)


class DropsByAnUnknownField(nn.Module):
    still: bool = True

    @nn.compact
    def __call__(self, x):
        return nn.MultiHeadDotProductAttention(1, dropout_rate=0.5, deterministic=self.still)(x, x)


class IsTrain(nn.Module):
    @nn.compact
    def __call__(self, x, is_train=False):
        return x * jax.random.bernoulli(self.make_rng("dropout"), 0.5, x.shape) if is_train else x


class Inference(Gate):
    def gate(self, x, inference: bool = True):
        return jnp.ones_like(x) if inference else jax.random.uniform(self.make_rng("dropout"), x.shape)


class InferenceRequired(nn.Module):
    def __call__(self, x, *, inference: bool):
        return x


class InferenceField(nn.Module):
    inference: bool = True

    def __call__(self, x):
        return x if self.inference else x * jax.random.uniform(self.make_rng("dropout"), x.shape)


class Told(nn.Module):
    """It is told, so that other Boolean values are its own."""

    with_bias: bool = True
    test_weights: bool = False

    def __call__(self, x, train=False, return_weights=False):
        return x


class AsksNothing(nn.Module):
    """Its Boolean values do not say whether it trains."""

    with_bias: bool = True

    def __call__(self, x, return_weights=False, constrained: bool = True):
        return x


class OwnStatistics(nn.Module):
    @nn.compact
    def __call__(self, x, mode="evaluation"):
        mean = self.variable("stats", "mean", jnp.zeros, x.shape[-1:])
        if mode == "training":
            mean.value = x.mean(axis=(0, 1, 2))
        return x - mean.value[None, None, None]


class OfThisBatch(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.ones, (len(x), 1, 1, 1))


class OfInts(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", lambda key: jnp.ones((1, 1, 1, 1), jnp.int32))


class ReturnsInts(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x.astype(jnp.int32)


class ComplexGate(Gate):
    def gate(self, x):
        return jnp.exp(1j * x.mean(axis=(1, 2), keepdims=True))


class CountingGate(Gate):
    def gate(self, x):
        return jnp.argmax(x.reshape(len(x), -1), axis=1).astype(jnp.int32)

    def __call__(self, x):
        return x * self.gate(x).astype(x.dtype)[:, None, None, None]


class DeepGate(Gate):
    def gate(self, x):
        return x.mean(axis=(1, 2), keepdims=True)[:, None]

    def __call__(self, x):
        return x * self.gate(x)[:, 0]


class Exits(nn.Module):
    def __call__(self, x):
        sys.exit(0)


class SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Speechless(nn.Module):
    def __call__(self, x):
        raise SpeechlessError


class SmallBatches(nn.Module):
    @nn.compact
    def __call__(self, x):
        if len(x) > 5:
            raise ValueError("too many")
        return x


class SmallEvaluations(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        if len(x) > 5 and not train:
            raise ValueError("too many")
        return x


class WithoutGradient(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = jax.pure_callback(np.tanh, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
        return x * y


class Keyed(nn.Module):
    @nn.compact
    def __call__(self, x):
        self.variable("memory", "key", lambda: jax.random.key(0))
        return x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            Frozen,
            r"training does not update the statistics of block_1/attention/BatchNorm_0, because the module",
        ),
        (HalfFrozen, "training does not update the statistics of block_1/attention/forgotten, because the module"),
        (Noise, "fails in training: it asks for random numbers 'noise'; a training step provides only 'dropout'"),
        (NoiseInEvaluation, "fails in evaluation: it asks for random numbers 'dropout'; .* and evaluation none"),
        (UpdatesAlways, "fails in evaluation: it changes its variables; it may do so only if its argument"),
        (Pair, "attention must return one array, Pair returns a tuple"),
        (PairOfGates, "PairOfGates.* fails in training: AttributeError: "),
        (Needs, r"fails in training: TypeError: .*missing 1 required positional argument: 'mask'"),
        (Wrong, "fails in training: RuntimeError: first line$"),
        (
            DropsByKeyword,
            r"in training, block_1/attention/Dropout_0 is inactive, because the module is not told that",
        ),
        (DropsByPosition, r"in training, block_1/attention/Dropout_0 is inactive, because the"),
        (DropsDecorated, r"in training, block_1/attention/drop is inactive, .* an argument named train"),
        (DropsByAnotherField, "DropsByAnotherField has the field inference, which is never set"),
        (DropsByAnUnknownField, r"in training, block_1/attention/MultiHeadDotProductAttention_0 is inactive"),
        (IsTrain, "IsTrain has the argument is_train, which is never set: name it train if it says whether the mod"),
        (Inference, "Inference has the argument inference, which is never set: name it train if it"),
        (InferenceRequired, "InferenceRequired has the argument inference, which is never set: name it train"),
        (InferenceField, "InferenceField has the field inference, which is never set: name it train if"),
        (OwnStatistics, "training does not update the statistics of block_1/attention, because the module"),
        (OfThisBatch, r'fails in training: ScopeParamShapeError: For parameter "scale" in "/block_1/attention"'),
        (OfInts, r"parameters must be floating-point numbers, one or more, block_1/attention/scale is int32"),
        (ReturnsInts, "attention must return floating-point numbers, ReturnsInts returns int32"),
        (ComplexGate, r"a gate must give real weights .*; that of block_1/attention gives complex64 \[1, 1, 1, 4\]"),
        (CountingGate, r"a gate must give real weights .*; that of block_1/attention gives int32 \[1\]"),
        (DeepGate, r"a gate must give .* gives float32 \[1, 1, 1, 1, 4\]: give the method another name if it is not"),
        (Exits, "fails in training: SystemExit: 0"),
        (Speechless, "fails in training: SpeechlessError$"),
        (SmallBatches, "fails in training: ValueError: too many"),
        (SmallEvaluations, "fails in evaluation: ValueError: too many"),
        (WithoutGradient, "fails in training: ValueError: Pure callbacks do not support JVP"),
        (Gate, "'jaxattn.attention.gate:Gate' is the base class of modules, and has no gate"),
        (Keyed, "memory/block_1/attention/key is an array of key<fry>, which a checkpoint cannot hold"),
    ],
)
def test_a_module_that_no_run_can_use_is_refused_in_one_line_before_anything_is_written(
    module, message, tmp_path, quiet
):
    with pytest.raises(InputError, match=message) as caught:
        fit(Config(attention=module, **CONFIG), tmp_path / "run", quiet)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("module", [IsTrain, Inference, InferenceField])
@pytest.mark.parametrize("within", ["+se", "se+", "identity"])
def test_a_part_of_a_chain_is_asked_for_its_mode_too(module, within, tmp_path, quiet):
    own = f"{__name__}:{module.__name__}"
    name = own if within == "identity" else own + within if within[0] == "+" else within + own
    start = {"attention_start": "identity"} if within == "identity" else {}
    with pytest.raises(InputError, match=f"{module.__name__} (takes|has) .* (inference|is_train), which is never"):
        fit(Config(attention=name, **CONFIG, **start), tmp_path / "run", quiet)


@pytest.mark.parametrize("attention", [Told, AsksNothing])
def test_boolean_values_that_do_not_ask_for_the_mode_are_a_modules_own(attention):
    check_network(CNN(widths=(4,), hidden=8, attention=attention), "own", (8, 8, 3), 2)


def test_a_network_must_declare_a_layer_and_the_last_is_shown_if_it_marks_none():
    class Bare(own_network.Net):
        declared = (Layer("stem", ("stem",)), Layer("norm", ("norm",)))

        def layers(self):
            return self.declared

    class Empty(Bare):
        declared = ()

    class Silent(Bare):
        layers = Network.layers

    check_network(Bare(), "own", (8, 8, 3), 2)
    assert [str(layer) for layer in mapped_layers(Bare())] == ["norm"]
    for wrong in (Empty(), Silent()):
        with pytest.raises(InputError, match=r"^own: it declares no layer that can be shown; return one or more from"):
            check_network(wrong, "own", (8, 8, 3), 2)


class TwoSites(Network):
    """A network whose sites have names of its own."""

    first = ("stem",)

    @nn.nowrap
    def sites(self):
        return Site("early", ("early",), 1), Site("late", ("deep", "late"), 1)

    @nn.nowrap
    def layers(self):
        return (Layer("stem", ("stem",)),)

    @nn.compact
    def __call__(self, images, train=False):
        x = attend(self.attention_of(1), nn.Conv(4, (3, 3), name="stem")(images), train, "early")
        return nn.Dense(self.classes, name="head")(x.mean(axis=(1, 2)))


def test_dropout_is_looked_for_at_the_sites_whatever_they_are_called():
    with pytest.raises(InputError, match="in training, early/drop is inactive, because the module is not told"):
        check_network(TwoSites(attention=DropsDecorated), "own", (8, 8, 3), 2)


class State(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        pair = self.variable("memory", "pair", lambda: (jnp.zeros(x.shape[-1:]), {"steps": jnp.zeros(())}))
        table = self.variable("constants", "table", jnp.ones, x.shape[-1:])
        if train:
            pair.value = x.mean(axis=(0, 1, 2)), {"steps": pair.value[1]["steps"] + 1}
        return x * table.value[None, None, None]


def test_a_state_may_be_of_several_arrays_and_constants_need_not_change():
    check_network(CNN(widths=(4,), hidden=8, attention=State), "own", (8, 8, 3), 2)


class FailsLater(nn.Module):
    @nn.compact
    def __call__(self, x):
        def fail(x):
            raise RuntimeError("in a callback")

        return x + jax.pure_callback(fail, jax.ShapeDtypeStruct(x.shape, x.dtype), jax.lax.stop_gradient(x))


def test_what_a_module_raises_while_it_trains_is_one_line_and_its_traceback_is_kept(tmp_path, quiet):
    with pytest.raises(InputError, match=r"^training with .*:FailsLater failed: .*; the trac") as caught:
        fit(Config(attention=FailsLater, **CONFIG), tmp_path / "run", quiet)
    assert "\n" not in str(caught.value) and caught.value.setting == "attention"
    assert "RuntimeError: in a callback" in (tmp_path / "run" / "error.txt").read_text()


class OfMaximum(Gate):
    @nn.compact
    def gate(self, x):
        return nn.sigmoid(nn.Dense(x.shape[-1])(x.max(axis=(1, 2), keepdims=True)))


@pytest.mark.parametrize("start", ["usual", "identity"])
@pytest.mark.parametrize("chain", ["", "+se"])
def test_a_maximum_in_a_module_has_a_gradient_whatever_xla_computes_again(tmp_path, quiet, start, chain):
    attention = f"{__name__}:OfMaximum{chain}"
    config = Config(attention=attention, attention_start=start, **CONFIG)
    run = fit(config, tmp_path / "run", quiet)  # a gradient of 0 / 0 would stop it
    assert run.result["epochs"] == 1
