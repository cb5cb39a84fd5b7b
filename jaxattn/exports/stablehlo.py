"""A network as one StableHLO program for CPU, CUDA and TPU that needs JAX alone, without jaxattn or Flax.

It takes uint8 images [b, H, W, 3] of any number b and gives probabilities [b, K]: normalisation and softmax are inside,
weights are constants.

The program holds a version of each operation for each platform, and JAX picks the one for its device. Since b is
unknown, one version is left out: the CPU's Winograd convolution. It is chosen by the number of tiles in a batch
(`layers.convolution`), and some versions of JAX compile it well only with options that a program cannot carry
(`runtime.KEEP_BARRIERS`). The CPU uses the convolution for small batches instead, so results differ from the run's by
rounding.

JAX guarantees that a file can be read by versions up to 6 months newer than the one that wrote it, and up to 3 weeks
older.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp

from jaxattn.data.augment import to_input
from jaxattn.errors import InputError, first_line
from jaxattn.exports import FORMATS
from jaxattn.exports.template import listed, render
from jaxattn.runs.run import Run

NAMES = "classes.json"
PLATFORMS = ("cpu", "cuda", "tpu")


def contents(run: Run, shape: tuple[int, int, int]) -> dict[str, bytes]:
    """The files to write, by name: the program, the names of the classes, and how to load it.

    Args:
        run: the run whose network it is.
        shape: shape of an image, (H, W, 3).

    Raises:
        InputError: if a module of the network needs to know the number of images.
    """
    height, width, _ = shape
    values = {"run": run, "height": height, "width": width, "jax": jax.__version__, "platforms": PLATFORMS}
    return {
        FORMATS["stablehlo"].file: program(run, shape).serialize(),
        NAMES: (json.dumps(run.classes, indent=2) + "\n").encode(),
        "README.md": render("stablehlo.md", listed=listed(run.classes, NAMES), **values),
    }


def program(run: Run, shape: tuple[int, int, int]) -> Any:
    """The program as `jax.export.Exported`; arguments and errors as for `contents`.

    Raises:
        InputError: see `contents`.
    """
    from jax import export

    def probabilities(images):
        return jax.nn.softmax(run.model.apply(run.variables, to_input(images, run.spec), train=False))

    (batch,) = export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *shape), jnp.uint8)
    try:
        return export.export(jax.jit(probabilities), platforms=PLATFORMS)(images)
    except Exception as error:  # a user's module may raise anything
        raise InputError(
            f"attention {run.config.attention} cannot be exported for any number of images: {first_line(error)}"
        ) from error
