"""The archive of a run folder: what a run needs to resume, in one file."""

import errno
import io
import os
import re
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from jaxattn.errors import InputError, first_line
from jaxattn.lock import FILE as LOCK
from jaxattn.lock import exclusive_lock
from jaxattn.runs import checkpoint

Files = dict[str, bytes]  # contents by path in the run folder
MAX_BYTES = 512 << 20  # of an archive; one of the tutorial's network has 13 to 26 million
MAX_FILES = 10_000  # in an archive

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,199}"  # of a path: no parent folder, no hidden file
_BELOW = rf"(/{_PART}){{1,10}}"
_CHECKPOINT = rf"checkpoints/(epoch-[1-9][0-9]{{0,8}}\.safetensors|[1-9][0-9]{{0,8}}{_BELOW})"  # the second by Orbax
_NAMES = re.compile(rf"config\.json|(metrics|gate_history)\.jsonl|{_CHECKPOINT}|tensorboard{_BELOW}")
_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def write(path: Path, data: bytes) -> None:
    """Writes a file, and flushes it to the device if the file system can. A link of its name is replaced, not followed.

    Raises:
        OSError: if that fails; an incomplete file may be left.
    """
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _NO_FSYNC:
                raise


def pack(folder: Path) -> bytes:
    """An archive of what a run needs to resume; the same files give the same bytes."""
    tensorboard = [path for path in sorted((folder / "tensorboard").rglob("*")) if path.is_file()]
    kept = [path for path in (folder / "gate_history.jsonl",) if path.exists()]
    paths = [folder / "config.json", folder / "metrics.jsonl", *kept]
    paths += [*checkpoint.files(folder / "checkpoints"), *tensorboard]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in paths:
            name = path.relative_to(folder).as_posix()
            if not _NAMES.fullmatch(name):  # a user's file, which would be refused when the archive is read
                continue
            data = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def read_files(archive: bytes, path: Path, epoch: int) -> Files:
    """The files in an untrusted archive, which must hold those of a run folder and nothing else.

    Args:
        archive: its contents.
        path: its path, for messages.
        epoch: the epoch whose checkpoint it must hold.

    Raises:
        InputError: if it is not an archive, or holds anything else: other names, links, devices, a name twice.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            files = _checked_files(opened)
    except (tarfile.TarError, ValueError, EOFError, OverflowError) as error:
        raise InputError(
            f"{path} is no archive of a run: {first_line(error)}; choose another mirror", "mirror"
        ) from error
    checkpoint_names = f"checkpoints/epoch-{epoch}.safetensors", f"checkpoints/{epoch}/"
    complete = {"config.json", "metrics.jsonl"} <= files.keys() and files["metrics.jsonl"].count(b"\n") >= epoch
    if not (complete and any(name.startswith(checkpoint_names) for name in files)):
        raise InputError(
            f"{path} must hold config.json, metrics.jsonl and the checkpoint, all of epoch {epoch}, and does not; "
            "choose another mirror",
            "mirror",
        )
    return files


def _checked_files(archive: tarfile.TarFile) -> Files:
    files: Files = {}
    for number, member in enumerate(archive):
        if number >= MAX_FILES:
            raise ValueError(f"it has more than {MAX_FILES:,} files")
        if member.isdir():
            continue
        name = tarfile.data_filter(member, "/").name
        if not member.isreg() or member.issparse() or name != member.name or not _NAMES.fullmatch(name):
            raise ValueError(f"it holds {member.name!r:.80}, which is no file of a run folder")
        if name in files:
            raise ValueError(f"it holds {name} twice")
        files[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    if clash := [name for name in files if any(str(above) in files for above in PurePosixPath(name).parents)]:
        raise ValueError(f"it holds {clash[0]!r:.80} within a file")
    return files


def unpack(files: Files, folder: Path) -> None:
    """Writes the files of a run folder: a new folder atomically, in an existing one each checkpoint atomically.

    Raises:
        InputError: if that fails.
    """
    try:
        if folder.exists():
            with exclusive_lock(folder):
                _write_into(folder, files)
        else:
            draft = folder.with_name(f".{folder.name}.restored")
            draft.mkdir(parents=True, exist_ok=True)
            with exclusive_lock(draft):
                for path in draft.iterdir():  # left by a process that was killed
                    if path.name == LOCK:
                        continue
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                try:
                    _write_into(draft, files)
                except OSError:
                    shutil.rmtree(draft, ignore_errors=True)
                    raise
            draft.rename(folder)  # not while its lock is open, which Windows refuses
    except BlockingIOError:
        return  # another process is training there: claiming the folder will report it
    except OSError as error:
        raise InputError(
            f"cannot write the run folder {folder}: {error.strerror}; choose another one", "out"
        ) from error


def _write_into(folder: Path, files: Files) -> None:
    """Writes files into a folder, the checkpoints last, each atomically."""
    drafts: dict[str, Path] = {}
    for name, data in files.items():
        first, *rest = name.split("/")
        path = folder / name
        if first == "checkpoints":  # not yet an epoch's name; leftovers are deleted with the next checkpoint
            drafts[rest[0]] = folder / first / f"{rest[0]}.orbax-checkpoint-tmp"
            path = drafts[rest[0]].joinpath(*rest[1:])
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".part")
        write(draft, data)
        os.replace(draft, path)
    for epoch, draft in sorted(drafts.items()):
        if not (folder / "checkpoints" / epoch).exists():
            os.replace(draft, folder / "checkpoints" / epoch)
