"""Reads a folder of CIFAR-10 or CIFAR-100 into the cache; started by the package, for internal use.

python -m jaxattn.data.cifar NAME PATH
"""

import sys
from pathlib import Path

from jaxattn.data import cifar, cifar10, cifar100

if __name__ == "__main__":
    published = {one.spec.name: one for one in (cifar10.PUBLISHED, cifar100.PUBLISHED)}
    cifar.keep(published[sys.argv[1]], Path(sys.argv[2]))
