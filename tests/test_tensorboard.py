"""TensorBoard's files, read back by TensorBoard's own reader."""

import sys

import numpy as np
import pytest
import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from watching import At, stop

from jaxattn import Config, fit, resume, train
from jaxattn.errors import InputError, Interrupted
from jaxattn.observers.pictures import SCALE, overlays
from jaxattn.observers.tensorboard import IMAGES, TensorBoard
from jaxattn.runs.console import Console

pytestmark = pytest.mark.usefixtures("small_network")

CONFIG = Config(**tiny.CONFIG | {"attention": "cbam", "epochs": 3})
SCALARS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate", "images_per_second")


@pytest.fixture(scope="module")
def run(small_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorboard") / "run"
    with pytest.raises(Interrupted):
        fit(CONFIG, folder, Console(quiet=True), observers=[TensorBoard(), At(2, stop)])
    (folder / "tensorboard" / ".draft-of-3").write_bytes(b"of a process that was killed")
    return resume(folder, console=Console(quiet=True), observers=[TensorBoard()])


def read(run):
    events = EventAccumulator(str(run.folder / "tensorboard"), {"scalars": 0, "histograms": 0, "images": 0})
    return events.Reload()


def test_curves_are_those_of_the_run_and_resuming_doubles_nothing(run):
    events = read(run)
    for name in SCALARS:
        tag = name.replace("train_", "").replace("val_", "")
        tag += "/train" if name.startswith("train") else "/val" if name.startswith("val") else ""
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        expected = [(line["epoch"], np.float32(line[name])) for line in run.metrics]
        assert found == expected
    assert not list((run.folder / "tensorboard").glob(".draft*"))


def test_gates_of_every_block_are_a_histogram_an_epoch(run):
    events = read(run)
    tags = events.Tags()["histograms"]
    assert {tag.split("/")[1] for tag in tags} == {"block1", "block2", "block3"}
    for tag in tags:
        found = events.Histograms(tag)
        assert [event.step for event in found] == [1, 2, 3]
        for event in found:
            value = event.histogram_value
            assert value.num > 0 and 0 <= value.min < value.max <= 1  # cbam's gates are sigmoids
            assert sum(value.bucket) == value.num


def test_maps_are_images_an_epoch(run):
    events = read(run)
    tags = events.Tags()["images"]
    assert set(tags) == {"maps/strongest_channel_conv3", *(f"maps/gate_block{i}/spatial" for i in (1, 2, 3))}
    for tag in tags:
        images = events.Images(tag)
        assert [event.step for event in images] == [1, 2, 3]
        assert (images[0].height, images[0].width) == (2 * 32 * SCALE, IMAGES * 32 * SCALE)


def test_hyperparameters_stand_with_the_final_metric(run):
    events = read(run)
    [accuracy] = events.Scalars("accuracy/test")
    assert accuracy.value == np.float32(run.result["test_accuracy"])
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    assert found["attention"].string_value == "cbam" and found["learning_rate"].number_value == CONFIG.learning_rate


def test_a_run_that_grows_loses_the_result_of_the_shorter_one(small_network, tmp_path):
    config = Config(**tiny.CONFIG | {"epochs": 1})
    fit(config, tmp_path / "run", Console(quiet=True))  # without files: the curves are written later
    with pytest.raises(Interrupted):
        resume(tmp_path / "run", 2, Console(quiet=True), observers=[TensorBoard(), At(2, stop)])
    done = resume(tmp_path / "run", 3, Console(quiet=True), observers=[TensorBoard()])
    events = read(done)
    assert [event.step for event in events.Scalars("loss/train")] == [1, 2, 3]
    assert [event.step for event in events.Scalars("accuracy/test")] == [3]


def test_a_map_lies_over_its_image():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[1] = 200
    maps = np.zeros((2, 4, 4))
    maps[0, :, :2] = 1
    picture = overlays(images, maps, (0, 1))[::SCALE, ::SCALE]
    assert picture.shape == (16, 16, 3)
    np.testing.assert_array_equal(picture[:8, :8], images[0])
    yellow, purple = picture[8, 0], picture[8, 7]  # the ends of viridis over black
    assert yellow[0] > 100 > yellow[2] and purple[2] > purple[1]
    assert (picture[8:, 8:].min(axis=(0, 1)) >= 100).all()


def test_without_tensorboardx_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        InputError, match=r"TensorBoard's files need tensorboardX; install it: pip install tensorboardX"
    ):
        train.main(["--dataset", "tiny", "--tensorboard", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
