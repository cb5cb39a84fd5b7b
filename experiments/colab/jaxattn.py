# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Attention in a small CNN, with jaxattn
#
# You train a small network on CIFAR-10, once without and once with squeeze-and-excitation. You look at what it computes, put a
# module of your own in the same place, and find out whether attention helped. Run the cells from top to bottom. On Colab, first choose a
# TPU or a GPU under *Runtime → Change runtime type*. On a CPU, set `DATASET = "shapes"` and `EPOCHS = 4` to see everything within minutes.

# %% tags=["parameters"]
SOURCE = "https://github.com/OWNER/jaxattn/archive/refs/heads/main.zip"  # or the path of an uploaded archive
DATASET = "cifar10"  # or "shapes", which needs no download
EPOCHS = 16
SEEDS = 3

# %% [markdown]
# ## 1. Install, without moving what is there
#
# Colab's JAX belongs to its TPU and GPU plugins. So every package that is installed is pinned before anything new is added.

# %%
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


def installed():
    """Versions by name; a system package's version that pip cannot read is left out."""
    found = {}
    for package in importlib.metadata.distributions():
        try:
            Version(package.version)
            found.setdefault(canonicalize_name(package.metadata["Name"]), package.version)  # the first one is imported
        except (InvalidVersion, TypeError):
            pass
    return found


before = installed()
Path("installed.txt").write_text("".join(f"{name}=={before[name]}\n" for name in before if name != "jaxattn"))
url = SOURCE if "://" in SOURCE else Path(SOURCE).resolve().as_uri()
pip = subprocess.run(
    [sys.executable, "-m", "pip", "install", "-q", "-c", "installed.txt", f"jaxattn[export,tensorboard] @ {url}"],
    capture_output=True,
    text=True,
)
after = installed()
moved = [name for name in before if name != "jaxattn" and after.get(name) != before[name]]
if pip.returncode or moved:
    raise SystemExit(f"not installed: {', '.join(moved) or pip.stderr.strip()[-500:]} would have to change")

import jax

print(f"jax {jax.__version__} sees {jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})")

# %% [markdown]
# ## 2. Where runs are kept
#
# Colab deletes its machine when you leave it. If you allow it, each finished epoch is copied to your Google Drive.

# %%
RUNS, COPIES = Path("runs"), None
try:
    from google.colab import drive

    drive.mount("/content/drive")
    COPIES = Path("/content/drive/MyDrive/jaxattn")
except Exception as reason:  # not on Colab, or not allowed
    print(f"no Drive ({reason})")
print(f"runs are in {RUNS.resolve()}, copies in {COPIES or 'no other place'}")

# %% [markdown]
# ## 3. Train
#
# The plain network, and the one with squeeze-and-excitation. They have the same seed, so the same initial weights and the same batches.

# %%
from jaxattn import Config, fit
from jaxattn.observers.mirror import Mirror
from jaxattn.observers.tensorboard import TensorBoard


def train(name, attention):
    """A run that resumes after a stop, and is returned at once if it is finished."""
    precision = "bf16" if jax.default_backend() == "tpu" else "float32"
    config = Config(attention=attention, dataset=DATASET, epochs=EPOCHS, precision=precision)
    mirror = [] if COPIES is None else [Mirror(COPIES / name)]
    return fit(config, RUNS / name, observers=[TensorBoard(), *mirror])


plain = train("plain", "none")
plain

# %%
se = train("se", "se")
se

# %% [markdown]
# ## 4. The report
#
# One page for both runs. Pick an image and a layer in its explorer.

# %%
import html

from IPython.display import HTML

from jaxattn.report.page import write_report

page = write_report([plain, se]).read_text()
HTML(f'<div><iframe srcdoc="{html.escape(page)}" width="100%" height="800" style="border: 0"></iframe></div>')

# %% [markdown]
# The curves of all runs, the gates' histograms and the maps after each epoch, in TensorBoard:

# %%
# %load_ext tensorboard
# %tensorboard --logdir runs

# %% [markdown]
# ## 5. What the network computes
#
# The feature maps of three test images, the attention heatmap, and the gates: how much each channel is weighted.

# %%
from jaxattn import figure

figure(se, "features")

# %%
figure(se, "heatmap")

# %%
figure(se, "gates")

# %% [markdown]
# A picture of your own. On Colab the cell asks for a file; elsewhere it takes a test image.

# %%
from IPython.display import Image
from PIL import Image as Pillow

from jaxattn import predict
from jaxattn.runs.data import read_test

try:
    from google.colab import files

    picture = next(iter(files.upload()))
except (ImportError, StopIteration):
    picture = "picture.png"
    Pillow.fromarray(read_test(se.folder).images[0]).save(picture)
predict.main([str(se.folder), picture, "--explain"])
Image(se.folder / "explained" / f"{Path(picture).stem}-cam.png")

# %% [markdown]
# ## 6. A module of your own
#
# A gate is a class with one method. This one weights channels by how much they vary over the image. (After a change, train under
# another name: a finished run is not trained again.)

# %%
# %%writefile mine.py
import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.attention import Gate


class DeviationGate(Gate):
    """Channel gate s = sigmoid(a std(x) + b), one a and b for each channel."""

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.zeros, (1, 1, 1, x.shape[-1]))
        bias = self.param("bias", nn.initializers.zeros, (1, 1, 1, x.shape[-1]))
        return nn.sigmoid(scale * jnp.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5) + bias)


# %%
import importlib

import mine

from jaxattn import figure

importlib.reload(mine)
own = train("mine", mine.DeviationGate)
figure(own, "gates")

# %% [markdown]
# ## 7. Did it help?
#
# One run of each says little: two runs of this network differ by half a point without any cause. So several seeds of two variants are
# trained, and the differences judged. The sentence also says how many seeds it takes to see half a point.

# %%
from jaxattn import compare

copies = None if COPIES is None else COPIES / "compared"
result = compare(["none", "se"], SEEDS, RUNS / "compared", mirror=copies, dataset=DATASET, epochs=EPOCHS)
print(result)

# %%
result

# %% [markdown]
# ## 8. After a disconnect
#
# Run the cells again, from the top. Every run is restored from Drive and resumes. This one is finished, so it is
# there at once:

# %%
again = train("se", "se")
print("the same run:", again.metrics == se.metrics)
again

# %% [markdown]
# ## 9. Hand the model on
#
# As safetensors with a model card, which hubs read, and as a program that needs JAX alone. This is the card:

# %%
from IPython.display import Markdown

from jaxattn import export

for form in ("safetensors", "stablehlo"):
    export.main([str(se.folder), "--to", form])
card = (se.folder / "export-safetensors" / "README.md").read_text()
Markdown(card.split("---\n", 2)[2])  # without the fields that only hubs read

# %% [markdown]
# ## 10. Where to read next
#
# The documentation in `docs/` explains the run folder, the recipes and how to read a verdict; `ARCHITECTURE.md` says how the code is laid out, and what to add
# where. `jaxattn train --help` lists all flags. These are the attention modules, with paper, formula and cost:

# %%
import contextlib
import io

from jaxattn import modules

with contextlib.redirect_stdout(io.StringIO()) as listed:
    modules.main(["--markdown"])
Markdown(listed.getvalue())
