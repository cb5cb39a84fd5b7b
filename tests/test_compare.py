"""Comparing variants over seeds: what is trained, what is kept, what is refused, and the page."""

import re
import shutil

import chex
import numpy as np
import pytest
import tiny

from jaxattn import Config, compare, fit, load_run
from jaxattn.comparison import page, results, train
from jaxattn.comparison.plan import read_plan
from jaxattn.errors import InputError
from jaxattn.training import loop, program

pytestmark = pytest.mark.usefixtures("small_network")
FLAGS = tiny.CONFIG | {"epochs": 1}


@pytest.fixture(scope="module")
def compared(small_network, tmp_path_factory):
    """The folder and the result of a comparison of two variants and two seeds."""
    folder = tmp_path_factory.mktemp("compared") / "c"
    return folder, compare(["none", "se"], 2, folder, **FLAGS)


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


def test_every_run_is_an_ordinary_run_folder_of_its_variant_and_seed(compared, tmp_path, quiet):
    folder, found = compared
    alone = fit(Config(attention="se", seed=1, **FLAGS), tmp_path / "alone", quiet)
    chex.assert_trees_all_equal(load_run(folder / "se-s1").variables, alone.variables)
    runs = results.of_plan(folder, read_plan(folder))
    assert {name: sorted(of) for name, of in runs.items()} == {"none": [0, 1], "se": [0, 1]}
    assert found.table.rows[1].variant.mean == np.mean([run.result["test_accuracy"] for run in runs["se"].values()])
    assert found.table.rows[1].verdict.text in str(found) and found.verdict.startswith("se ")


def test_same_seeds_start_from_the_same_weights_where_names_agree(compared):
    configs = dict(read_plan(compared[0]).runs())
    assert list(configs) == ["none-s0", "se-s0", "none-s1", "se-s1"]
    params = [
        program.build(configs[name], 10, (32, 32, 3), 1).init(loop.keys(configs[name])[0]).params
        for name in ("none-s1", "se-s1")
    ]
    chex.assert_trees_all_equal(params[0]["block_2"]["conv"], params[1]["block_2"]["conv"])


def test_the_same_command_trains_nothing_again_and_more_seeds_extend_it(compared, tmp_path, monkeypatch):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    trained = []
    monkeypatch.setattr(train, "fit", lambda config, *rest: trained.append(config) or fit(config, *rest))
    compare(["none", "se"], 2, folder, **FLAGS)
    assert trained == []
    result = compare(["none", "se", "eca"], 3, folder, **FLAGS)
    assert [(config.attention, config.seed) for config in trained] == [
        ("eca", 0), ("eca", 1), ("none", 2), ("se", 2), ("eca", 2)
    ]  # fmt: skip
    assert read_plan(folder).extended == (2,)
    text = text_of(result.page.read_text())
    assert "The number of seeds was extended (2 seeds, then 3 seeds). " + page.EXTENSION in text
    with pytest.raises(InputError, match="seeds may only grow"):
        compare(["none", "se"], 2, folder, **FLAGS)


def test_a_comparison_compiles_each_variant_once(tmp_path, monkeypatch):
    make = program.make_train_step
    monkeypatch.setattr(program, "make_train_step", lambda *a: chex.assert_max_traces(make(*a), n=1))
    build = train.cached_build()
    configs = [Config(attention=name, seed=seed, **FLAGS) for name in ("none", "se") for seed in range(3)]
    assert len({id(build(config, 10, (32, 32, 3), 24)) for config in configs}) == 2


KILLED = """
import sys
import time
import tiny
from jaxattn.comparison.compare import compare
from jaxattn.data import DATASETS
from jaxattn.model import CNN
from jaxattn.training import program

DATASETS["tiny"] = lambda data_dir: tiny.splits()
program.create = lambda attention, reduction, shape, **options: CNN(widths=(4, 4, 8), hidden=8, **options)
print(compare(["none", "eca"], 1, sys.argv[1], **tiny.CONFIG | {"epochs": 3}))
"""


def test_killed_at_any_moment_the_same_command_ends_with_the_same_results(tmp_path):
    path = os.pathsep.join(map(str, (Path(__file__).parents[1], Path(__file__).parent)))
    cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    env = os.environ | cache | {"PYTHONPATH": path}

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=env, stdout=subprocess.DEVNULL)

    assert start(tmp_path / "whole").wait(timeout=200) == 0
    folder = tmp_path / "killed"
    for moment in ("compare.json", "none-s0/checkpoints/1", "none-s0/result.json", "eca-s0/checkpoints/2"):
        process = start(folder)
        while not (folder / moment).exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
        process.wait()
    kept = (folder / "none-s0" / "result.json").read_bytes()
    assert start(folder).wait(timeout=200) == 0
    assert (folder / "none-s0" / "result.json").read_bytes() == kept
    for name in ("none-s0", "eca-s0"):
        whole, killed = load_run(tmp_path / "whole" / name), load_run(folder / name)
        chex.assert_trees_all_equal(whole.variables, killed.variables)
    assert (folder / "compare.html").exists()
