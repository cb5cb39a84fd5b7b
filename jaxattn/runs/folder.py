"""Where a run goes that is given no folder."""

import datetime
from pathlib import Path

from jaxattn.config import Config


def default_folder(config: Config) -> Path:
    """The folder `runs/<date>-<dataset>-<attention>-s<seed>`."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = config.attention.replace(":", "-")
    return Path("runs", f"{stamp}-{config.dataset}-{name}-s{config.seed}")
