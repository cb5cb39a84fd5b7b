"""A mirror: a copy of a run in another folder, such as a mounted drive, kept while the run trains.

`epoch-12.tar` is the run folder after epoch 12: `tar xf` makes a run folder of it again. It is one file, since mounted
drives are slow with many small ones. `epoch-12.sha256` is written after it and holds its SHA-256, in the format of
`sha256sum -c`; an archive counts only if the two agree. Mounted folders may lack an atomic rename and locks, so nothing
here needs them.
"""

import contextlib
import hashlib
import re
import threading
from pathlib import Path
from typing import final

from jaxattn.data.splits import Split
from jaxattn.errors import InputError, first_line
from jaxattn.limits import read_bytes
from jaxattn.observers.archive import MAX_BYTES, Files, pack, read_files, unpack, write
from jaxattn.paths import local_path
from jaxattn.runs import checkpoint
from jaxattn.runs.console import Console
from jaxattn.runs.manifest import Manifest, check_continues, check_folder, parse_manifest
from jaxattn.runs.observer import Observer
from jaxattn.runs.run import Run

ENDINGS = ("result.json", "report.html")  # copied as they are, for people to open
_OURS = re.compile(r"epoch-([1-9][0-9]*)\.(tar|sha256)")
_PATIENCE = 0.2  # seconds before a line says that the run waits for the last copy


@final
class Mirror(Observer):
    """Keeps a mirror; the copies are made in the background.

    Training never waits for a copy: an epoch that ends while an earlier one is still being copied is skipped. The run's
    end waits for the last copy, until Ctrl-C. A failing folder is reported once; every epoch tries again.
    """

    def __init__(self, root: str | Path):
        """Takes the folder of the mirror.

        Raises:
            InputError: if it is an address, not a folder.
        """
        self._root = local_path(root, "mirror")
        self._complete = 0  # the newest epoch that the mirror holds complete
        self._copying: threading.Thread | None = None
        self._readable, self._warned = False, False

    def begin(self, folder: Path, manifest: Manifest | None, console: Console) -> None:
        """Restores the newest complete epoch of the mirror in the run folder, if that has none as new.

        If the mirror cannot be read, there is a warning, and the run continues without it.

        Raises:
            InputError: if the mirror or the folder holds anything but this run, or the folder cannot be written.
        """
        self._console, self._complete = console, 0
        try:
            if self._root.resolve() == folder.resolve() or (self._root / "config.json").exists():
                raise InputError(f"{self._root} is a run folder; choose another one for the mirror", "mirror")
            self._root.mkdir(parents=True, exist_ok=True)
            copy = newest(self._root, console)
        except OSError as error:
            self._warn(f"cannot be read: {_reason(error)}; the run continues without it")
            return
        self._readable = True
        if copy is None:
            return
        self._complete, files = copy
        mirrored = _manifest(files, self._root)
        check_folder(folder, manifest or mirrored, accept_changed_code=True)  # `claim` checks the code
        if manifest:
            check_continues(self._root, mirrored, manifest, "mirror")
        if self._complete > max(checkpoint.epochs(folder / "checkpoints"), default=0):
            unpack(files, folder)
            console.line(f"restored epoch {self._complete} from the mirror {self._root}")

    def start(self, run: Run, test: Split) -> None:
        """Copies what the mirror lacks of a resumed run, and deletes the result of a shorter run from it."""
        if self._readable and run.epoch < run.config.epochs:
            for name in ENDINGS:
                (self._root / name).unlink(missing_ok=True)
        self.epoch(run)

    def epoch(self, run: Run) -> None:
        """Starts to copy the newest epoch, unless an earlier one is still being copied."""
        epoch = len(run.metrics)
        busy = self._copying is not None and self._copying.is_alive()
        if self._readable and not busy and epoch > self._complete:
            archive = pack(run.folder)
            # A daemon: a folder that hangs does not keep the process from ending.
            self._copying = threading.Thread(target=self._copy, args=(epoch, archive), daemon=True)
            self._copying.start()

    def end(self, run: Run) -> None:
        """Waits for the last copy, and adds the result."""
        if not self._readable:
            return
        self._wait()
        self.epoch(run)
        self._wait()
        epoch = len(run.metrics)
        if self._complete < epoch:
            self._console.line(f"the mirror {self._root} lacks epoch {epoch} and the result")
            return
        write(self._root / "result.json", (run.folder / "result.json").read_bytes())
        self._console.line(f"mirrored in {self._root}")

    def _wait(self):
        if self._copying is None:
            return
        self._copying.join(_PATIENCE)
        if self._copying.is_alive():
            self._console.line(f"waiting for the last copy to the mirror {self._root}; Ctrl-C ends without it")
        while self._copying.is_alive():
            self._copying.join(_PATIENCE)  # in short waits: Windows does not interrupt a long one

    def _copy(self, epoch: int, archive: bytes) -> None:
        """Copies an archive, in the background."""
        path, marker = (self._root / f"epoch-{epoch}.{kind}" for kind in ("tar", "sha256"))
        try:
            marker.unlink(missing_ok=True)
            if len(archive) > MAX_BYTES:
                raise InputError(f"its archive has {len(archive):,} bytes, more than {MAX_BYTES:,}")
            write(path, archive)
            write(marker, f"{_sha256(archive)}  {path.name}\n".encode())
        except Exception as error:  # any error: a run does not depend on its mirror
            with contextlib.suppress(OSError):
                path.unlink()  # an incomplete one may fill the disk
            self._warn(f"lacks epoch {epoch}: {_reason(error)}; training continues, and every epoch tries again")
            return
        self._complete = epoch
        with contextlib.suppress(OSError):  # the next copy tries again
            for old in sorted(self._root.iterdir()):  # a digest is deleted before its archive
                match = _OURS.fullmatch(old.name)
                if match and int(match[1]) < epoch:
                    old.unlink()

    def _warn(self, what):
        if not self._warned:
            self._console.warn(f"the mirror {self._root} {what}")
        self._warned = True


def newest(root: Path, console: Console) -> tuple[int, Files] | None:
    """The newest complete epoch in a mirror, and its files by their path in the run folder; None if there is none.

    Raises:
        InputError: if the folder holds other files and no epoch, or an archive that is not of a run.
        OSError: if it cannot be read.
    """
    names = {path.name for path in root.iterdir()}
    epochs = (int(match[1]) for match in map(_OURS.fullmatch, names) if match and match[2] == "tar")
    for epoch in sorted(epochs, reverse=True):
        if f"epoch-{epoch}.sha256" in names:
            path = root / f"epoch-{epoch}.tar"
            archive = read_bytes(path, MAX_BYTES)
            if read_bytes(path.with_suffix(".sha256"), 4096).split()[:1] == [_sha256(archive).encode()]:
                return epoch, read_files(archive, path, epoch)
            console.warn(f"epoch {epoch} in the mirror {root} is damaged and left out")
    if any(not name.startswith(".") and not _OURS.fullmatch(name) for name in names):
        raise InputError(f"{root} holds other files; choose an empty or a new folder for the mirror", "mirror")
    return None


def copy_report(run: Run, root: str | Path, console: Console) -> None:
    """Copies the report of a finished run into its mirror; a failure is reported in one line."""
    try:
        if (Path(root) / "result.json").read_bytes() == (run.folder / "result.json").read_bytes():
            write(Path(root) / "report.html", (run.folder / "report.html").read_bytes())
    except OSError as error:
        console.line(f"the mirror {root} lacks the report: {_reason(error)}")


def _manifest(files: Files, root: Path) -> Manifest:
    try:
        return parse_manifest(files["config.json"])
    except ValueError as error:
        raise InputError(
            f"{root} mirrors a run of another version ({error}); choose another folder", "mirror"
        ) from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
