"""Every picture of networks, data and names of all sorts: drawn without a warning, nothing cut off, nothing on top."""

import functools
import io
import itertools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from jaxattn import pictures
from jaxattn.attention import ATTENTION, resolve
from jaxattn.capture import capture
from jaxattn.config import Config
from jaxattn.data import shapes
from jaxattn.data.augment import normalize
from jaxattn.data.splits import Split
from jaxattn.model import CNN
from jaxattn.plots import PLOTS, canvas, gate_atlas, gate_maps, gate_profiles, heatmaps, mistakes, score_table
from jaxattn.records import Heatmap, Pictures, Scores
from jaxattn.run import Run

FOREIGN = (
    "un très long nom de classe, bien plus que la place", "$x_1$ cost $\\nofunction{", "猫", "犬", "a\nb\tc", "",
    "🙂", "same", "same", "ميناء", "\ud800", "x" * 200,
)  # fmt: skip


def lines(epochs, rates):
    keys = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return [
        {"epoch": i, "learning_rate": rates[i - 1], **{key: 1 / (i + j + 1) for j, key in enumerate(keys)}}
        for i in range(1, epochs + 1)
    ]


def noise(count, height, width, classes):
    random = np.random.default_rng(0)
    labels = (np.arange(count) % classes).astype(np.int32)
    return Split(random.integers(0, 256, (count, height, width, 3)).astype(np.uint8), labels)


def usual():
    splits = shapes.make(train=10, test=20)
    return splits.test, splits.classes, (8,), Config(attention="cbam", dataset="shapes"), lines(6, [1e-3] * 6)


def foreign():
    """A flat picture, one block, classes of any name, self-attention, one epoch, steered by the test set."""
    config = Config(attention="nonlocal", dataset="forêt", recipe="original")
    return noise(13, 8, 20, 12), FOREIGN, (4,), config, lines(1, [0.1])


def many():
    """A hundred classes of which half are seen, a block with four gates, a tall picture, many plateaus."""
    classes = tuple(f"class number {i}" for i in range(100))
    rates = [1e-3 / 2 ** (i // 10) for i in range(60)]
    return (
        noise(50, 32, 16, 50),
        classes,
        (4,),
        Config(attention="triplet", dataset="many", schedule="plateau"),
        lines(60, rates),
    )


def plain():
    """No gate at all, two classes, one picture that is black, and a network that answers without looking."""
    black = Split(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int32), np.ones((1, 8, 8), bool))
    return black, ("no", "yes"), (4,), Config(dataset="black"), lines(2, [1e-3, 0.0])


WORLDS = {world.__name__: world for world in (usual, foreign, many, plain)}


def drawn(model, seed, shape):
    """Variables drawn at random, without the time it takes to compile how the network draws its own."""
    shapes, random = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape))), np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.normal(1, 0.3, leaf.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SCORED", 4)
        patch.setattr(pictures, "_unlearned_variables", lambda model, seed, shape: drawn(model, seed + 1, shape))
        yield


@functools.cache
def sources(world):
    """A look at two or three pictures and a study of the test set, of a network with random weights."""
    test, classes, widths, config, metrics = WORLDS[world]()
    model = CNN(classes=len(classes), widths=widths, hidden=8, attention=resolve(config.attention, 4))
    variables = drawn(model, 0, test.images.shape[1:])
    if world == "plain":
        variables = jax.tree.map(np.zeros_like, variables)
    run = Run(Path("run"), config, classes, model, variables, len(metrics), metrics, None)
    choice = pictures.Choice(("conv1", "norm1", "attention1", "block1") if world == "many" else ())
    shown = test.take(pictures.balanced(test.labels, 3 if world == "usual" else 2))
    look = pictures.Look(run, shown.images, shown.labels, shown.masks, choice)
    return look, pictures.Study(run, test, choice)


def texts(figure):
    """All that is written on a figure, with where it stands."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    written = [child for child in figure.get_children() if isinstance(child, Text)]
    legends = list(figure.legends)
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        written += [child for child in axes.get_children() if isinstance(child, Text)]
        legends += [axes.get_legend()] if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            written += [axis.label, *(label for tick in ticks for label in (tick.label1, tick.label2))]
    written += [text for legend in legends for text in legend.get_texts()]
    return [
        (text.get_text(), text.get_window_extent(renderer).padded(-1))
        for text in written
        if text.get_visible() and text.get_text().strip()
    ]


def assert_tidy(figure):
    figure.draw_without_rendering()
    page = figure.bbox.padded(1)
    placed = texts(figure)
    for name, box in placed:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, f"{name!r} is cut"
    for (one, a), (other, b) in itertools.combinations(placed, 2):
        assert not a.overlaps(b), f"{one!r} lies on {other!r}"


NOTHING = {
    "usual": {"attended"},
    "foreign": {"gates", "gates-by-class", "gates-by-place"},
    "many": {"attended"},
    "plain": {"gates", "gates-by-class", "gates-by-place", "attended"},
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", PLOTS)
def test_every_picture_is_whole_and_says_what_it_is(name, world):
    if name in NOTHING[world]:
        with pytest.raises(canvas.NothingToDrawError, match=r"^no (gates|self-attention) to draw: [^\n]*$"):
            pictures.draw(name, *sources(world))
        return
    figure = pictures.draw(name, *sources(world))
    assert len(figure.get_suptitle()) > 10
    caption = figure.get_supxlabel()
    assert WORLDS[world]()[3].attention in caption
    assert ("The TEST set steered this run" in " ".join(caption.split())) == (world == "foreign")
    assert_tidy(figure)


def test_pictures_become_files_of_both_kinds_and_the_same_bytes_each_time():
    svg = canvas.encode(pictures.draw("calibration", *sources("foreign")), "svg").decode()
    assert svg.startswith("<?xml") and "<text" not in svg  # letters are outlines: no font is needed to read it
    one, other = (canvas.encode(pictures.draw("calibration", *sources("foreign")), "png") for _ in range(2))
    assert Image.open(io.BytesIO(one)).format == "PNG"
    assert one == other


def test_nothing_global_is_touched():
    settings = dict(dict.items(mpl.rcParams))  # read through RcParams itself, the backend would load pyplot
    pictures.draw("curves", *sources("usual"))
    assert dict(dict.items(mpl.rcParams)) == settings
    assert "matplotlib.pyplot" not in sys.modules


# gates of every module, as its shapes say


@functools.cache
def shapes_of_gates(name):
    model = CNN(classes=3, widths=(8,), hidden=4, attention=resolve(name, 4))
    images = jnp.zeros((2, 8, 8, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    found = jax.eval_shape(lambda values: capture(model, values, images).gates, variables)
    return tuple((gate, found[gate].shape) for gate in sorted(found))


@functools.cache
def draw_gates(shapes):
    random = np.random.default_rng(0)
    gates = {name: random.uniform(size=shape) for name, shape in shapes}
    shown = Pictures(np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 3), 1 / 3), ("a", "b", "c"))
    by_channel = {name: gate.mean(axis=(1, 2)) for name, gate in gates.items() if gate.shape[3] > 1}
    curve = np.zeros((2, 11))
    by_place = [
        Heatmap("gate", name, gate.mean(axis=3), gate.mean(axis=3), Scores(None, None, curve, curve, np.zeros(2)))
        for name, gate in gates.items()
        if max(gate.shape[1:3]) > 1
    ]
    labels = np.array([0, 1])
    figures = []
    if by_channel:
        figures += [gate_profiles.draw(by_channel, labels, "run"), gate_atlas.draw(by_channel, labels, "abc", "run")]
    if by_place:
        figures.append(gate_maps.draw(shown, by_place, "run"))
    for figure in figures:
        assert_tidy(figure)
    return len(figures)


@pytest.mark.parametrize("name", ATTENTION)
def test_gates_of_every_module_are_drawn(name):
    assert bool(draw_gates(shapes_of_gates(name))) == (
        name not in ("none", "gc", "mhsa", "mhsa-code", "nonlocal", "nonlocal-code")
    )


@pytest.mark.parametrize("values", [(0.2, 0.9), (0.0, 1.0), (0.5, 0.5)])
def test_gates_between_0_and_1_are_drawn_on_that_scale(values):
    assert gate_profiles.gate_limits([np.array(values), np.array([0.4])]) == (0, 1)


def test_gates_beyond_0_and_1_widen_the_scale():
    assert gate_profiles.gate_limits([np.array([-2.0, 0.5]), np.array([3.0])]) == (-2, 3)


# what stands on the sheet


def images_of(axes):
    return [image for image in axes.images if image.get_array().ndim == 2]


def test_heatmap_is_the_zoomed_channel_on_one_scale_for_a_picture():
    curve = np.zeros((1, 11))
    maps = [np.array([[[0.0, 2.0]]]), np.array([[[4.0, 4.0]]])]
    strongest = [Heatmap("channel", "conv1", one, one, Scores(None, None, curve, curve, curve[0, :1])) for one in maps]
    shown = Pictures(np.zeros((1, 4, 4, 3), np.uint8), np.array([[1.0, 0.0]]), ("a", "b"))
    figure = heatmaps.draw(shown, strongest, "run")
    _, first, second = figure.axes[:3]
    laid, other = first.images[1], second.images[1]
    assert laid.get_alpha() == other.get_alpha() == 0.5
    assert laid.get_clim() == other.get_clim() == (0, 1)
    np.testing.assert_allclose(laid.get_array(), np.tile([0, 0.125, 0.375, 0.5], (4, 1)))  # 0 to 2, of at most 4
    np.testing.assert_allclose(other.get_array(), np.ones((4, 4)))


def test_features_of_one_layer_share_one_scale():
    look, study = sources("usual")
    figure = pictures.draw("features", look, study)
    columns = len(look.layers) + 1
    for column, layer in enumerate(look.layers, 1):
        shown = look.features[layer][..., :9]
        for row in range(3):
            (image,) = images_of(figure.axes[row * columns + column])
            assert image.get_clim() == (shown.min(), shown.max())
            cells = image.get_array()
            assert np.nanmin(cells) == shown[row].min() and np.nanmax(cells) == shown[row].max()


def test_mosaic_keeps_every_map_apart():
    maps = np.arange(5.0).reshape(5, 1, 1) + np.zeros((5, 32, 32))
    tiles = canvas.mosaic(maps)
    assert tiles.shape == (2 * 34, 3 * 34)
    np.testing.assert_array_equal(tiles[[1, 1, 1, 35, 35], [1, 35, 69, 1, 35]], range(5))
    assert np.isnan(tiles[0]).all() and np.isnan(tiles[40, 70])


def test_worst_mistakes_are_the_surest_and_the_least_sure_are_any():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.99, 0.01]])
    tested = Pictures(np.zeros((4, 1, 1, 3), np.uint8), probabilities, ("a", "b"), np.array([1, 0, 0, 0]))
    np.testing.assert_array_equal(mistakes.worst_mistakes(tested, 2), [0, 1])
    np.testing.assert_array_equal(mistakes.least_sure(tested, 2), [2, 1])


def test_table_has_means_and_chance_first():
    curves = np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0]])
    known = Scores(np.array([0.2, 0.6]), np.array([1, 0]), curves, curves[:, ::-1], np.array([0.1, 0.3]))
    unknown = Scores(None, None, curves, curves, np.array([1.0, 1.0]))
    maps = np.zeros((2, 1, 1))
    first, second = score_table.rows(
        [Heatmap("cam", "conv1", maps, maps, known), Heatmap("chance", "", maps, maps, unknown)]
    )
    assert first == ("chance", "", None, None, 0.75, 0.75, None)
    assert second == ("cam", "conv1", pytest.approx(0.4), 0.5, 0.75, 0.75, pytest.approx(0.2))


def test_names_are_short_unlike_and_drawable():
    names = canvas.names(FOREIGN)
    assert len(set(names)) == len(FOREIGN) and all(0 < len(name) <= canvas.LONGEST + 6 for name in names)
    assert names[1].startswith("$x_1$") and names[4] == "a b c" and names[5] == "class 5" and names[7] == "same (7)"
    assert canvas.names(("cat", "dog")) == ("cat", "dog")


def test_a_letter_that_the_usual_font_lacks_is_drawn_in_another_that_has_it():
    from matplotlib import font_manager

    other = next(font for font in font_manager.fontManager.ttflist if font.name == "STIXGeneral")
    usual = canvas._letters(font_manager.findfont(canvas.FONT))
    letter = next(chr(code) for code in sorted(canvas._letters(other.fname) - usual) if chr(code).isprintable())
    assert canvas.names((letter, "b")) == (letter, "b")
    tested = Pictures(np.zeros((2, 2, 2, 3), np.uint8), np.eye(2), (letter, "b"), np.array([0, 1]))
    figure = PLOTS["confusion"](tested, f"about {letter}")
    assert_tidy(figure)
    assert figure.get_supxlabel() == f"about {letter}"


def test_a_sheet_larger_than_matplotlib_can_draw_is_drawn_coarser():
    figure = canvas.figure("tall", "", (5, 500))
    figure.set_layout_engine("none")
    assert max(Image.open(io.BytesIO(canvas.encode(figure))).size) <= canvas.LARGEST


# where the arrays come from


def test_pictures_ask_only_for_what_a_look_or_a_study_has():
    look, study = sources("usual")
    assert all(pictures.drawable(name, look, study) for name in PLOTS)
    alone = {name for name in PLOTS if pictures.drawable(name, look)}
    assert alone == {"features", "heatmap", "gates-by-place", "attended", "cam", "sanity"}


@pytest.mark.parametrize("target", [None, "犬"])
def test_a_look_needs_no_labels_and_explains_the_chosen_class(target):
    look, _ = sources("foreign")
    other = pictures.Look(look._run, look.pictures.images, choice=pictures.Choice(("block1",), 2, target))
    expected = look.pictures.predicted if target is None else np.array([3, 3])
    np.testing.assert_array_equal(other.targets, expected)
    assert {(cam.kind, cam.layer) for cam in other.cams} == {("Grad-CAM", "block1"), ("HiResCAM", "block1")}
    figure = pictures.draw("cam", other)
    explained = "the predicted class" if target is None else canvas.names(FOREIGN)[3]
    assert figure.get_suptitle() == f"Where the evidence for {explained} lies"
    assert_tidy(figure)


def test_deletion_goes_from_the_picture_to_grey_and_insertion_back_to_the_picture():
    look, _ = sources("usual")
    grey = np.broadcast_to(np.float32([0.4914, 0.4822, 0.4465]), look.pictures.images.shape)
    logits = jax.jit(look._run.model.apply)(look._run.variables, normalize(grey))
    expected = np.take_along_axis(np.asarray(jax.nn.softmax(logits)), look.targets[:, None], axis=1)[:, 0]
    whole = look.pictures.probabilities.max(axis=1)
    for one in look.heatmaps:
        np.testing.assert_allclose(one.scores.deletion[:, 0], whole, rtol=1e-4)
        np.testing.assert_allclose(one.scores.insertion[:, -1], whole, rtol=1e-4)
        np.testing.assert_allclose(one.scores.deletion[:, -1], expected, rtol=1e-4)


def test_chance_is_the_objects_share_of_the_picture():
    chance = sources("usual")[1].scored[0]
    assert chance.kind == "chance"
    area = chance.scores.object_share
    np.testing.assert_allclose(chance.scores.pointing, area)
    assert area.min() > 0 and area.max() < 1


def test_gate_profiles_are_the_captured_gates_averaged_over_places():
    look, study = sources("usual")
    assert [one.layer for one in look.gate_maps] == ["block1/spatial"]
    ((gate, profiles),) = study.gate_profiles.items()
    assert gate == "block1/channel" and profiles.shape == (20, 8)
    places = [list(study.studied_labels).index(label) for label in look.pictures.labels]
    np.testing.assert_allclose(profiles[places], look.gates[gate][:, 0, 0], rtol=1e-5)


def test_balanced_takes_classes_in_turn():
    np.testing.assert_array_equal(pictures.balanced(np.array([2, 2, 0, 1, 0, 2]), 4), [2, 3, 0, 4])
    np.testing.assert_array_equal(pictures.balanced(np.array([1, 1]), 9), [0, 1])


def test_plateaus_are_where_the_rate_fell():
    assert sources("many")[1].plateaus == [11, 21, 31, 41, 51]
    assert sources("usual")[1].plateaus == []
