"""Every command that README and the guides show runs: on few images, for one epoch, with one seed, small networks."""

import dataclasses
import functools
import hashlib
import importlib
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tiny
from explained import few_scored_and_quickly_randomised  # noqa: F401
from pages import blocks, commands
from PIL import Image
from published import write_published

from jaxattn import Config, fit, networks, recipes
from jaxattn.cli.commands import COMMANDS
from jaxattn.comparison import __main__ as compare
from jaxattn.comparison import predictions
from jaxattn.data import DATASETS, cifar10, shapes
from jaxattn.data.dataset import Dataset
from jaxattn.explain import inference
from jaxattn.networks.resnet import ResNet
from jaxattn.robustness import official
from jaxattn.training import program

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
PLACES = {"/content/drive/MyDrive": "drive", "RUN": "mine", "2000": "20"}
ELSEWHERE = ("slurm", "--distributed", "weights.pth")  # a cluster, other hosts, PyTorch: other tests have them
LONG = (["modules"], ["visualize", "runs/mine"])  # other tests run the same
NAMES = {"cifar10_c": "CIFAR-10-C", "cifar10_1": "DIR", "duplicates": "FILE.csv", "people": "counts.npy"}


def small(create, attention, reduction, shape, network, *rest, **options):
    """A network of its kind, as small as it can be."""
    return (create if network == "cnn" else networks.create)(attention, reduction, shape, network, *rest, **options)


def looks(text):
    """One seed instead of several, and two looks instead of more."""
    return (2, 3) if "," in text else (1,)


def intact(model, spec, variables, images, by_site):
    """Predictions without a knock-out, which takes long to compile for each variant."""
    return {"intact": inference.predict(model, spec, variables, images).logits.argmax(axis=1)}


@pytest.fixture(scope="module")
def reader(small_network, tmp_path_factory):
    """What is on a reader's machine: runs, pictures, a folder of birds, published files."""
    folder = tmp_path_factory.mktemp("reader")
    splits = tiny.splits(40, 40)
    with pytest.MonkeyPatch.context() as patch:
        for spec in (cifar10.SPEC, dataclasses.replace(cifar10.SPEC, name="cifar100")):
            load = functools.partial(lambda data_dir, spec: dataclasses.replace(splits, spec=spec), spec=spec)
            patch.setitem(DATASETS, spec.name, Dataset(spec, load))
        some = dataclasses.replace(
            shapes.make(train=40, test=40), spec=dataclasses.replace(shapes.SPEC, train=40, test=40)
        )
        patch.setitem(DATASETS, "shapes", Dataset(some.spec, lambda data_dir: some))
        for recipe in (recipes.CNN, recipes.PLAIN):
            patch.setitem(recipe, "epochs", 1)
            patch.setitem(recipe, "batch_size", 20)
        patch.setitem(networks.NETWORKS, "resnet20", functools.partial(ResNet, blocks=(1, 1, 1), widths=(4, 4, 8)))
        patch.setattr(program, "create", functools.partial(small, program.create))
        patch.setattr(compare, "parse_seeds", looks)
        patch.setattr(compare, "SEEDS", 1)
        labels = splits.test.labels.astype(np.uint8)
        patch.setattr(official, "OFFICIAL", hashlib.sha256(labels.tobytes()).hexdigest())
        patch.setattr(predictions, "knockout_predictions", intact)
        for name in ("_draw", "_gates"):
            patch.setattr(f"jaxattn.comparison.page.{name}", lambda *arguments: {})
        for name, attention in {"mine": "se", "plain": "none", "se": "se", "a": "none", "b": "eca"}.items():
            fit(Config(attention=attention, dataset="shapes"), folder / "runs" / name)
        for part, count in (("train", 12), ("test", 2)):
            for name in ("crow", "wren"):
                (folder / "birds" / part / name).mkdir(parents=True)
                for i in range(count):
                    pixels = np.random.default_rng([i, len(name), len(part)]).integers(0, 256, (96, 96, 3), np.uint8)
                    Image.fromarray(pixels).save(folder / "birds" / part / name / f"{i}.png")
        shutil.copy(folder / "birds/test/wren/0.png", folder / "new.jpg")
        shutil.copy(folder / "birds/test/crow/0.png", folder / "other.png")
        for name, path in write_published(folder / "published", splits.test).items():
            if name in NAMES:
                Path(path).rename(folder / NAMES[name])
        (folder / "FILE.toml").write_text('variants = ["none", "se@3"]')
        (folder / "results.csv").write_text("variant,seed,accuracy\nnone,0,85.5\nnone,1,85.4\nse,0,85.6\nse,1,86.2\n")
        yield folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_runs(page, reader, tmp_path, monkeypatch):
    folder = tmp_path / "reader"
    shutil.copytree(reader, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    module = types.ModuleType("mine")
    module.__file__ = str(folder / "mine.py")
    shutil.copy(page, module.__file__)
    monkeypatch.setitem(sys.modules, "mine", module)
    for language, code, line in blocks(page):
        if (language == "python" and "import Gate" in code) or "import Network" in code:
            exec(compile("\n" * line + code, module.__file__, "exec"), module.__dict__)
    for language, code, _ in blocks(page):
        for name, *words in commands(code) if language == "sh" else ():
            if not set(ELSEWHERE) & set(words) and [name, *words] not in LONG:
                here = [
                    functools.reduce(lambda text, pair: text.replace(*pair), PLACES.items(), word) for word in words
                ]
                if name == "train":  # reports take most of the time, and have tests of their own
                    here.append("--no-report")
                if name in ("train", "compare") and "--out" in words:  # what the page makes takes the place of ours
                    shutil.rmtree(here[here.index("--out") + 1], ignore_errors=True)
                importlib.import_module(COMMANDS[name].module).main(here)
