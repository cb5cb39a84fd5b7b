"""CIFAR-100 (Krizhevsky 2009): 100 fine classes, which are the labels, in 20 superclasses."""

from jaxattn.data import cifar, download
from jaxattn.data.cifar.published import SIDE, Published, Version
from jaxattn.data.spec import Spec

SUPERCLASSES: dict[str, tuple[str, ...]] = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
_SUPERCLASS = {name: superclass for superclass, names in SUPERCLASSES.items() for name in names}
CLASSES = tuple(sorted(_SUPERCLASS))  # the order of the labels

SPEC = Spec(
    name="cifar100",
    classes=CLASSES,
    image_shape=(SIDE, SIDE, 3),
    train=50_000,
    test=10_000,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    source="Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html; images from the web, no licence is stated",
    superclasses=tuple(_SUPERCLASS[name] for name in CLASSES),
)

PUBLISHED = Published(
    spec=SPEC,
    versions=(
        Version("cifar-100-binary.tar.gz", "cifar-100-binary", ".bin"),
        Version("cifar-100-python.tar.gz", "cifar-100-python", ""),
    ),
    train=("train",),
    test=("test",),
    labels=2,
    key="fine_labels",
    remote=download.Remote(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        size=168_513_733,
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
)
DATASET = cifar.dataset(PUBLISHED)
