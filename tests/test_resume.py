"""A run that was stopped goes on to the same bytes, and says what has changed since."""

import dataclasses
import sys

import chex
import jax
import numpy as np
import optax
import pytest
import tiny

from jaxattn import Config, fit, load_run, resume
from jaxattn.data import DATASETS
from jaxattn.errors import InputError, Interrupted
from jaxattn.runs import checkpoint, environment
from jaxattn.runs.console import Console
from jaxattn.runs.history import Start
from jaxattn.runs.manifest import Manifest, read_manifest
from jaxattn.training import loop, program

pytestmark = pytest.mark.usefixtures("small_network")
OWN_MODULE = """
import jax.numpy as jnp
from flax import linen as nn

class Counting(nn.Module):
    train: bool = False

    @nn.compact
    def __call__(self, x):
        steps = self.variable("memory", "steps", jnp.zeros, (), jnp.int32)
        if self.train and not self.is_initializing():
            steps.value += 1
        return x * self.param("scale", nn.initializers.ones, ())
"""


def test_a_collection_of_ones_own_module_is_trained_checkpointed_and_resumed(tmp_path, quiet, monkeypatch):
    (tmp_path / "own_collection.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    config = Config(attention="own_collection:Counting", **tiny.CONFIG | {"epochs": 1, "ema": 0.9})
    fit(config, tmp_path / "run", quiet)
    resume(tmp_path / "run", epochs=2, console=quiet)
    found = load_run(tmp_path / "run", "last").variables
    assert found.keys() == {"params", "batch_stats", "memory"}
    assert [int(found["memory"][f"block_{i}"]["attention"]["steps"]) for i in (1, 2, 3)] == [48] * 3  # 24 an epoch
    sys.modules.pop("own_collection")


def stop_after_the_first_epoch(monkeypatch):
    epoch = loop._epoch

    def stopped(program, train_mode, state, *rest):
        if int(state.step) > 0:
            raise KeyboardInterrupt
        return epoch(program, train_mode, state, *rest)

    monkeypatch.setattr(loop, "_epoch", stopped)


def test_the_average_is_what_is_tested_loaded_and_resumed_to_the_bit(tmp_path, quiet, monkeypatch):
    whole = fit(Config(**tiny.RECIPE), tmp_path / "whole", quiet)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after_the_first_epoch(patch)
        fit(Config(**tiny.RECIPE), tmp_path / "part", quiet)
    resume(tmp_path / "part", console=quiet)
    template = program.template(program.build(Config(**tiny.RECIPE), tiny.SPEC, 1))
    state, other = (checkpoint.restore(tmp_path / run / "checkpoints", 2, template) for run in ("whole", "part"))
    chex.assert_trees_all_equal(state, other)
    chex.assert_trees_all_equal(state.average, whole.variables, load_run(tmp_path / "whole").variables)
    assert not np.array_equal(state.average["params"]["head"]["kernel"], state.params["head"]["kernel"])


def test_run_resumed_with_more_epochs_equals_one_started_with_them(tmp_path, quiet):
    fit(Config(**tiny.CONFIG), tmp_path / "grown", quiet)
    grown = resume(tmp_path / "grown", epochs=3, console=quiet)
    whole = fit(Config(**tiny.CONFIG | {"epochs": 3}), tmp_path / "whole", quiet)
    chex.assert_trees_all_equal(grown.variables, whole.variables)
    assert grown.result["epochs"] == 3
    with pytest.raises(InputError, match="epochs cannot be reduced"):
        resume(tmp_path / "grown", epochs=1, console=quiet)


def test_resuming_on_other_images_is_refused(tmp_path, quiet, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset(seed=1))
    with pytest.raises(InputError, match="on other images"):
        resume(tmp_path / "run", console=quiet)


def test_a_run_that_goes_on_elsewhere_says_so_and_keeps_both_environments(tmp_path, capsys, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", Console(quiet=True))
    here = environment.environment()
    elsewhere = here | {"host": "a desk", "versions": here["versions"] | {"jax": "0.99"}}
    monkeypatch.setattr("jaxattn.runs.start.environment", lambda: elsewhere)
    done = resume(tmp_path / "run", epochs=2)
    note = f"from epoch 2 on: jax 0.99 instead of {jax.__version__}, host a desk instead of {here['host']}"
    note += ", planned for 2 epochs instead of 1"
    assert f"{note}\n" in capsys.readouterr().out
    assert done.result["notes"] == list(done.notes) == list(load_run(tmp_path / "run").notes) == [note]
    starts = read_manifest(tmp_path / "run").starts
    assert [(start.epoch, start.environment) for start in starts] == [(0, here), (1, elsewhere)]
    fit(done.config, tmp_path / "run", Console(quiet=True))  # nothing is left to train, so nothing is recorded
    assert read_manifest(tmp_path / "run").starts == starts


def test_ctrl_c_says_what_is_kept_and_the_run_resumes(tmp_path, quiet, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after_the_first_epoch(patch)
        with pytest.raises(Interrupted, match="stopped; 1 complete epochs are kept in") as caught:
            fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    assert (caught.value.folder, caught.value.epochs) == (tmp_path / "run", 1)
    assert resume(tmp_path / "run", console=quiet).result["epochs"] == 2


def test_result_of_a_shorter_run_is_not_that_of_the_longer(tmp_path, quiet, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    with monkeypatch.context() as patch:
        patch.setattr("jaxattn.runs.fit.final_result", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):  # the last epoch is kept, its test was not reached
            resume(tmp_path / "run", epochs=2, console=quiet)
    assert load_run(tmp_path / "run").result is None
    assert resume(tmp_path / "run", console=quiet).result["epochs"] == 2


def test_run_of_another_optimiser_can_be_loaded_but_not_resumed(tmp_path, quiet):
    done = fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    folder = tmp_path / "run" / "checkpoints"
    state = checkpoint.restore(folder, 2, program.template(program.build(done.config, tiny.SPEC, 1)))
    moments = optax.adam(0.1).init(state.params)  # a tree each, not a vector
    checkpoint.save(folder, 2, state.replace(opt_state=moments), {2})
    loaded = load_run(tmp_path / "run", "last")
    chex.assert_trees_all_equal(loaded.variables, done.variables)
    with pytest.raises(InputError, match=r"of another network or version: .*opt_state"):
        resume(tmp_path / "run", epochs=3, console=quiet)


def test_notes_are_of_the_starts_whose_epochs_are_left():
    def start(epoch, jax_version):
        there = environment.environment()
        return Start(epoch, "", there | {"versions": there["versions"] | {"jax": jax_version}}, {})

    starts = start(0, "1"), start(3, "2"), start(3, "3"), start(5, "4")
    manifest = Manifest(Config(), tiny.SPEC, "", starts)
    assert manifest.notes() == ["from epoch 4 on: jax 3 instead of 1", "from epoch 6 on: jax 4 instead of 3"]
    back = dataclasses.replace(manifest, starts=(*starts, start(2, "5")))  # later checkpoints were damaged
    assert back.notes() == ["from epoch 3 on: jax 5 instead of 1"]
