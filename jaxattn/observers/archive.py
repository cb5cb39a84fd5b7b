"""The archive of a run folder: what a run needs to go on, in one file."""

import errno
import io
import os
import tarfile
from pathlib import Path, PurePosixPath

from jaxattn.errors import InputError
from jaxattn.lock import exclusive_lock
from jaxattn.runs import checkpoint

Files = dict[str, bytes]  # contents by path in the run folder
_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def write(path: Path, data: bytes) -> None:
    """Writes a file, through to the device as far as the file system can.

    Raises:
        OSError: where that fails; half a file may be left then.
    """
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise


def pack(folder: Path) -> bytes:
    """An archive of what a run needs to go on; the same files give the same bytes."""
    tensorboard = [path for path in sorted((folder / "tensorboard").rglob("*")) if path.is_file()]
    inner = [*checkpoint.files(folder / "checkpoints"), *tensorboard]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in (folder / "config.json", folder / "metrics.jsonl", *inner):
            data = path.read_bytes()
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def read_files(archive: bytes) -> Files:
    """The files in an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isfile()}  # type: ignore[union-attr]


def unpack(files: Files, folder: Path) -> None:
    """Writes the files of a run folder; the checkpoints last, each whole or not at all.

    Raises:
        InputError: where that fails.
    """
    drafts: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder):
            for name, data in files.items():
                parts = PurePosixPath(name).parts
                if parts[0] == "checkpoints":  # a name that is not an epoch's, and is removed with the next checkpoint
                    drafts[parts[1]] = folder / "checkpoints" / f"{parts[1]}.orbax-checkpoint-tmp"
                    path = drafts[parts[1]].joinpath(*parts[2:])
                else:
                    path = folder.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                draft = path.with_name(path.name + ".part")
                write(draft, data)
                os.replace(draft, path)
            for epoch, draft in sorted(drafts.items()):
                if not (folder / "checkpoints" / epoch).exists():
                    os.replace(draft, folder / "checkpoints" / epoch)
    except BlockingIOError:
        return  # another process trains there: claiming the folder says so
    except OSError as error:
        raise InputError(
            f"cannot write the run folder {folder}: {error.strerror}; choose another one", "out"
        ) from error
