"""The default folder of a run."""

import datetime
import re
from pathlib import Path

from jaxattn.config import Config
from jaxattn.data.folder import PREFIX


def default_folder(config: Config) -> Path:
    """The folder `runs/<date>-<dataset>-<attention>-s<seed>`; for a folder of images, its name without spaces.

    A network other than the tutorial's is named before the attention.
    """
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    dataset = re.split(r"[/\\]", (config.dataset or "").removeprefix(PREFIX).rstrip("/\\"))[-1]
    network = [] if config.network == "cnn" else [config.network]
    names = re.sub(r"[:\s]+", "-", "-".join([dataset, *network, config.attention]))
    return Path("runs", f"{stamp}-{names}-s{config.seed}")
