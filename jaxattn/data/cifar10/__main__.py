"""Decodes a prepared TFDS folder into the cache: what `cifar10.begin` runs."""

import sys
from pathlib import Path

from jaxattn.data import prefetch
from jaxattn.data.cifar10 import load

if __name__ == "__main__":
    prefetch.serve(lambda: load(Path(sys.argv[1])))
