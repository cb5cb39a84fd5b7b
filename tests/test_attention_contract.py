"""What holds for every attention module whatever it computes; how modules are found by name; what they cost."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from attention_runs import NAMES, RANGES, SHAPE, apply, gates_by_path, make, modes, program, randoms, runs, variables

from jaxattn.attention import ATTENTION, Gate, resolve
from jaxattn.attention.chain import Chain
from jaxattn.attention.cost import cost, operations, parameters
from jaxattn.errors import InputError
from jaxattn.networks import create, widened
from jaxattn.networks.cnn import CNN, ConvBlock
from jaxattn.networks.placement import Placement

every_module = pytest.mark.parametrize("name", NAMES)
CAPTURED = {
    "cbam": {"channel/gate", "spatial/gate"},
    "cbam-code": {"channel/gate", "spatial/gate"},
    "coord": {"gate", "height/gate", "width/gate"},
    "coord-code": {"gate", "height/gate", "width/gate"},
    "ela": {"gate", "height/gate", "width/gate"},
    "triplet": {"gate", "width_channel/gate", "height_channel/gate", "height_width/gate"},
    "gc": set(),
    "mhsa": set(),
    "mhsa-code": set(),
    "nonlocal": set(),
    "nonlocal-code": set(),
}


def class_of(name):
    return getattr(ATTENTION[name], "func", ATTENTION[name])


@every_module
@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 5, 7, 8), jnp.bfloat16), ((1, 6, 3, 20), jnp.float32), ((3, 1, 1, 4), jnp.bfloat16)]
)
def test_shape_and_dtype_are_kept(name, shape, dtype):
    x = jax.ShapeDtypeStruct(shape, dtype)
    for train in modes(name):
        module = resolve(name)(**({"train": True} if train else {}))  # 4 and 8 channels: fewer than the reduction, 16
        shapes = jax.eval_shape(module.init, jax.random.key(0), x)
        y, _ = jax.eval_shape(lambda values, x, m=module: m.apply(values, x, mutable=["batch_stats"]), shapes, x)
        assert (y.shape, y.dtype) == (shape, dtype)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))


@every_module
def test_gates_lie_within_their_range_and_broadcast(name):
    low, high = RANGES.get(name, (0, 1))
    for run in runs(name).values():
        for path, gate in run.gates.items():
            assert np.broadcast_shapes(gate.shape, SHAPE) == SHAPE, path
            assert float(gate.min()) >= low, path
            assert float(gate.max()) <= high, path


@every_module
def test_every_gate_is_captured(name):
    for run in runs(name).values():
        assert run.gates.keys() == CAPTURED.get(name, {"gate"})


@pytest.mark.parametrize("name", [name for name in NAMES if issubclass(class_of(name), Gate)])
def test_a_gate_module_is_its_input_times_its_gate(name):
    for run in runs(name).values():
        np.testing.assert_array_equal(run.y, randoms(2) * run.gates["gate"])


class Variants(chex.TestCase):
    """One image gives what it gives in a batch: compiled, uncompiled, and from the device."""

    @chex.variants(with_jit=True, without_jit=True, with_device=True)
    @parameterized.parameters(NAMES)
    def test_one_image_gives_what_a_batch_gives_with_it(self, name):
        y = self.variant(lambda values, x: apply(name, False, values, x)[0])(variables(name), randoms(2)[:1])
        batch = runs(name)[False].y
        if name == "shuffled":  # alone in its batch, an image keeps its own gate
            batch = randoms(2) * jnp.roll(runs(name)[False].gates["gate"], -1, axis=0)
        # compiled and uncompiled sums are in another order
        np.testing.assert_allclose(y, batch[:1], rtol=1e-5, atol=1e-5)


@every_module
def test_a_reversed_batch_gives_reversed_outputs(name):
    if name == "shuffled":
        pytest.skip("it depends on the order of the images")
    for train, run in program(name)(variables(name), randoms(2)[::-1], randoms(3)).items():
        np.testing.assert_allclose(run.y[::-1], runs(name)[train].y, rtol=1e-4, atol=1e-5)


@every_module
@pytest.mark.parametrize("value", [0.0, 1.5])
def test_gradients_are_finite_for_a_constant_map(name, value):
    chex.assert_tree_all_finite(program(name)(variables(name), np.full(SHAPE, value, np.float32), randoms(3)))


@pytest.mark.parametrize("name", [name for name in NAMES if len(modes(name)) > 1])
def test_one_image_in_training_is_finite(name):
    chex.assert_tree_all_finite(apply(name, True, variables(name), randoms(2)[:1]))


def test_training_moves_the_running_statistics_and_evaluation_does_not():
    for train in (True, False):
        _, updated = make("srm", train).apply(*jax.device_put((variables("srm"), randoms(2))), mutable=["batch_stats"])
        old, new = variables("srm")["batch_stats"]["norm"], updated["batch_stats"]["norm"]
        assert np.array_equal(old["mean"], new["mean"]) is not train


@every_module
def test_a_module_is_final_and_names_its_paper_its_formula_and_where_the_code_differs(name):
    module = class_of(name)
    assert module.__final__
    assert module.formula
    assert "Source:" in module.__doc__
    assert module.paper == "control" or module.paper in module.__doc__
    if f"{name}-code" in ATTENTION:
        assert "paper:" in module.differs


def bam_parameters(channels, hidden):
    branches = 2 * channels * hidden + hidden + channels + channels * hidden + hidden
    return branches + 2 * (9 * hidden * hidden + hidden) + hidden + 1


def ema_parameters(depth):
    return (9 * depth * depth + depth) + (depth * depth + depth) + 2 * depth


PARAMETERS = {  # of a map [h, w, c], with d = max(c // r, 1)
    "se": lambda h, w, c, d: 2 * c * d,
    "ese": lambda h, w, c, d: c * c + c,
    "eca": lambda h, w, c, d: 3 if c < 128 else 5,
    "eca-fixed3": lambda h, w, c, d: 3,
    "channel": lambda h, w, c, d: 2 * c * d,
    "channel-code": lambda h, w, c, d: 2 * c * d + c + d,
    "spatial": lambda h, w, c, d: 98,
    "spatial-code": lambda h, w, c, d: 98 + 2,
    "cbam": lambda h, w, c, d: 2 * c * d + 98,
    "cbam-code": lambda h, w, c, d: 2 * c * d + c + d + 100,
    "bam": lambda h, w, c, d: bam_parameters(c, d) + 2 * c + 2,
    "bam-code": lambda h, w, c, d: bam_parameters(c, d) + 8 * d,
    "ge": lambda h, w, c, d: 0,
    "ge-2": lambda h, w, c, d: 0,
    "ge-4": lambda h, w, c, d: 0,
    "ge-learned": lambda h, w, c, d: h * w * c + 2 * c,
    "ge-learned-2": lambda h, w, c, d: 9 * c + 2 * c,
    "ge-learned-4": lambda h, w, c, d: 2 * (9 * c + 2 * c),
    "gc": lambda h, w, c, d: c + c * d + d + 2 * d + d * c + c,
    "simam": lambda h, w, c, d: 0,
    "coord": lambda h, w, c, d: c * d + d + 2 * d + 2 * (d * c + c),
    "coord-code": lambda h, w, c, d: PARAMETERS["coord"](h, w, c, max(d, 8)),
    "srm": lambda h, w, c, d: 2 * c + 2 * c,
    "triplet": lambda h, w, c, d: 3 * (98 + 2),
    "sk": lambda h, w, c, d: 2 * (9 * c * c // math.gcd(c, 32) + 2 * c) + 3 * c * max(d, 32) + 2 * max(d, 32),
    "mhsa": lambda h, w, c, d: 3 * c * c + (2 * h - 1 + 2 * w - 1) * c // 4,
    "nonlocal": lambda h, w, c, d: 3 * (c * (c // 2) + c // 2) + c // 2 * c + c + 2 * c,
    "fca": lambda h, w, c, d: 2 * c * d,
    "gct": lambda h, w, c, d: 3 * c,
    "grn": lambda h, w, c, d: 2 * c,
    "nosqueeze": lambda h, w, c, d: 2 * c * d,
    "shuffle": lambda h, w, c, d: 6 * c // (2 * math.gcd(c // 2, 64)),
    "ema": lambda h, w, c, d: ema_parameters(c // math.gcd(c, 32)),
    "sge": lambda h, w, c, d: 2 * math.gcd(c, 64),
    "ela": lambda h, w, c, d: 2 * (7 * c + 2 * c),
    "constant": lambda h, w, c, d: c,
}
SAME = {"ese-code": "ese", "gc-scale": "gc", "random": "se", "shuffled": "se"}


@functools.cache
def cost_of(name, shape):
    return cost(resolve(name)(), shape)


@every_module
@pytest.mark.parametrize("shape", [(5, 7, 8), (8, 8, 128)])
def test_parameters_follow_the_closed_formula(name, shape):
    formula = PARAMETERS.get(name) or PARAMETERS[SAME.get(name, name.removesuffix("-code"))]
    assert cost_of(name, shape).parameters == formula(*shape, max(shape[-1] // 16, 1))


def convolve(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def test_operations_of_products_are_counted_by_hand():
    assert operations(jnp.dot, jnp.ones((4, 5)), jnp.ones((5, 6))) == 2 * 4 * 5 * 6
    # 3x3 on 4x4 without the padding: corners have 4 taps, edges 6, the middle 9
    taps = 4 * 4 + 8 * 6 + 4 * 9
    assert operations(convolve, jnp.ones((2, 4, 4, 3)), jnp.ones((3, 3, 3, 5))) == 2 * taps * 2 * 3 * 5


def test_multiply_adds_of_squeeze_and_excitation_by_hand():
    height, width, channels, hidden = 6, 5, 32, 2
    mean = (height * width - 1) * channels + channels
    layers = 2 * channels * hidden + hidden + 2 * hidden * channels
    product = height * width * channels
    total = mean + layers + 3 * channels + product  # a sigmoid counts as three
    assert cost(resolve("se")(), (height, width, channels)).multiply_adds == total / 2


@every_module
def test_multiply_adds_grow_with_the_map(name):
    small, large = (cost_of(name, (size, size, 128)).multiply_adds for size in (4, 8))
    assert 0 < small < large


# by name


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"unknown attention 'es'; known are none, se, ese.*package\.module:ClassName"):
        resolve("es")


@pytest.mark.parametrize("name", ["none", "se", "se+spatial"])
@pytest.mark.parametrize("reduction", [0, -1])
def test_a_reduction_below_one_is_refused(name, reduction):
    with pytest.raises(InputError, match=f"reduction must be at least 1, got {reduction}"):
        resolve(name, reduction)


def test_reduction_reaches_every_module_of_a_chain():
    shapes = jax.eval_shape(resolve("se+eca+channel", 4)().init, jax.random.key(0), jnp.zeros(SHAPE))
    assert shapes["params"]["part_1"]["squeeze"]["kernel"].shape == (8, 2)
    assert shapes["params"]["part_3"]["squeeze"]["kernel"].shape == (8, 2)


def test_channel_and_spatial_chained_are_cbam():
    values = {
        "params": {"part_1": variables("cbam")["params"]["channel"], "part_2": variables("cbam")["params"]["spatial"]}
    }
    y = resolve("channel+spatial", 4)().apply(*jax.device_put((values, randoms(2))))
    np.testing.assert_allclose(y, runs("cbam")[False].y, rtol=1e-5, atol=1e-6)


def test_a_chain_passes_on_whether_it_trains():
    chain = resolve("se+srm")
    _, updated = chain(train=True).init_with_output(jax.random.key(0), jnp.asarray(randoms(2)))
    _, trained = chain(train=True).apply(updated, jnp.asarray(randoms(2)), mutable=["batch_stats"])
    assert not np.array_equal(
        updated["batch_stats"]["part_2"]["norm"]["var"], trained["batch_stats"]["part_2"]["norm"]["var"]
    )


@pytest.mark.parametrize("name", ["se+none", "none+se", "se+wide:eca", "wide:se", "wide:wide:se", "se+" * 20 + "se"])
def test_none_and_wide_are_no_parts_of_a_chain_and_none_is_endless(name):
    with pytest.raises(InputError, match=r"cannot be chained|must chain at most 20 modules") as caught:
        resolve(name)
    assert "\n" not in str(caught.value)


def test_every_gate_of_a_block_is_captured_by_the_name_of_its_method():
    block = ConvBlock(8, resolve("channel+coord+sk"))
    captured = jax.eval_shape(
        lambda x: block.init_with_output(jax.random.key(0), x, capture_intermediates=lambda _, name: name == "gate")[1],
        jnp.zeros(SHAPE),
    )["intermediates"]
    parts = {path.split("/gate")[0] for path in gates_by_path(captured)}
    assert parts == {
        "attention/part_1",
        "attention/part_2",
        "attention/part_2/height",
        "attention/part_2/width",
        "attention/part_3",
    }


MODULES_OF_ONES_OWN = """
import jax.numpy as jnp
from flax import linen as nn
from jaxattn.attention import Gate

class Brightness(Gate):
    reduction: int = 16

    @nn.compact
    def gate(self, x):
        return nn.sigmoid(self.param("slope", nn.initializers.ones, ()) * jnp.mean(x, axis=(1, 2, 3), keepdims=True))

class Needy(nn.Module):
    size: int

def function(x):
    return x
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_modules.py").write_text(MODULES_OF_ONES_OWN)
    (tmp_path / "own_broken.py").write_text("raise RuntimeError('first line\\nsecond line')")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own")
def test_a_module_of_ones_own_is_found_by_its_path():
    module = resolve("own_modules:Brightness+eca", reduction=8)
    assert isinstance(module(), Chain)
    assert module().parts[0].keywords == {"reduction": 8}
    y, values = resolve("own_modules:Brightness")().init_with_output(jax.random.key(0), jnp.asarray(randoms(2)))
    assert values["params"]["slope"] == 1
    np.testing.assert_allclose(y[0], randoms(2)[0] / (1 + np.exp(-randoms(2)[0].mean())), rtol=1e-5)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_nowhere:Brightness", "ModuleNotFoundError: No module named 'own_nowhere'"),
        ("own_modules:Missing", "AttributeError: module 'own_modules' has no attribute 'Missing'"),
        ("own_broken:Brightness", "RuntimeError: first line$"),
        (":Brightness", "cannot import attention ':Brightness'"),
        ("own_modules:", "cannot import attention 'own_modules:'"),
        ("own_modules:a:b", "cannot import attention 'own_modules:a:b'"),
        ("..:x", "cannot import attention '..:x'"),
        ("own_modules:function", r"must be a class that extends flax\.linen\.Module, got <function function"),
        ("own_modules:jnp", r"must be a class that extends flax\.linen\.Module, got <module"),
        ("own_modules:Needy", "needs a default for its field 'size'"),
    ],
)
def test_a_module_that_cannot_be_used_is_reported_in_one_line(name, message):
    with pytest.raises(InputError, match=message) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)


# the control without attention

IMAGE = (32, 32, 3)


def count(network):
    return parameters(jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *IMAGE)))["params"])


@pytest.mark.parametrize("name", ["se", "nonlocal", "channel+spatial"])
def test_wide_has_the_fewest_channels_that_match_the_module(name):
    model, wide = CNN(attention=resolve(name)), create(f"wide:{name}", 16, IMAGE)
    assert wide.attention is None and wide.widths[:2] == (32, 64)
    narrower = wide.clone(widths=(32, 64, wide.widths[-1] - 1))
    assert count(narrower) < count(model) <= count(wide)


def test_wide_counts_only_the_blocks_that_have_attention():
    everywhere, last = (create("wide:nonlocal", 16, IMAGE, placement=Placement(at)) for at in ("all", "1"))
    assert 128 < last.widths[-1] < everywhere.widths[-1]


def test_wide_adds_nothing_for_a_module_without_parameters():
    assert widened(CNN(attention=resolve("simam")), IMAGE) == CNN()


@pytest.mark.parametrize("name", ["wide:es", "wide:wide:se"])
def test_wide_of_an_unknown_module_is_reported(name):
    with pytest.raises(InputError, match=r"unknown attention 'es'|cannot be chained"):
        create(name, 16, IMAGE)


# the listing
