"""Every plot of networks, data and names of all sorts: no warning, nothing cut off, nothing overlapping."""

import functools
import io
import itertools
import sys
import warnings

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from attention_runs import KINDS
from cnn_layers import layer
from explained import CASES, FOREIGN, few_scored_and_quickly_randomised, run, sources  # noqa: F401
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from jaxattn.attention import resolve
from jaxattn.explain import groups
from jaxattn.explain.capture import capture
from jaxattn.explain.explanation import Explanation, Selection
from jaxattn.networks import CNN
from jaxattn.plots import (
    PLOTS,
    canvas,
    draw,
    gallery,
    gate_profiles,
    gates_by_class,
    gates_by_image,
    gates_by_position,
    heatmap,
    labels,
)
from jaxattn.types import MapKind, Predictions, ScoredMaps, Scores


def texts(figure):
    """All texts of a figure, with their boxes."""
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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # `canvas.encode` is tested for it
        figure.draw_without_rendering()
        placed = texts(figure)
    page = figure.bbox.padded(1)
    for name, box in placed:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, f"{name!r} is cut"
    for (one, a), (other, b) in itertools.combinations(placed, 2):
        assert not a.overlaps(b), f"{one!r} overlaps {other!r}"


BY_CHANNEL = {"gates", "gates-by-class", "gates-by-depth", "gates-by-image", "removal"}
NOTHING = {
    "usual": {"attention-received"},
    "foreign": BY_CHANNEL | {"gates-by-position"},
    "many": {"attention-received"},
    "plain": BY_CHANNEL | {"gates-by-position", "attention-received"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_is_complete_and_says_what_it_is(name, case):
    if name in NOTHING[case]:
        with pytest.raises(canvas.NothingToDrawError, match=r"^nothing to draw: .* network [^\n]*$"):
            draw(name, **sources(case)._asdict())
        return
    figure = draw(name, **sources(case)._asdict())
    assert len(figure.get_suptitle()) > 10
    caption = " ".join(figure.get_supxlabel().split())
    assert f"attention {CASES[case]()[3].attention}, " in caption
    assert ("The TEST set was monitored in this run" in caption) == (case == "foreign")
    assert_tidy(figure)


@pytest.mark.parametrize("name", sorted(PLOTS.keys() - NOTHING["foreign"]))
def test_any_class_name_is_drawn_without_a_warning(name):
    figure = draw(name, **sources("foreign")._asdict())
    assert canvas.encode(figure).startswith(b"\x89PNG")  # pytest makes warnings errors


def test_plots_become_files_of_both_formats_with_the_same_bytes_each_time():
    svg = canvas.encode(draw("calibration", **sources("foreign")._asdict()), "svg").decode()
    assert svg.startswith("<?xml") and "<text" not in svg  # text is outlines: no font is needed to read it
    one, other = (canvas.encode(draw("calibration", **sources("foreign")._asdict()), "png") for _ in range(2))
    assert Image.open(io.BytesIO(one)).format == "PNG"
    assert one == other


def test_drawing_changes_no_global_setting():
    settings = dict(dict.items(mpl.rcParams))  # read through RcParams itself, the backend would load pyplot
    loaded = "matplotlib.pyplot" in sys.modules  # by the code of a guide that was run before
    draw("curves", **sources("usual")._asdict())
    assert dict(dict.items(mpl.rcParams)) == settings
    assert loaded or "matplotlib.pyplot" not in sys.modules


# what a plot draws


def test_one_image_and_a_history_have_their_plots():
    """What `predict --explain` draws, and what needs no data."""
    sources = {name: {plot for plot, one in PLOTS.items() if one.source == name} for name in ("history", "explanation")}
    assert sources == {
        "history": {"curves"},
        "explanation": {
            "features", "heatmap", "gates-by-image", "gates-by-position", "attention-received", "cam", "sanity",
        },
    }  # fmt: skip


@pytest.mark.parametrize("target", [None, "犬"])
def test_title_names_the_class_that_cams_explain(target):
    images = sources("foreign").explanation.predictions.images
    figure = draw("cam", explanation=Explanation(run("foreign")[0], images, Selection(("block1",), 2, target)))
    explained = "the predicted class" if target is None else labels.class_names(FOREIGN)[3]
    assert figure.get_suptitle() == f"Class activation maps for {explained}"
    assert_tidy(figure)


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
    predictions = Predictions(np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 3), 1 / 3), ("a", "b", "c"))
    profiles = {name: gate.mean(axis=(1, 2)) for name, gate in gates.items() if gate.shape[3] > 1}
    curve = np.zeros((2, 11))
    by_position = [
        ScoredMaps(
            MapKind.GATE, name, gate.mean(axis=3), gate.mean(axis=3), Scores(None, None, curve, curve, np.zeros(2))
        )
        for name, gate in gates.items()
        if max(gate.shape[1:3]) > 1
    ]
    classes = np.array([0, 1])
    tested = predictions._replace(labels=classes)
    figures = []
    if profiles:
        figures += [
            gate_profiles.draw(profiles, classes, "run"),
            gates_by_class.draw(profiles, tested, "run"),
            gates_by_image.draw(predictions, gates, "run"),
        ]
    if by_position:
        figures.append(gates_by_position.draw(predictions, by_position, "run"))
    for figure in figures:
        assert_tidy(figure)
    return len(figures)


@pytest.mark.parametrize("name", ["none", *KINDS])
def test_gates_of_every_kind_are_drawn(name):
    assert bool(draw_gates(shapes_of_gates(name))) == (name not in ("none", "gc", "mhsa"))


@pytest.mark.parametrize(
    ("count", "across", "columns", "rows"), [(6, 6, 7, 1), (9, 3, 4, 3), (8, 6, 7, 2), (1, 6, 2, 1)]
)
def test_maps_of_an_image_stand_beside_it_in_rows(count, across, columns, rows):
    predictions = Predictions(np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 3), 1 / 3), ("a", "b", "c"))
    panels = [[gallery.Panel(f"map {i}", np.full((8, 8), i / 10)) for i in range(count)] for _ in range(2)]
    figure = gallery.gallery("maps", "run", predictions, panels, {"label": "weight"}, across)
    drawn = [axis.get_title() for axis in figure.axes[: 2 * rows * columns]]
    of_first = np.reshape(drawn[: rows * columns], (rows, columns))
    assert of_first[0, 0] and not any(of_first[1:, 0])
    assert [title for title in of_first[:, 1:].flat if title] == [f"map {i}" for i in range(count)]
    assert_tidy(figure)


def test_gates_by_image_are_bars_of_that_images_weights():
    explained = sources("usual").explanation
    figure = draw("gates-by-image", explanation=explained)
    (gate,) = [gate for gate in explained.gates.values() if gate.shape[3] > 1]
    for row, weights in enumerate(gate[:, 0, 0]):
        bars = figure.axes[2 * row + 1].patches
        np.testing.assert_allclose([bar.get_height() for bar in bars], weights, rtol=1e-6)


# what is drawn


def test_heatmap_is_the_zoomed_channel_on_one_scale_for_an_image():
    curve, conv = np.zeros((1, 11)), layer("conv", 1)
    maps = [np.array([[[0.0, 2.0]]]), np.array([[[4.0, 4.0]]])]
    scores = Scores(None, None, curve, curve, curve[0, :1])
    strongest = [ScoredMaps(MapKind.STRONGEST, conv, one, one, scores) for one in maps]
    predictions = Predictions(np.zeros((1, 4, 4, 3), np.uint8), np.array([[1.0, 0.0]]), ("a", "b"))
    figure = heatmap.draw(predictions, strongest, "run")
    _, first, second = figure.axes[:3]
    overlay, other = first.images[1], second.images[1]
    assert overlay.get_alpha() == other.get_alpha() == 0.5
    assert overlay.get_clim() == other.get_clim() == (0, 1)
    np.testing.assert_allclose(overlay.get_array(), np.tile([0, 0.125, 0.375, 0.5], (4, 1)))  # 0 to 2, of at most 4
    np.testing.assert_allclose(other.get_array(), np.ones((4, 4)))


def test_features_of_one_layer_share_one_scale():
    explained = sources("usual").explanation
    figure = draw("features", explanation=explained)
    columns = len(explained.layers) + 1
    for column, name in enumerate(explained.layers, 1):
        shown = explained.features[name][..., :9]
        for row in range(3):
            (image,) = [one for one in figure.axes[row * columns + column].images if one.get_array().ndim == 2]
            assert image.get_clim() == (shown.min(), shown.max())
            cells = image.get_array()
            assert np.nanmin(cells) == shown[row].min() and np.nanmax(cells) == shown[row].max()


def test_mosaic_separates_the_maps():
    maps = np.arange(5.0).reshape(5, 1, 1) + np.zeros((5, 32, 32))
    tiles = gallery.mosaic(maps)
    assert tiles.shape == (2 * 34, 3 * 34)
    np.testing.assert_array_equal(tiles[[1, 1, 1, 35, 35], [1, 35, 69, 1, 35]], range(5))
    assert np.isnan(tiles[0]).all() and np.isnan(tiles[40, 70])


def test_class_names_are_short_distinct_and_drawable():
    names = labels.class_names(FOREIGN)
    assert len(set(names)) == len(FOREIGN) and all(0 < len(name) <= groups.LONG for name in names)
    assert (
        names[1].startswith("$x_1$")
        and names[4] == "a b c"
        and names[5] == "class 5"
        and names[7:9] == ("same (7)", "same (8)")
    )
    assert labels.class_names(("cat", "dog")) == ("cat", "dog")
    assert len(set(labels.class_names(("a (1)", "a", "a")))) == 3
    many = tuple(f"class number {i} of a long name" for i in range(1000))
    truth = np.repeat(np.arange(1000), 2)
    tested = Predictions(np.zeros((2000, 4, 4, 3), np.uint8), np.zeros((2000, 1000)), many, truth)
    tested.probabilities[np.arange(2000), np.where(truth < 900, truth, truth - 1)] = 1
    shown = groups.grouped(tested)
    numbers = [many.index(name) for name in shown.names]
    assert len(numbers) == 20 and [name[-5:] for name in shown.short] == [f"({number})" for number in numbers]


def test_a_figure_larger_than_matplotlib_can_draw_is_drawn_coarser():
    figure = canvas.figure("tall", "", (5, 500))
    figure.set_layout_engine("none")
    assert max(Image.open(io.BytesIO(canvas.encode(figure))).size) <= canvas.MAX_PIXELS


def test_a_notebook_shows_a_figure_as_a_cells_last_value():
    made = canvas.finish(canvas.figure("Title", "caption", (5, 2)))
    assert made._repr_png_().startswith(b"\x89PNG")
