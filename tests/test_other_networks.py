"""A network of the user's own and a residual network go through every command, as the tutorial's does."""

import functools

import numpy as np
import pytest
import tiny
from PIL import Image

from jaxattn import Config, export, fit, load_run, predict, visualize
from jaxattn.comparison.compare import compare
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
from jaxattn.explain import analysis, removal
from jaxattn.exports import safetensors
from jaxattn.networks import NETWORKS
from jaxattn.networks.resnet import ResNet
from jaxattn.observers.tensorboard import TensorBoard
from jaxattn.plots import canvas
from jaxattn.report import __main__ as report
from jaxattn.report import page
from jaxattn.runs.console import Console
from jaxattn.runtime import QUICK_COMPILE
from jaxattn.training import program

FLAGS = tiny.CONFIG | {"epochs": 1, "norm_bias_rate": 1.0, "first_conv": "pytorch", "later_convs": "pytorch"}


@pytest.fixture(scope="module", autouse=True)
def few_images():
    """Few images are scored, and programs are not optimised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "KEEP_BARRIERS", program.KEEP_BARRIERS | QUICK_COMPILE)
        for module, name, value in (
            (analysis, "SCORED", 4), (analysis, "FEW", 8), (removal, "STEPS", 2), (page, "SCORED", 4),
            (canvas, "DPI", 30),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        patch.setitem(DATASETS, "tiny", tiny.dataset())
        patch.setitem(NETWORKS, "resnet8", functools.partial(ResNet, widths=(4, 8), blocks=(1, 1)))
        yield


@pytest.fixture(scope="module", params=["own_network:Net", "resnet8"])
def compared(few_images, request, tmp_path_factory):
    """The folder of a comparison of a network, which trains, knocks out and draws."""
    folder = tmp_path_factory.mktemp("compared")
    compare(["none", "se"], 1, folder, Console(quiet=True), network=request.param, **FLAGS)
    return folder


@pytest.fixture(scope="module")
def run(compared):
    return load_run(compared / "se-s0")


def test_it_is_compared_and_each_site_is_knocked_out(compared, run):
    text = (compared / "compare.html").read_text()
    assert "Gate knock-out" in text and (compared / "figures" / "gates-se.png").exists()
    arrays = np.load(compared / "se-s0" / "predictions.npz")
    sites = [site.name for site in run.model.sites()]
    by_site = [f"mean at {site}" for site in sites] if len(sites) > 1 else []
    assert {"intact", "mean", *by_site} <= set(arrays)


def test_it_is_reported_drawn_and_classifies(run, tmp_path, capsys):
    report.main([str(run.folder), "--out", str(tmp_path / "report.html")])
    assert all(site.name in (tmp_path / "report.html").read_text() for site in run.model.sites())
    names = ["cam", "features", "gates", "removal"]
    visualize.main([str(run.folder), "--plot", *names, "--format", "png", "--out", str(tmp_path / "figures")])
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(names)
    Image.fromarray(tiny.splits().test.images[0]).save(tmp_path / "image.png")
    capsys.readouterr()
    predict.main([str(run.folder), str(tmp_path / "image.png"), "--explain", "--out", str(tmp_path / "explained")])
    assert "image.png: " in capsys.readouterr().out and list((tmp_path / "explained").glob("image-*.png"))


def test_it_is_exported_and_pytorchs_module_names_the_network_that_it_knows(run, tmp_path):
    images = tiny.splits().test.images[:4]
    for to in ("safetensors", "stablehlo"):
        export.main([str(run.folder), "--to", to, "--out", str(tmp_path / to)])
    loaded = safetensors.load(tmp_path / "safetensors")
    np.testing.assert_array_equal(loaded.predict(images), run.predict(images))
    with pytest.raises(InputError, match=f"^network {run.config.network} cannot be exported to PyTorch, only cnn can$"):
        export.main([str(run.folder), "--to", "torch", "--out", str(tmp_path / "torch")])
    assert not (tmp_path / "torch").exists()


def test_tensorboard_shows_it(run, tmp_path, quiet):
    pytest.importorskip("tensorboardX")
    config = Config(attention="se", network=run.config.network, **FLAGS)
    assert fit(config, tmp_path / "run", quiet, observers=[TensorBoard()]).result["epochs"] == 1
    content = b"".join(path.read_bytes() for path in (tmp_path / "run" / "tensorboard").iterdir())
    assert all(site.name.encode() in content for site in run.model.sites())
