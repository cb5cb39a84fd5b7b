"""A folder of your own images, a subfolder for each class: train, then classify a new image.

python examples/own_folder.py ~/birds new.jpg
"""

import sys

import numpy as np
from PIL import Image

from jaxattn import Config, fit


def main(folder: str, image: str, **settings) -> str:
    """Trains on the folder, in `runs/own`, and returns the class of the image."""
    run = fit(Config(attention="se", dataset=f"folder:{folder}", **settings), "runs/own")
    print(f"test accuracy {run.result['test_accuracy']:.1%}")
    pixels = np.asarray(Image.open(image).convert("RGB"))[None]
    (probabilities,) = run.predict(pixels)
    best = int(probabilities.argmax())
    print(f"{image}: {run.classes[best]} ({probabilities[best]:.0%})")
    return run.classes[best]


if __name__ == "__main__":
    main(*sys.argv[1:], image_size="96")
