"""CIFAR-10 (Krizhevsky 2009, "Learning multiple layers of features from tiny images")."""

from jaxattn.data import cifar, download
from jaxattn.data.cifar.published import SIDE, Published, Version
from jaxattn.data.spec import Spec

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

SPEC = Spec(
    name="cifar10",
    classes=CLASSES,
    image_shape=(SIDE, SIDE, 3),
    train=50_000,
    test=10_000,
    mean=(0.4914, 0.4822, 0.4465),
    # As in tutorials, for parity. It is the mean of the images' own deviations; those over all pixels are
    # 0.2470, 0.2435, 0.2616.
    std=(0.2023, 0.1994, 0.2010),
    source="Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html; images from the web, no licence is stated",
)

PUBLISHED = Published(
    spec=SPEC,
    versions=(
        Version("cifar-10-binary.tar.gz", "cifar-10-batches-bin", ".bin"),
        Version("cifar-10-python.tar.gz", "cifar-10-batches-py", ""),
    ),
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    labels=1,
    key="labels",
    remote=download.Remote(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        size=170_052_171,
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
)
DATASET = cifar.dataset(PUBLISHED)
