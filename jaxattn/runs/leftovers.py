"""What operating systems, file managers and notebooks leave in folders: a folder with nothing else counts as empty."""

import re
from pathlib import Path

LEFT = re.compile(
    # macOS, also of the folders that it shares
    r"\.DS_Store|\._.*|\.localized|\.fseventsd|\.Spotlight-V100|\.Trashes|\.TemporaryItems|\.DocumentRevisions-V100"
    r"|\.AppleDouble|\.AppleDB|\.AppleDesktop|\.apdisk|\.VolumeIcon\.icns|Network Trash Folder|Temporary Items|Icon\r"
    # Linux, and file systems over a network or in user space
    r"|\.Trash-\d+|\.directory|lost\+found|\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+|[.~]snapshot"
    # Windows
    r"|Thumbs\.db|ehthumbs(_vista)?\.db|desktop\.ini|System Volume Information|\$RECYCLE\.BIN"
    r"|@eaDir|#recycle|#snapshot"  # of Synology
    r"|\.ipynb_checkpoints"
    r"|\.lock|(config|compare)\.json(\.[0-9a-f]+)?\.part",  # of a run that was killed at its start
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
