"""Small files in the formats that are published for CIFAR-10's test images."""

import numpy as np

from jaxattn.robustness.corruptions import SEVERITIES


def write_published(folder, test):
    """Small files in the formats of all that is published; the command's flags for them."""
    for name in ("c", "new"):
        (folder / name).mkdir(parents=True)
    for name, change in (("fog", 20), ("snow", 40)):
        parts = [np.clip(test.images.astype(int) + change * one, 0, 255).astype(np.uint8) for one in SEVERITIES]
        np.save(folder / "c" / f"{name}.npy", np.concatenate(parts))
    np.save(folder / "c" / "labels.npy", np.tile(test.labels, 5).astype(np.uint8))
    np.save(folder / "new" / "cifar10.1_v6_data.npy", test.images[:20])
    np.save(folder / "new" / "cifar10.1_v6_labels.npy", test.labels[:20])
    lines = "6,7,0.1,1\n3,9,0.2,0\n3,8,0.3,2\n"
    (folder / "duplicates.csv").write_text(f"TestID,TrainID,Distance,Judgment\n{lines}")
    (folder / "errors.csv").write_text(f"test_index,label,guessed\n5,{test.labels[5]},1\n39,{test.labels[39]},0\n")
    counts = np.full((len(test), 10), 0.0)
    counts[np.arange(len(test)), test.labels] = 40
    counts[:, 0] += 10
    counts[1] = np.eye(10)[7]  # of one image, another label than the given one
    np.save(folder / "people.npy", counts)
    return {
        "cifar10_c": str(folder / "c"),
        "cifar10_1": str(folder / "new"),
        "duplicates": str(folder / "duplicates.csv"),
        "label_errors": str(folder / "errors.csv"),
        "people": str(folder / "people.npy"),
    }
