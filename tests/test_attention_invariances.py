"""What each formula implies: what a module ignores, what its output moves with, where it is the identity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attention_runs import NAMES, SHAPE, gates_by_path, is_gate, make, program, randoms, runs, variables
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxattn.attention import resolve
from jaxattn.attention.mhsa import MultiHeadSelfAttention
from jaxattn.attention.simam import SimAM
from jaxattn.runtime import QUICK_COMPILE

BLIND_TO_POSITIONS = [
    "se", "ese", "ese-code", "eca", "eca-fixed3", "channel", "channel-code", "ge", "gc-scale", "srm", "srm-code",
    "gct", "grn", "grn-code", "constant", "random", "shuffled",
]  # fmt: skip
BLIND_TO_CHANNELS = ["spatial", "spatial-code"]
CHANNEL_BY_CHANNEL = [
    "ge",
    "ge-2",
    "ge-4",
    "ge-learned",
    "ge-learned-2",
    "ge-learned-4",
    "simam",
    "simam-code",
    "srm",
    "sge",
]
MOVES_WITH_PIXELS = [
    *BLIND_TO_POSITIONS, "gc", "simam", "simam-code", "nonlocal", "nosqueeze", "shuffle", "sge", "sge-code",
]  # fmt: skip
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}  # sums in another order, through at most a few layers


def run(name, x, values=None, train=False):
    return program(name)(variables(name) if values is None else values, x, randoms(3))[train]


def shuffle_positions(x):
    """The same pixels in another order, in each image."""
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    return flat[:, np.random.default_rng(5).permutation(flat.shape[1])].reshape(x.shape)


def shuffle_channels(x):
    return x[..., np.random.default_rng(6).permutation(x.shape[-1])]


@pytest.mark.parametrize("name", BLIND_TO_POSITIONS)
def test_gate_ignores_pixel_order(name):
    np.testing.assert_allclose(
        run(name, shuffle_positions(randoms(2))).gates["gate"], runs(name)[False].gates["gate"], **TOLERANCE
    )


@pytest.mark.parametrize("name", MOVES_WITH_PIXELS)
def test_output_moves_with_the_pixels(name):
    np.testing.assert_allclose(
        run(name, shuffle_positions(randoms(2))).y, shuffle_positions(runs(name)[False].y), **TOLERANCE
    )


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(MOVES_WITH_PIXELS)))
def test_other_modules_depend_on_the_position_of_a_pixel(name):
    moved, still = run(name, shuffle_positions(randoms(2))).y, shuffle_positions(runs(name)[False].y)
    assert np.abs(moved - still).max() > 1e-3


@pytest.mark.parametrize("name", BLIND_TO_CHANNELS)
def test_spatial_gate_ignores_channel_order(name):
    for train, expected in runs(name).items():
        found = run(name, shuffle_channels(randoms(2)), train=train)
        np.testing.assert_allclose(found.gates["gate"], expected.gates["gate"], **TOLERANCE)


@pytest.mark.parametrize("name", CHANNEL_BY_CHANNEL)
def test_a_channels_weight_depends_on_that_channel_only(name):
    x = randoms(2).copy()
    x[..., 3] = randoms(9)[..., 3]
    gate, expected = run(name, x).gates["gate"], runs(name)[False].gates["gate"]
    others = np.arange(SHAPE[-1]) != 3
    np.testing.assert_array_equal(gate[..., others], expected[..., others])
    assert np.abs(gate[..., 3] - expected[..., 3]).max() > 1e-5


@pytest.mark.parametrize("name", ["eca", "eca-fixed3"])
def test_eca_reaches_half_a_kernel_to_each_side(name):
    x = randoms(2).copy()
    x[..., 3] += 1
    changed = np.abs(run(name, x).gates["gate"] - runs(name)[False].gates["gate"]).max(axis=(0, 1, 2)) > 1e-6
    assert np.flatnonzero(changed).tolist() == [2, 3, 4]


def test_eca_of_reversed_channels_is_that_of_the_reversed_kernel():
    values = {"params": {"mix": {"kernel": variables("eca")["params"]["mix"]["kernel"][::-1]}}}
    found = run("eca", randoms(2)[..., ::-1], values)
    np.testing.assert_allclose(found.gates["gate"][..., ::-1], runs("eca")[False].gates["gate"], **TOLERANCE)


@pytest.mark.parametrize(("name", "extent"), [("ge-2", 2), ("ge-4", 4)])
def test_local_gather_sees_less_than_its_extent_away(name, extent):
    x = randoms(2).copy()
    x[:, 0, 0] += 1
    changed = np.abs(run(name, x).gates["gate"] - runs(name)[False].gates["gate"]).max(axis=(0, 3)) > 1e-6
    # only the window around position 0, 0 holds it, and its gate goes to the positions that take that window
    rows, columns = (np.arange(n) * (-(-n // extent)) // n == 0 for n in SHAPE[1:3])
    np.testing.assert_array_equal(changed, np.outer(rows, columns))


@pytest.mark.parametrize("name", ["simam", "simam-code"])
def test_simam_has_no_parameters_and_depends_on_the_distance_from_the_mean_only(name):
    assert variables(name) == {}
    expected = runs(name)[False].gates["gate"]
    for x in (-randoms(2), randoms(2) + 3):
        # x + 3 loses two bits of what is left after its mean is subtracted
        np.testing.assert_allclose(run(name, x).gates["gate"], expected, rtol=1e-4)
    assert float(expected.min()) >= 1 / (1 + np.exp(-0.5)) - 1e-6


def test_simam_without_lambda_ignores_scale():
    gate = SimAM(regularisation=0.0).gate
    x = jnp.asarray(randoms(2))
    np.testing.assert_allclose(gate(7 * x), gate(x), rtol=1e-5)


def test_constant_gate_is_the_same_for_every_image():
    assert runs("constant")[False].gates["gate"].shape == (1, 1, 1, SHAPE[-1])
    np.testing.assert_array_equal(run("constant", randoms(9)).gates["gate"], runs("constant")[False].gates["gate"])


def as_se(tree):
    """The weights of `random` under the names of those of `se`."""
    return unflatten_dict(
        {tuple({"frozen": "kernel"}.get(k, k) for k in path): v for path, v in flatten_dict(tree).items()}
    )


def test_random_gate_starts_as_se_and_gets_no_gradient():
    key = jax.random.key(7)
    se, frozen = (resolve(name, 4)().init(key, jnp.zeros(SHAPE)) for name in ("se", "random"))
    assert jax.tree.all(jax.tree.map(np.array_equal, se, as_se(frozen)))
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(runs("random")[False].gradients))
    np.testing.assert_array_equal(
        runs("random")[False].x_gradient, run("se", randoms(2), as_se(variables("random"))).x_gradient
    )


def test_shuffled_gate_is_the_se_gate_of_the_image_before():
    gates = run("se", randoms(2), variables("shuffled")).gates["gate"]
    np.testing.assert_array_equal(runs("shuffled")[False].gates["gate"], gates[jnp.array([2, 0, 1])])


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("gc", False), ("nonlocal", True), ("nonlocal-code", False), ("gct", False), ("grn", False),
        ("grn-code", False),
    ],
)  # fmt: skip
def test_module_starts_as_the_identity(name, train):
    module = make(name, train)
    y, _ = jax.jit(lambda x: module.init_with_output(jax.random.key(0), x), compiler_options=QUICK_COMPILE)(randoms(2))
    np.testing.assert_array_equal(y, randoms(2))


def test_srm_starts_at_one_half():
    y, _ = resolve("srm")().init_with_output(jax.random.key(0), jnp.asarray(randoms(2)))
    np.testing.assert_allclose(y, randoms(2) / 2, rtol=1e-6)


@functools.cache
def without_positions():
    module = MultiHeadSelfAttention(positions=False)
    values = {"params": {name: variables("mhsa")["params"][name] for name in ("query", "key", "value")}}
    return jax.jit(functools.partial(module.apply, values))


def test_attention_without_positions_moves_with_its_pixels():
    moved = without_positions()(shuffle_positions(randoms(2)))
    np.testing.assert_allclose(moved, shuffle_positions(without_positions()(randoms(2))), **TOLERANCE)


def test_positions_of_zero_are_no_positions():
    values = {name: value * (name not in {"rows", "columns"}) for name, value in flat(variables("mhsa")).items()}
    y = run("mhsa", randoms(2), {"params": unflatten_dict(values, sep="/")}).y
    np.testing.assert_allclose(y, without_positions()(randoms(2)), **TOLERANCE)


def flat(values):
    return flatten_dict(values["params"], sep="/")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("mhsa", (3, 4, 35, 35)), ("nonlocal", (3, 1, 35, 35)), ("nonlocal-code", (3, 1, 35, 6)), ("gc", (3, 5, 7, 1))],
)
def test_attention_weights_are_captured_and_sum_to_one(name, shape):
    module = resolve(name, 4)()
    _, captured = jax.jit(
        lambda values, x: module.apply(
            values, x, capture_intermediates=lambda _, method: method in ("attention_weights", "pooling_weights")
        ),
        compiler_options=QUICK_COMPILE,
    )(variables(name), randoms(2))
    (weights,) = gates_by_path(captured["intermediates"]).values()
    assert weights.shape == shape
    total = weights.sum(axis=(1, 2)) if name == "gc" else weights.sum(axis=-1)
    np.testing.assert_allclose(total, np.ones(total.shape), rtol=1e-5)


def test_scaled_attention_is_attention_with_smaller_queries():
    values = variables("mhsa")["params"]
    smaller = {"params": values | {"query": {"kernel": values["query"]["kernel"] / np.sqrt(2)}}}  # D = 8 / 4
    np.testing.assert_allclose(
        run("mhsa", randoms(2), smaller).y, run("mhsa-code", randoms(2), {"params": values}).y, **TOLERANCE
    )


def test_bam_adds_a_channel_and_a_position_in_its_logits():
    gate = np.asarray(runs("bam")[False].gates["gate"], np.float64)
    logits = np.log(gate / (1 - gate))
    by_channel, by_position = logits - logits[:, :1, :1], logits - logits[..., :1]
    np.testing.assert_allclose(by_channel, np.broadcast_to(by_channel[..., :1], SHAPE), atol=1e-4)
    np.testing.assert_allclose(by_position, np.broadcast_to(by_position[:, :1, :1], SHAPE), atol=1e-4)


def test_coordinate_gate_is_a_row_times_a_column():
    gates = runs("coord")[False].gates
    assert gates["height/gate"].shape == (3, 5, 1, 8)
    assert gates["width/gate"].shape == (3, 1, 7, 8)
    np.testing.assert_allclose(gates["gate"], gates["height/gate"] * gates["width/gate"], rtol=1e-6)


def test_coordinate_attention_of_the_transposed_map_has_its_branches_swapped():
    values = variables("coord")["params"]
    swapped = variables("coord") | {"params": values | {"height": values["width"], "width": values["height"]}}
    y = resolve("coord", 4)().apply(*jax.device_put((swapped, randoms(2).swapaxes(1, 2))))
    np.testing.assert_allclose(y.swapaxes(1, 2), runs("coord")[False].y, **TOLERANCE)


def test_each_triplet_branch_ignores_order_along_its_own_axis():
    for path, axis in (("width_channel/gate", 1), ("height_channel/gate", 2), ("height_width/gate", 3)):
        gates = run("triplet", np.flip(randoms(2), axis)).gates
        np.testing.assert_allclose(gates[path], runs("triplet")[False].gates[path], **TOLERANCE)


def test_branches_that_agree_leave_selective_kernel_nothing_to_choose():
    values = jax.tree.map(np.copy, variables("sk"))
    for name in ("narrow_conv", "wide_conv"):
        values["params"][name]["kernel"] = np.zeros_like(values["params"][name]["kernel"])
        values["params"][name]["kernel"][1, 1] = variables("sk")["params"]["narrow_conv"]["kernel"][1, 1]
    values["params"]["wide_norm"] = values["params"]["narrow_norm"]
    values["batch_stats"]["wide_norm"] = values["batch_stats"]["narrow_norm"]
    other = jax.tree.map(np.copy, values)
    other["params"]["narrow"]["kernel"] += 1
    assert np.abs(run("sk", randoms(2), values).gates["gate"] - run("sk", randoms(2), other).gates["gate"]).max() > 1e-3
    np.testing.assert_allclose(run("sk", randoms(2), values).y, run("sk", randoms(2), other).y, **TOLERANCE)


@pytest.mark.parametrize("name", ["shuffle", "sge", "sge-code"])
def test_gate_starts_as_the_sigmoid_of_one(name):
    y, _ = resolve(name)().init_with_output(jax.random.key(0), jnp.asarray(randoms(2)))
    expected = randoms(2) / (1 + np.exp(-1))
    order = np.array([0, 4, 1, 5, 2, 6, 3, 7]) if name == "shuffle" else np.arange(8)
    np.testing.assert_allclose(y, expected[..., order], rtol=1e-5)


def constant_map():
    return np.broadcast_to(randoms(2)[:, :1, :1], SHAPE)


def test_on_a_map_that_is_the_same_at_every_position_squeezing_changes_nothing():
    found = run("nosqueeze", constant_map(), variables("se")).gates["gate"]
    expected = run("se", constant_map()).gates["gate"]
    np.testing.assert_allclose(found, np.broadcast_to(expected, SHAPE), **TOLERANCE)


def test_without_the_squeeze_a_position_sees_itself_alone():
    x = randoms(2).copy()
    x[:, 2, 3] += 1
    changed = np.abs(run("nosqueeze", x).gates["gate"] - runs("nosqueeze")[False].gates["gate"]).max(axis=(0, 3)) > 1e-6
    assert np.argwhere(changed).tolist() == [[2, 3]]


def of_fca(x, values, **options):
    return resolve("fca", 4)(**options).apply(*jax.device_put((values, x)))


@pytest.mark.parametrize("selection", ["top", "low"])
def test_the_lowest_frequency_is_the_mean_times_a_constant(selection):
    values = variables("se")["params"]
    larger = values | {"squeeze": {"kernel": values["squeeze"]["kernel"] * np.sqrt(5 * 7)}}
    expected = run("se", randoms(2), {"params": larger}).y
    found = of_fca(randoms(2), variables("se"), count=1, selection=selection)
    np.testing.assert_allclose(found, expected, **TOLERANCE)


def test_a_wave_is_seen_by_the_channel_of_its_frequency_and_by_no_other():
    positions = np.pi * (np.arange(7) + 0.5) / 7
    for number, (u, v) in enumerate([(0, 0), (0, 1), (6, 0), (0, 5)]):  # the first four of the top
        wave = np.outer(np.cos(u * positions), np.cos(v * positions)).astype(np.float32)
        x = np.broadcast_to(wave[None, :, :, None], (1, 7, 7, 4))
        for channel in range(4):
            squeeze = {"kernel": np.eye(4, dtype=np.float32)[:, [channel]]}  # one hidden unit sees one channel
            values = {"params": {"squeeze": squeeze, "excite": {"kernel": np.ones((1, 4), np.float32)}}}
            gate = float(np.asarray(of_fca(x, values))[0, 0, 0, 0] / wave[0, 0])
            assert gate > 0.9 if channel == number else abs(gate - 0.5) < 1e-5, (number, channel)


def test_gct_ignores_the_scale_of_a_map():
    # but for epsilon, 1e-5 beside sums of squares of about 35
    np.testing.assert_allclose(run("gct", 7 * randoms(2)).gates["gate"], runs("gct")[False].gates["gate"], rtol=1e-4)


def test_dividing_by_the_mean_of_8_norms_is_dividing_by_their_sum_with_8_times_the_scale():
    values = variables("grn")["params"]
    larger = {"params": values | {"scale": 8 * values["scale"]}}
    np.testing.assert_allclose(
        run("grn", randoms(2), larger).y, run("grn-code", randoms(2), variables("grn")).y, **TOLERANCE
    )


@pytest.mark.parametrize("name", ["ema", "sge"])
def test_channels_of_a_group_share_their_weights(name):
    x = jnp.asarray(randoms(2, (3, 5, 7, 12)))
    module = resolve(name)(groups=8)  # 4 of them divide 12 channels
    _, captured = module.init_with_output(jax.random.key(0), x, capture_intermediates=is_gate)
    gate = gates_by_path(captured["intermediates"])["gate"]
    np.testing.assert_array_equal(gate, np.repeat(gate[..., ::3], 3, axis=-1))


def test_groups_of_ema_share_their_parameters():
    x = jnp.asarray(randoms(2, (3, 5, 7, 4)))
    module = resolve("ema")(groups=2)
    values = module.init(jax.random.key(0), x)
    swapped = np.array([2, 3, 0, 1])
    found = module.apply(values, x[..., swapped])
    np.testing.assert_allclose(found, module.apply(values, x)[..., swapped], **TOLERANCE)


def test_ela_of_the_transposed_map_has_its_branches_swapped():
    values = variables("ela")["params"]
    swapped = {"params": {"height": values["width"], "width": values["height"]}}
    y = resolve("ela")().apply(*jax.device_put((swapped, randoms(2).swapaxes(1, 2))))
    np.testing.assert_allclose(y.swapaxes(1, 2), runs("ela")[False].y, **TOLERANCE)


def test_shuffle_needs_two_halves():
    with pytest.raises(ValueError, match="channels must be even, got 7"):
        jax.eval_shape(resolve("shuffle")().init, jax.random.key(0), jnp.zeros((1, 2, 2, 7)))


@pytest.mark.parametrize(
    ("name", "argument", "message"),
    [
        ("ge", {"extent": 3}, "extent must be one of 0, 2, 4, 8"),
        ("ge-learned", {"extent": -1}, "extent must be one of 0, 2, 4, 8"),
        ("eca", {"kernel": 4}, "kernel must be odd and positive, got 4"),
        ("mhsa", {"heads": 3}, "channels must be a multiple of 3 heads, got 8"),
        ("ela", {"kernel": 4}, "kernel must be odd and positive, got 4"),
        ("fca", {"count": 33}, "count must be from 1 to 32, got 33"),
        ("fca", {"selection": "high"}, "selection must be one of top, low, got 'high'"),
    ],
)
def test_arguments_that_a_formula_does_not_cover_are_refused(name, argument, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(resolve(name)(**argument).init, jax.random.key(0), jnp.zeros(SHAPE))
