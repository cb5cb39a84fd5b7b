"""The network and its training equal PyTorch's, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from compat import enable_x64

from jaxattn.attention import resolve
from jaxattn.convert import from_torch
from jaxattn.data.augment import normalize, to_float, to_input
from jaxattn.networks import CNN
from jaxattn.runtime import QUICK_COMPILE
from jaxattn.training import optim
from jaxattn.training.state import init_state
from jaxattn.training.step import make_train_step

torch = pytest.importorskip("torch")
twins = pytest.importorskip("torch_twin")

pytestmark = pytest.mark.parametrize("name", ["none", "se"])
BATCH, RATE = 16, 5e-3


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 1, (BATCH, 1, 1, 3))  # pure noise would make all images alike to the network
    return (rng.uniform(0, 255, (BATCH, 32, 32, 3)) * colours).astype(np.uint8)


@pytest.fixture
def labels():
    return np.random.default_rng(1).integers(0, 10, BATCH).astype(np.int32)


# Each block's convolution takes the form that it takes in the tutorials' network: windows, Winograd, XLA's.
SMALL = {"widths": (8, 8, 16), "hidden": 32}


def make(name, **sizes):
    """A network without dropout, variables with nontrivial statistics, and PyTorch's twin with the same."""
    model = CNN(attention=resolve(name), dropout=0.0, **sizes)
    initial = jax.jit(model.init, compiler_options=QUICK_COMPILE)
    variables = initial(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    rng = np.random.default_rng(2)
    uneven = jax.tree.map(lambda x: x + rng.uniform(-0.5, 0.5, x.shape).astype(np.float32), variables["batch_stats"])
    variables = {"params": variables["params"], "batch_stats": uneven}
    return model, variables, twins.load(variables, name == "se", dropout=0.0, **sizes)


def to_torch_images(images):
    return torch.tensor(np.asarray(to_input(jnp.asarray(images), tiny.SPEC))).permute(0, 3, 1, 2)


def test_logits_in_evaluation_equal(name, images):
    model, variables, twin = make(name)
    ours = jax.jit(model.apply)(variables, to_input(jnp.asarray(images), tiny.SPEC))
    theirs = twin.eval()(to_torch_images(images)).detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    # an untrained network's logits hardly depend on the image: what does must agree too
    assert np.abs(ours - theirs).max() < 1e-3 * np.ptp(theirs, axis=0).min()


def test_loss_gradients_and_statistics_in_training_equal(name, images, labels):
    """In float64: in float32 one value that rounds to the other side of a ReLU moves gradients by 1e-3."""
    with enable_x64():
        model, variables, twin = make(name, **SMALL)
        variables = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
        inputs = np.asarray(to_input(jnp.asarray(images), tiny.SPEC), np.float64)

        def loss_of(params):
            logits, updated = model.apply(
                {**variables, "params": params}, jnp.asarray(inputs), train=True, mutable=["batch_stats"]
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updated["batch_stats"]

        (loss, statistics), gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(variables["params"])
        assert loss.dtype == jnp.float64
    logits = twin.double().train()(torch.tensor(inputs).permute(0, 3, 1, 2))
    theirs = torch.nn.functional.cross_entropy(logits, torch.tensor(labels).long())
    theirs.backward()
    np.testing.assert_allclose(loss, theirs.detach(), rtol=1e-9)
    named = {key: tensor.grad for key, tensor in twin.named_parameters()}
    expected = from_torch({key: named.get(key, tensor).numpy() for key, tensor in twin.state_dict().items()})
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), gradients, expected["params"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), statistics, expected["batch_stats"])


def test_losses_of_twenty_adam_steps_equal(name, images, labels):
    """In float64: Adam makes whole steps of gradients that are nothing but rounding."""
    raw = np.asarray(to_float(jnp.asarray(images)), np.float64)
    with enable_x64():
        model, variables, twin = make(name, **SMALL)
        optimizer = optim.adam(optim.learning_rate("plateau", RATE, 20, 0), 0.0)
        plateau = optim.plateau("plateau", 0.5, 3)
        initial = jax.jit(
            lambda key: init_state(model, optimizer, plateau, key, (32, 32, 3)), compiler_options=QUICK_COMPILE
        )
        state = initial(jax.random.key(0))
        state = state.replace(params=variables["params"], collections={"batch_stats": variables["batch_stats"]})
        state = jax.tree.map(lambda x: np.asarray(x, np.float64) if x.dtype == np.float32 else x, state)
        step = jax.jit(
            make_train_step(
                model, optimizer, lambda key, step, images, rows, numbers: normalize(raw, tiny.SPEC), train=True
            )
        )
        inputs, ours = np.asarray(normalize(raw, tiny.SPEC)), []
        for _ in range(20):
            state, tally = step(state, jax.random.key(0), images, labels, np.arange(BATCH))
            ours.append(float(tally.loss) / BATCH)
    batch = torch.tensor(inputs).permute(0, 3, 1, 2)
    adam = torch.optim.Adam(twin.double().train().parameters(), lr=RATE)
    theirs = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(twin(batch), torch.tensor(labels).long())
        adam.zero_grad()
        loss.backward()
        adam.step()
        theirs.append(loss.item())
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert theirs[-1] < 0.5 * theirs[0]  # it did learn
