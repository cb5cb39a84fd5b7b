"""The readers of untrusted files: for each, a valid file and what reads it. A new one takes a line in `READERS`."""

import gzip
import hashlib
import importlib.util
import io
import json
import pickle
import random
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, features
from safetensors.numpy import save
from scipy import io as matlab

from experiments.fuzz import tfds_folder
from jaxattn.comparison import other_images, predictions, robustness_file, tune, variants, vital_signs
from jaxattn.comparison.numbers import of_csv
from jaxattn.comparison.plan_file import read_plan
from jaxattn.config import Config
from jaxattn.convert import load_torch, to_torch
from jaxattn.data import cifar10, fashion_mnist, mat_file, svhn, tfds
from jaxattn.data.cifar import archives
from jaxattn.data.folder.listing import list_images
from jaxattn.data.image_file import read_image
from jaxattn.data.splits import Split, Splits
from jaxattn.explain import gate_history
from jaxattn.explain.gates import Signs
from jaxattn.exports import safetensors
from jaxattn.observers import archive, mirror
from jaxattn.robustness import official, published
from jaxattn.runs import checkpoint, store
from jaxattn.runs.console import Console
from jaxattn.runs.failure import read_failure
from jaxattn.runs.formats import FORMAT
from jaxattn.runs.manifest import read_manifest
from jaxattn.runs.weights import read_safetensors

RNG = np.random.default_rng(0)
LOSSES = {f"{part}_{name}": 0.5 for part in ("train", "val") for name in ("loss", "accuracy")}
METRICS = "".join(json.dumps({"epoch": i, **LOSSES, "learning_rate": 0.1, "seconds": 1.5}) + "\n" for i in (1, 2))
GATES = json.dumps({"epoch": 1, "gates": {"block1": dict.fromkeys(Signs._fields, 0.5)}}) + "\n"
RESULT = {
    "test_loss": 1.5, "test_accuracy": 0.5, "test_images": 40, "best_epoch": 2, "tested_epoch": 2, "epochs": 2,
    "seconds": 3.0, "parameters": 1000, "monitored": "validation", "dataset": "cifar10", "dataset_hash": "0" * 64,
    "versions": {"jax": "0.7"}, "device": "cpu",
}  # fmt: skip
MANIFEST = {"format": FORMAT, "starts": [], "data": cifar10.SPEC.to_json(), "dataset_hash": "0" * 64}
MADE_OF, IMAGES = "hash 2", 40
ROBUSTNESS = {
    "format": 1,
    "views": [{"view": "noise", "severity": one, "images": 40} for one in (1, 2)],
    "runs": [{"variant": "se", "seed": 0, "of": "x", "measured": [{"accuracy": 0.5}, {"accuracy": 0.4}]}],
}


class Reader(NamedTuple):
    """A reader of one file.

    Attributes:
        write: writes a valid file, and the files that it needs, into an empty folder; returns the path of the file.
        read: reads the file at that path; returns anything, or raises an InputError.
        pack: what is done to contents before they are written, such as compression.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], Any]
    pack: Callable[[bytes, Path], bytes] = lambda content, path: content


def _file(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content())
        return folder / name

    return write


def _split(count: int) -> Split:
    return Split(RNG.integers(0, 256, (count, 32, 32, 3), np.uint8), np.arange(count, dtype=np.int32) % 10)


def _allocate(part: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.uint8)


def _idx() -> bytes:
    return struct.pack(">HBB3I", 0, 8, 3, 2, 28, 28) + RNG.integers(0, 256, 2 * 28 * 28, np.uint8).tobytes()


def _mat(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    matlab.savemat(stream, arrays)
    return stream.getvalue()


def _pixels() -> bytes:
    return _mat(X=TWO.images.transpose(1, 2, 3, 0))


def _with_labels(content: bytes, path: Path) -> bytes:
    """A MATLAB file of pixels with their labels."""
    return content + _mat(y=TWO.labels[:, None] + 1)[mat_file.HEADER :]


def _compressed(content: bytes, path: Path) -> bytes:
    """The same with pixels that are compressed, so that mutations get past the checksum."""
    packed = zlib.compress(content[mat_file.HEADER :], 1)
    element = struct.pack("<2I", mat_file.COMPRESSED, len(packed)) + packed
    return _with_labels(content[: mat_file.HEADER] + element, path)


def _read_mat(path: Path) -> Split:
    return svhn._read(path, "train", _allocate)


def _labels_csv(folder: Path) -> Path:
    rows = [f"{label}/{i}.png,{label},{split}" for label in "ab" for i, split in enumerate(("train", "test"))]
    for row in rows:
        _file(row.partition(",")[0], bytes)(folder)
    return _file("labels.csv", "\n".join(["file,label,split", *rows, ""]).encode)(folder)


def _corruptions(folder: Path) -> Path:
    for name, values in (("labels", np.tile(TWO.labels, 5)), ("fog", np.tile(TWO.images, (5, 1, 1, 1)))):
        np.save(folder / f"{name}.npy", values)
    return folder / "fog.npy"


def _read_corruptions(path: Path) -> Any:
    return [view.load() for view in published.read_corruptions(path.parent, TWO, np.arange(len(TWO)))]


def _digested(content: bytes, path: Path) -> bytes:
    """A safetensors file with its digest in its header, as in a checkpoint."""
    try:
        header = checkpoint._header(content) | {"__metadata__": {"sha256": checkpoint._digest(content, {})}}
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + int.from_bytes(content[:8], "little") :]
    except (ValueError, TypeError, AttributeError):
        return content


def _people() -> bytes:
    stream = io.BytesIO()
    np.save(stream, 50 * np.eye(10)[np.arange(IMAGES) % 10])
    return stream.getvalue()


TWO = _split(2)


def _tfds(name: str) -> Callable[[Path], Path]:
    """One file of a TFDS folder, by a pattern for its name."""

    def write(folder: Path) -> Path:
        root = folder / "cifar10" / "3.0.2"
        tfds_folder.write(root, Splits(cifar10.SPEC, _split(3), _split(1)))
        if "tfrecord" in name:
            _as_tfrecord(root)
        return next(root.glob(name))

    return write


def _as_tfrecord(root: Path) -> None:
    from array_record.python.array_record_module import ArrayRecordReader

    for path in list(root.glob("*.array_record*")):
        records = ArrayRecordReader(str(path)).read_all()
        frames = [len(record).to_bytes(8, "little") + bytes(4) + record + bytes(4) for record in records]
        path.with_name(path.name.replace("array_record", "tfrecord")).write_bytes(b"".join(frames))
        path.unlink()
    about = (root / "dataset_info.json").read_text().replace("array_record", "tfrecord")
    (root / "dataset_info.json").write_text(about)


def _record(folder: Path) -> Path:
    """The record of the only test image, without its frame."""
    path = _tfds("*test.tfrecord*")(folder)
    path.write_bytes(path.read_bytes()[12:-4])
    return path


def _framed(content: bytes, path: Path) -> bytes:
    return len(content).to_bytes(8, "little") + bytes(4) + content + bytes(4)


def _record_image(folder: Path) -> Path:
    path = _record(folder)
    path.write_bytes(tfds_folder.encode(_split(1).images)[0])
    return path


def _example(content: bytes, path: Path) -> bytes:
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example()
    example.features.feature["id"].bytes_list.value.append(b"test_00000")
    example.features.feature["image"].bytes_list.value.append(content)
    example.features.feature["label"].int64_list.value.append(1)
    return _framed(example.SerializeToString(), path)


def _read_archive(path: Path) -> Splits:
    return archives.read(cifar10.PUBLISHED, path)


def _read_tfds(path: Path) -> Splits:
    return tfds.read(path.parent, cifar10.SPEC)


def _batch(kind: str) -> bytes:
    split = _split(2)
    pixels = split.images.transpose(0, 3, 1, 2).reshape(2, -1)
    if kind == "python":
        return pickle.dumps({b"data": pixels, b"labels": split.labels.tolist(), b"filenames": [b"x", b"y"]}, 2)
    return np.concatenate([split.labels[:, None].astype(np.uint8), pixels], 1).tobytes()


def _cifar(kind: str, packed: bool) -> Callable[[Path], Path]:
    folder_name, end = {"python": ("cifar-10-batches-py", ""), "binary": ("cifar-10-batches-bin", ".bin")}[kind]
    names = [f"{folder_name}/data_batch_{i}{end}" for i in range(1, 6)] + [f"{folder_name}/test_batch{end}"]

    def write(folder: Path) -> Path:
        if packed:
            (folder / f"cifar-10-{kind}.tar.gz").write_bytes(_tar({name: _batch(kind) for name in names}))
            return folder / f"cifar-10-{kind}.tar.gz"
        for name in names:
            path = _file(name, lambda: _batch(kind))(folder)
        return path

    return write


def _tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _sealed(content: bytes, path: Path) -> bytes:
    """The contents with their digest, so that a reader gets past its check of the digest."""
    try:
        values = json.loads(content)
        store.write_sealed(path, values)
        return path.read_bytes()
    except (ValueError, TypeError):
        return content


def _gzip(content: bytes, path: Path) -> bytes:
    return gzip.compress(content, 1)


def _gzipped(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def packed(folder: Path) -> Path:
        path = write(folder)
        path.write_bytes(_gzip(path.read_bytes(), path))
        return path

    return packed


def _image(form: str, mode: str = "RGB") -> Callable[[], bytes]:
    def content() -> bytes:
        stream, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        extra = {"pnginfo": _text()} if form == "png" else {}
        image = Image.fromarray(RNG.integers(0, 256, (9, 12, 3), np.uint8)).convert(mode)
        image.save(stream, form, **extra, **({"exif": exif} if form in ("png", "jpeg", "webp", "tiff") else {}))
        return stream.getvalue()

    return content


def _text() -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "a" * 50, zip=True)
    return info


def _weights() -> dict[str, np.ndarray]:
    """Weights in PyTorch's layout, of a network of one block."""
    norm = {"scale": np.ones(4, "f4"), "bias": np.zeros(4, "f4")}
    block = {"conv": {"kernel": np.ones((3, 3, 3, 4), "f4"), "bias": np.zeros(4, "f4")}, "norm": norm}
    dense = {"kernel": np.ones((16, 5), "f4"), "bias": np.zeros(5, "f4")}
    head = {"kernel": np.ones((5, 3), "f4"), "bias": np.zeros(3, "f4")}
    stats = {"block_1": {"norm": {"mean": np.zeros(4, "f4"), "var": np.ones(4, "f4")}}}
    state = to_torch({"params": {"block_1": block, "hidden": dense, "head": head}, "batch_stats": stats})
    return {name: np.ascontiguousarray(value) for name, value in state.items()}


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, _weights()["conv1.weight"])
    return stream.getvalue()


def _zipped(content: bytes, path: Path) -> bytes:
    stream = io.BytesIO(_npz(**{name: value for name, value in _weights().items() if name != "conv1.weight"}))
    with zipfile.ZipFile(stream, "a") as file:
        file.writestr("conv1.weight.npy", content)
    return stream.getvalue()


def _safetensors() -> bytes:
    return save(_weights())


def _pt() -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save({name: torch.tensor(value) for name, value in _weights().items()}, stream)
    return stream.getvalue()


def _json(values: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(values).encode()


def _mirror(folder: Path) -> Path:
    files = {"config.json": _json(Config().to_json() | MANIFEST)(), "metrics.jsonl": METRICS.encode(),
             "checkpoints/epoch-2.safetensors": _safetensors(), "tensorboard/events.out.tfevents.1": b"x"}  # fmt: skip
    path = _file("epoch-2.tar", lambda: _tar(files))(folder)
    _hashed(path.read_bytes(), path)
    return path


def _hashed(content: bytes, path: Path) -> bytes:
    path.with_suffix(".sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    return content


def _restore(path: Path) -> None:
    shutil.rmtree(path.parent / "outside", ignore_errors=True)
    newest = mirror.newest(path.parent, Console(quiet=True))
    if newest is not None:
        archive.unpack(newest[1], path.parent / "outside" / "run")
    inside = {path.name, "epoch-2.sha256", "outside"}
    assert {one.name for one in path.parent.iterdir()} <= inside, "something was written elsewhere"


def _predictions() -> bytes:
    return _npz(of=np.array(MADE_OF), **dict.fromkeys(predictions.CONDITIONS, np.arange(IMAGES) % 10))


EXPORT = {"config": Config().to_json(), **MANIFEST, "epoch": 2, "result": RESULT, "code": {}}
PLAN = {
    "config": Config().to_json(), "variants": ["none", "se"], "looks": [2, 3], "margin": 0.3,
    "configs": {name: Config(attention=name).to_json() for name in ("none", "se")},
    "earlier": [{"looks": [2], "variants": ["none", "se"], "date": "2026-08-01"}],
}  # fmt: skip
EARLIER_PLAN = {"config": Config().to_json(), "variants": ["none", "se"], "seeds": 3, "extended": [2]}
FAILURE = {"reason": "the loss is nan", "epoch": 2, "diverged": True, "versions": {"jax": "0.7"}}
TUNING = {"seed": 1000, "validation_accuracy": {"none": 0.5, "se": None}, "chosen": {"none": "none"}}

# Formats of images, with the mode of the one that is written.
IMAGES_OF = {
    **{"png": "RGBA", "jpeg": "RGB", "webp": "RGB", "gif": "P", "tiff": "RGB", "bmp": "RGB"},
    **{"jpeg2000": "RGB", "ppm": "RGB", "tga": "RGBA", "ico": "RGBA"},
    **({"avif": "RGB"} if features.check("avif") else {}),
}

READERS = {
    "cifar-python": Reader(_cifar("python", True), _read_archive, _gzip),
    "cifar-binary": Reader(_cifar("binary", True), _read_archive, _gzip),
    "cifar-gzip": Reader(_gzipped(_cifar("binary", True)), _read_archive),
    "cifar-python-batch": Reader(_cifar("python", False), lambda path: _read_archive(path.parent)),
    "cifar-binary-batch": Reader(_cifar("binary", False), lambda path: _read_archive(path.parent)),
    "tfds-info": Reader(_tfds("dataset_info.json"), _read_tfds),
    "tfds-features": Reader(_tfds("features.json"), _read_tfds),
    "tfds-labels": Reader(_tfds("label.labels.txt"), _read_tfds),
    "array-record": Reader(_tfds("*test.array_record*"), _read_tfds),
    "tfrecord": Reader(_tfds("*test.tfrecord*"), _read_tfds),
    "record": Reader(_record, _read_tfds, _framed),
    "record-image": Reader(_record_image, _read_tfds, _example),
    "csv": Reader(_file("x.csv", lambda: b"variant,seed,accuracy\na,0,0.5\na,1,0.6\nb,0,0.7\nb,1,0.8\n"), of_csv),
    "config": Reader(
        _file("config.json", _json(Config().to_json() | MANIFEST)), lambda path: read_manifest(path.parent)
    ),
    "gate history": Reader(
        _file(gate_history.FILE, GATES.encode), lambda path: gate_history.read_history(path.parent, 2)
    ),
    "metrics": Reader(_file("metrics.jsonl", METRICS.encode), lambda path: store.read_metrics(path.parent, 2)),
    "result": Reader(_file("result.json", _json(RESULT)), lambda path: store.read_result(path.parent)),
    "plan": Reader(_file("compare.json", _json(PLAN)), lambda path: read_plan(path.parent).runs()),
    "earlier plan": Reader(_file("compare.json", _json(EARLIER_PLAN)), lambda path: read_plan(path.parent).runs()),
    "export": Reader(_file("config.json", _json(EXPORT)), safetensors._read_config),
    "predictions": Reader(
        _file("predictions.npz", _predictions), lambda path: predictions._read_predictions(path, MADE_OF, IMAGES, 10)
    ),
    "npz": Reader(_file("model.npz", lambda: _npz(**_weights())), load_torch),
    "npy": Reader(_file("model.npz", _npy), load_torch, _zipped),
    "safetensors": Reader(_file("model.safetensors", _safetensors), load_torch),
    "own-safetensors": Reader(_file("model.safetensors", _safetensors), read_safetensors),
    **{
        form: Reader(_file(f"x.{form}", _image(form, mode)), lambda path: read_image(path, 8, 8))
        for form, mode in IMAGES_OF.items()
    },
    "idx": Reader(_file("x", _idx), lambda path: fashion_mnist._idx(path, 3)),
    "idx-gzip": Reader(_gzipped(_file("x", _idx)), lambda path: fashion_mnist._idx(path, 3)),
    "idx-in-gzip": Reader(_file("x", _idx), lambda path: fashion_mnist._idx(path, 3), _gzip),
    "mat": Reader(_file("x.mat", _pixels), _read_mat, _with_labels),
    "mat-in-zlib": Reader(_file("x.mat", _pixels), _read_mat, _compressed),
    "labels": Reader(_labels_csv, lambda path: list_images(path.parent)),
    "recipe": Reader(_file("x.toml", lambda: b'parent = "quick"\nepochs = 3\n'), lambda path: Config(recipe=str(path))),
    "variants": Reader(
        _file("x.toml", lambda: b'variants = ["none", "se@3:reduction=4"]\n'),
        lambda path: variants.named(variants.read(path)),
    ),
    "checkpoint": Reader(
        _file("epoch-1.safetensors", _safetensors), lambda path: checkpoint.read(path.parent, 1), _digested
    ),
    "tuning": Reader(
        _file("tuning.json", _json(TUNING)), lambda path: tune._check_same(path, {"none": ["none"], "se": ["se"]})
    ),
    "failure": Reader(_file("failed.json", _json(FAILURE)), lambda path: read_failure(path.parent)),
    "other images": Reader(
        _file("other_images.json", _json({"of": MADE_OF, "measured": {"x": {"accuracy": 0.5}}})),
        lambda path: other_images._read(path, MADE_OF),
        _sealed,
    ),
    "gates": Reader(
        _file("gates.json", _json({"of": MADE_OF, "gates": {"block1": dict.fromkeys(Signs._fields, 0.5)}})),
        lambda path: vital_signs._read(path, MADE_OF),
        _sealed,
    ),
    "duplicates": Reader(
        _file("x.csv", lambda: b"TestID,Judgment\n3,0\n17,2\n"),
        lambda path: official.read_duplicates(path, _split(IMAGES)),
    ),
    "corruptions": Reader(_corruptions, _read_corruptions),
    "robustness": Reader(
        _file("robustness.json", _json(ROBUSTNESS)), lambda path: robustness_file.read(path.parent, {}), _sealed
    ),
    "indices": Reader(
        _file("x.csv", lambda: b"test_index,label\n3,3\n17,7\n"),
        lambda path: official.read_label_errors(path, _split(IMAGES)),
    ),
    "people": Reader(_file("x.npy", _people), lambda path: official.read_people(path, _split(IMAGES))),
    "mirror": Reader(_mirror, _restore, _hashed),
}
if importlib.util.find_spec("torch"):
    READERS["pt"] = Reader(_file("model.pt", _pt), load_torch)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Contents with one to three mutations: bytes changed, cut out, repeated, moved, or replaced by special values."""
    telling = (b"\0", b"\xff", b"-1", b"1e999", b"NaN", b"null", b'""', b"[]", b"{}", b"9" * 20, b"../", b"\\ud800")
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((1, 1, 2, 4, 8, 64, 1024)))
        before, piece, after = content[:start], content[start:end], content[end:]
        content = rng.choice((
            lambda: before + bytes(byte ^ 1 << rng.randrange(8) for byte in piece) + after,  # noqa: B023
            lambda: before + after,  # noqa: B023
            lambda: before,  # noqa: B023
            lambda: before + piece * rng.choice((2, 50)) + after,  # noqa: B023
            lambda: after + before,  # noqa: B023
            lambda: before + rng.choice(telling) + after,  # noqa: B023
            lambda: before + rng.choice(telling) + piece + after,  # noqa: B023
            lambda: before + rng.randbytes(len(piece)) + after,  # noqa: B023
        ))()  # fmt: skip
    return content


def mutations(content: bytes, seed: int) -> Iterator[bytes]:
    """Mutations of a valid file, without end."""
    rng = random.Random(seed)
    while True:
        yield mutated(content, rng)
