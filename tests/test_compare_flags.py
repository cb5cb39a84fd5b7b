"""Every flag of `jaxattn compare` acts: on what is planned, trained or printed, or it is said why not."""

import importlib
import json
from pathlib import Path

import pytest
import tiny
from PIL import Image
from report_runs import metrics, result

from jaxattn.comparison import compare, prepare, tune
from jaxattn.config import Config
from jaxattn.data import DATASETS
from jaxattn.runs.failure import Failure
from jaxattn.runs.manifest import Manifest, claim
from jaxattn.runs.store import write_json, write_metrics

command = importlib.import_module("jaxattn.comparison.__main__")  # the package's name for the function hides it
BASE = "--attention none se --seeds 2 --out OUT --dataset tiny"
# Two command lines that differ by the flag; a flag alone is added to BASE.
FOLDER = BASE.replace("--dataset tiny", "--dataset folder:RUNS/images")
ACTS = {
    "--attention": (BASE, BASE.replace("se", "eca", 1)),
    "--variants": "--variants RUNS/variants.toml",
    "--vary": "--vary ema=0,.5",
    "--tune": "--tune ema=0,.5",
    "--baseline": "--baseline se",
    "--margin": "--margin 0.7",
    "--seeds": (BASE, BASE.replace("--seeds 2", "--seeds 3")),
    "--out": (BASE, BASE.replace("OUT", "OUT/other")),
    "--dataset": (BASE, BASE.replace("tiny", "other")),
    "--executor": "--executor local",
    "--mirror": "--mirror copies",
    "--retry-failed": "--retry-failed",
    "--runs": ("--runs RUNS/none-s0 RUNS/se-s0 --out OUT", "--runs RUNS/none-s0 RUNS/se-s1 --out OUT"),
    "--csv": ("--csv RUNS/first.csv", "--csv RUNS/second.csv"),
    "--recipe": "--recipe original",
    "--reduction": "--reduction 8",
    "--attention-at": "--attention-at 1,3",
    "--attention-position": "--attention-position after",
    "--attention-start": "--attention-start identity",
    "--network": "--network own_network:Net",
    "--momentum": "--momentum 0.7",
    "--milestones": "--milestones 0.3",
    "--milestone-factor": "--milestone-factor 0.7",
    "--init": f"--init {Path(__file__).parent / 'golden' / 'format-4'}",
    "--data-dir": "--data-dir elsewhere",
    "--cutout": "--cutout 5",
    "--mixup": "--mixup 0.7",
    "--image-size": (FOLDER, f"{FOLDER} --image-size 16"),
    "--skip-damaged": (FOLDER, f"{FOLDER} --skip-damaged"),
    "--augment": "--augment full",
    "--crop-padding": "--crop-padding 7",
    "--flips": "--flips random",
    "--validation": "--validation 0.3",
    "--epochs": "--epochs 11",
    "--batch-size": "--batch-size 7",
    "--optimizer": "--optimizer adam",
    "--learning-rate": "--learning-rate 0.7",
    "--norm-bias-rate": "--norm-bias-rate 3",
    "--muon-rate": "--muon-rate 0.7",
    "--muon-decay": "--muon-decay 0.7",
    "--schedule": "--schedule cosine",
    "--warmup-epochs": "--warmup-epochs 1.5",
    "--plateau-factor": "--plateau-factor 0.3",
    "--plateau-patience": "--plateau-patience 7",
    "--weight-decay": "--weight-decay 0.7",
    "--label-smoothing": "--label-smoothing 0.7",
    "--ema": "--ema 0.7",
    "--dropout": "--dropout 0.7",
    "--first-conv": "--first-conv pytorch",
    "--later-convs": "--later-convs pytorch",
    "--monitor": "--monitor test",
    "--train-mode": "--train-mode first-epoch",
    "--precision": "--precision bf16",
    "--keep": "--keep best",
    "--test-augmentation": "--test-augmentation flips",
    "--accept-changed-code": "--accept-changed-code",
}
INERT = {
    "--trust-code": "test_code_flags",
    "--traceback": "test_command",
    "--help": "test_conventions",
    "--cache-limit": "test_cache",
}


def flags_of_compare():
    return {option for option in command.parser()._option_string_actions if option.startswith("--")}


def finished(folder, attention, seed, accuracy):
    """A folder with what a comparison reads of a finished run."""
    config = Config(attention=attention, seed=seed, dataset="tiny", epochs=1)
    splits = tiny.splits()
    with claim(folder, Manifest(config, splits.spec, splits.digest())):
        write_metrics(folder, metrics(1))
        measured = {
            "dataset": "tiny",
            "epochs": 1,
            "test_accuracy": accuracy,
            "tested_epoch": 1,
            "dataset_hash": splits.digest(),
        }
        write_json(folder / "result.json", result(config) | {"seconds": 1.0, "parameters": 1} | measured)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs, and results of other programs."""
    folder = tmp_path_factory.mktemp("runs")
    for attention, seed, accuracy in (("none", 0, 0.5), ("se", 0, 0.6), ("se", 1, 0.7)):
        finished(folder / f"{attention}-s{seed}", attention, seed, accuracy)
    for i in range(4):
        path = folder / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (60 * i, 0, 0)).save(path)
    (folder / "variants.toml").write_text('variants = ["eca"]')
    for name, accuracy in (("first", 0.6), ("second", 0.7)):
        (folder / f"{name}.csv").write_text(f"variant,seed,accuracy\nplain,0,0.5\nmine,0,{accuracy}\n")
    return folder


@pytest.fixture
def effect(runs, tmp_path, monkeypatch, capsys):
    """A function from a command line to what it prints, writes and trains; nothing is trained, no page is drawn."""
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset())
    monkeypatch.setitem(DATASETS, "other", tiny.dataset(seed=1))
    monkeypatch.setattr(prepare, "_check_variants", lambda configs, spec: None)
    monkeypatch.setattr(compare, "write_page", lambda *arguments, **options: None)
    monkeypatch.setattr(compare, "write_files", lambda *arguments: None)
    monkeypatch.setattr(compare, "predictions", lambda run, test: {"intact": test.labels})
    failed = {"se": {0: Failure("it failed", 1, False, {})}}
    monkeypatch.setattr(compare.results, "failures", lambda folder, plan: failed)
    trained = []

    def stop(name, *arguments):
        trained.append((name, [str(value) for value in arguments]))
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "train", lambda left, progress, *rest: stop("here", left, *rest))
    monkeypatch.setattr(tune, "train", lambda left, progress, *rest: stop("tune", left, *rest))
    monkeypatch.setattr(compare.cluster, "submit", lambda jobs, left, name, progress, *rest: stop(name, left, *rest))

    def of(number, words):
        folder = tmp_path / str(number)
        folder.mkdir()
        trained.clear()
        try:
            command.main(
                [word.replace("OUT", str(folder / "out")).replace("RUNS", str(runs)) for word in words.split()]
            )
        except (compare.Interrupted, KeyboardInterrupt) as stopped:
            trained.append(str(stopped))
        files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
        seen = json.dumps([capsys.readouterr().out, files, trained])
        return seen.replace(str(folder), "FOLDER")

    return of


def test_every_flag_has_a_row():
    assert flags_of_compare() == ACTS.keys() | INERT.keys() and not ACTS.keys() & INERT.keys()


@pytest.mark.parametrize("flag", ACTS)
def test_a_flag_changes_what_a_comparison_plans_trains_or_prints(effect, flag):
    rows = ACTS[flag]
    before, after = (BASE, f"{BASE} {rows}") if isinstance(rows, str) else rows
    assert effect(0, before) != effect(1, after)


@pytest.mark.parametrize("words", [BASE, ACTS["--runs"][0], ACTS["--csv"][0]])
def test_the_same_flags_have_the_same_effect(effect, words):
    assert effect(0, words) == effect(1, words)
