"""Where a run goes that is given no folder."""

import datetime
import re
from pathlib import Path

from jaxattn.config import Config
from jaxattn.data.folder import PREFIX


def default_folder(config: Config) -> Path:
    """The folder `runs/<date>-<dataset>-<attention>-s<seed>`; of a folder of images, its name without spaces.

    The network stands before the attention where it is not the tutorial's.
    """
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    dataset = (config.dataset or "").removeprefix(PREFIX).rpartition("/")[2]
    network = [] if config.network == "cnn" else [config.network]
    names = re.sub(r"[:\s]+", "-", "-".join([dataset, *network, config.attention]))
    return Path("runs", f"{stamp}-{names}-s{config.seed}")
