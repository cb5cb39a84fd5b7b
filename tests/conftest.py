"""What holds for every test: shapes in signatures are checked, no network, no silent broadcasting, a compile cache."""

import collections
import dataclasses
import functools
import gc
import os
import socket
import sys
from pathlib import Path

from jaxtyping import install_import_hook

# What depends most on the versions of jax, flax and Orbax: also run on those that Colab carries, as the notebook is,
# which trains, resumes, compares, reports and draws there.
COLAB = {
    "test_accelerators",
    "test_capture",
    "test_convolution",
    "test_golden",
    "test_gates",
    "test_norm",
    "test_pooling",
}
COLAB_TESTS = {
    "test_shape_and_dtype_are_kept", "test_run_of_many_steps_a_call_equals_one_of_single_steps",
    "test_a_collection_of_ones_own_module_is_trained_checkpointed_and_resumed",
    "test_run_resumed_with_more_epochs_equals_one_started_with_them",
    "test_checkpoints_that_orbax_wrote_are_read_and_resumed", "test_every_declared_layer_is_captured_in_order",
    "test_every_parameter_is_in_one_group_that_fits_it",
    "test_several_devices_train_whole_runs_and_give_what_one_gives",
}  # fmt: skip
CHECKED = ("layers", "attention", "networks", "data", "training", "explain", "metrics", "robustness", "comparison")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # for this process and those that it starts
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's and BLAS's threads spin while they wait for each other
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode saves each process half a second, this one two
sys.dont_write_bytecode = False
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "home")
install_import_hook([f"jaxattn.{name}" for name in CHECKED], "typecheck.check")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import tiny  # noqa: E402
from browser import browser, opened  # noqa: E402, F401
from hypothesis import HealthCheck, settings  # noqa: E402

from jaxattn import Config, fit, networks  # noqa: E402
from jaxattn.data import DATASETS  # noqa: E402
from jaxattn.explain import analysis, removal  # noqa: E402
from jaxattn.runs import checkpoint, compiled, run  # noqa: E402
from jaxattn.runs.console import Console  # noqa: E402
from jaxattn.runs.manifest import Manifest, claim  # noqa: E402
from jaxattn.runs.store import write_metrics  # noqa: E402
from jaxattn.runtime import QUICK_COMPILE, compile_faster  # noqa: E402
from jaxattn.training import program  # noqa: E402

compile_faster()
jax.config.update("jax_numpy_rank_promotion", "raise")
settings.register_profile(
    "quick", max_examples=10, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("nightly", settings.get_profile("quick"), max_examples=1000, derandomize=False)
settings.load_profile("quick")  # `pytest --hypothesis-profile nightly` takes the other
gc.set_threshold(100_000, 20, 100)  # each collection walks through all that JAX keeps, longer with every test


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Marks the tests for Colab's versions, and what `slow.txt` lists, with the seconds that it took on two cores.

    The files that take longest come first, so that no process is left with one of them at the end.
    """
    lines = [line.split(maxsplit=1) for line in (Path(__file__).parent / "slow.txt").read_text().splitlines()]
    slow = tuple(name for _, name in lines)
    seconds = collections.Counter(item.path.name for item in items)
    for time, name in [] if config.option.markexpr == "not slow" else lines:
        seconds[Path(name.partition("::")[0]).name] += 20 * int(time)  # a quick test takes about 0.05
    items.sort(key=lambda item: -seconds[item.path.name])
    for item in items:
        if item.nodeid.startswith(slow):
            item.add_marker("slow")
        if item.path.stem in COLAB or item.originalname in COLAB_TESTS:
            item.add_marker(pytest.mark.colab)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuses every connection but those to this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test reached for the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def quiet():
    return Console(quiet=True)


@pytest.fixture
def warnings_printed(monkeypatch):
    """The warnings, which are not printed."""
    warnings = []
    monkeypatch.setattr(Console, "warn", lambda self, text: warnings.append(text))
    return warnings


@functools.cache
def _build(config, shapes, *parts):
    return program.build(config, *shapes)


def remembered(config, *shapes):
    """`program.build`, once for runs that differ in the seed alone, unless a test has replaced a part of it.

    A module of a test's own is built anew: another test may give another class the same name.
    """
    if ":" in config.attention:
        return program.build(config, *shapes)
    parts = program.create, program.make_train_step, program.make_eval_step, program.steps_in_call
    return _build(dataclasses.replace(config, seed=0, data_dir=""), shapes, *parts)


@pytest.fixture(scope="module")
def small_network():
    """Runs have a narrow network, programs that are not optimised, and the data set "tiny"."""
    create = networks.create
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "create", functools.partial(create, widths=(4, 4, 8), hidden=8))
        patch.setattr(program, "KEEP_BARRIERS", program.KEEP_BARRIERS | QUICK_COMPILE)
        for module in (compiled, run):  # what trains, what loads
            patch.setattr(module, "build", remembered)
        patch.setattr(analysis, "SCORED", 4)
        patch.setattr(analysis, "FEW", 8)
        patch.setattr(removal, "STEPS", 2)
        patch.setitem(DATASETS, "tiny", tiny.dataset())
        yield _build


@pytest.fixture
def no_figures(monkeypatch):
    """The page of a comparison is written without its figures, which take most of the time."""
    for name in ("_draw", "_gates"):
        monkeypatch.setattr(f"jaxattn.comparison.page.{name}", lambda *arguments: {})


@pytest.fixture
def trained(no_figures, monkeypatch):
    """The configurations that a comparison trains, in their order."""
    seen = []
    monkeypatch.setattr("jaxattn.comparison.train.fit", lambda config, *rest: seen.append(config) or fit(config, *rest))
    return seen


@pytest.fixture(scope="module")
def unfinished(small_network, tmp_path_factory):
    """The folder of an unfinished run of two epochs, with random weights."""
    folder, splits = tmp_path_factory.mktemp("runs") / "se", tiny.splits()
    config = Config(attention="se", dataset="tiny", epochs=3, batch_size=6, recipe="original")
    with claim(folder, Manifest(config, splits.spec, splits.digest())):
        pass
    template = program.template(program.build(config, tiny.SPEC, 1))
    random = np.random.default_rng(0)
    state = jax.tree.map(lambda leaf: jnp.asarray(random.uniform(0, 0.3, leaf.shape), leaf.dtype), template)
    checkpoint.save(folder / "checkpoints", 2, state, {2})
    keys = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    write_metrics(folder, [{"epoch": i, "learning_rate": 1e-3, **dict.fromkeys(keys, 0.5 / i)} for i in (1, 2)])
    return folder
