"""What operating systems, file managers and notebooks leave in folders: a folder with nothing else counts as empty."""

import re
from pathlib import Path

LEFT = re.compile(
    r"\.DS_Store|\._.*|\.localized|\.fseventsd|\.Spotlight-V100|\.Trashes|\.Trash-\d+|\.directory|\.nfs[0-9a-f]+"
    r"|\.lock|(config|compare)\.json\.part"  # of a run that was killed at its start
    r"|Thumbs\.db|desktop\.ini|System Volume Information|\$RECYCLE\.BIN|lost\+found"
    r"|\.ipynb_checkpoints|@eaDir|#recycle",
    re.IGNORECASE,
)
FAILED = ("failed.json", "error.txt")  # of a run that failed before it had a configuration to write


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but leftovers.

    Raises:
        OSError: if it cannot be read.
    """
    names = {path.name for path in folder.iterdir()}
    own = FAILED if FAILED[0] in names else ()
    return all(name in own or LEFT.fullmatch(name) for name in names)
