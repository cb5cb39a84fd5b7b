"""The exported StableHLO program, where only JAX is there."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exported import IMAGES, SHAPE, python_block, run_of, write
from flax import linen as nn

from jaxattn.errors import InputError
from jaxattn.explain.inference import predict
from jaxattn.exports import stablehlo
from jaxattn.runs.checkpoint import named

pytestmark = pytest.mark.usefixtures("small_network")
READER = """
import sys
import numpy as np

for name in ("one", "five"):
    images = np.load(f"{name}.npy")
BLOCK
    np.save(f"{name}-out.npy", np.asarray(probabilities))
print(sorted({module.split(".")[0] for module in sys.modules} & {"jaxattn", "flax", "optax", "orbax"}))
"""


def probabilities(run, images):
    return np.asarray(jax.nn.softmax(predict(run.model, run.spec, run.variables, images).logits))


def test_stablehlo_runs_where_only_jax_is_imported_for_any_number_of_images(tmp_path):
    run = run_of("cbam")
    folder = write(tmp_path / "out", stablehlo.contents(run, SHAPE))
    given = {"one": IMAGES[:1], "five": IMAGES[3:8]}
    for name, images in given.items():
        np.save(folder / f"{name}.npy", images)
    block = python_block((folder / "README.md").read_text())
    assert len(block.split("\n")) <= 6
    code = READER.replace("BLOCK", textwrap.indent(block, "    "))
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert found.stdout.strip() == "[]"
    for name, images in given.items():
        out = np.load(folder / f"{name}-out.npy")
        assert out.shape == (len(images), 10) and out.dtype == np.float32
        np.testing.assert_allclose(out, probabilities(run, images), atol=1e-5)
    for said in (", ".join(run.classes), "6 months newer", "3 weeks older", f"JAX {jax.__version__}"):
        assert said in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    "flags",
    [
        {"attention": "sk"},
        {"attention": "triplet"},
        {"attention": "mhsa", "attention_at": "3"},
        {"attention": "none", "precision": "bf16"},
    ],
    ids=lambda flags: flags["attention"],
)
def test_kernels_of_every_platform_are_lowered_for_any_number_of_images(flags):
    run = run_of(**flags)
    program = stablehlo.program(run, SHAPE)
    assert program.platforms == ("cpu", "cuda", "tpu")
    (images,), (out,) = program.in_avals, program.out_avals
    assert (images.dtype, images.shape[1:], out.shape[1:]) == (np.uint8, SHAPE, (10,))
    assert images.shape[0] == out.shape[0] and not isinstance(out.shape[0], int)
    tolerance = 0.02 if "precision" in flags else 1e-5  # of bfloat16, in a program of another order
    np.testing.assert_allclose(program.call(IMAGES[:3]), probabilities(run, IMAGES[:3]), atol=tolerance)


def test_weights_are_inside():
    run = run_of("none")
    size = sum(array.nbytes for array in named(run.variables).values())
    assert len(stablehlo.contents(run, SHAPE)["model.stablehlo"]) > size


class NeedsTheNumber(nn.Module):
    """A module of a user's own that works for a known number of images only."""

    @nn.compact
    def __call__(self, x):
        return x * jnp.asarray(np.ones(int(x.shape[0])))[:, None, None, None]


def test_a_module_that_must_know_the_number_of_images_is_reported():
    with pytest.raises(InputError, match="attention test_stablehlo:NeedsTheNumber cannot be exported for any number"):
        stablehlo.program(run_of("test_stablehlo:NeedsTheNumber"), SHAPE)
