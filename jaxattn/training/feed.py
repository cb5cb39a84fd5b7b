"""Where training images are kept: all on the device, or in host memory or a file, from which they are fed in chunks.

A thread reads chunks in the order of the epoch while the device works, so the number of images is not limited; batches,
augmentation and results are the same to the bit.
"""

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int32

from jaxattn.data.splits import Rows, Split
from jaxattn.training import devices

SHARE = 0.5  # of a device's memory: images that would take more are fed in chunks
CHUNK = 64 << 20  # bytes


def is_large(images: np.ndarray | Rows) -> bool:
    """Whether images uint8 [N, H, W, 3] take more than `SHARE` of a device's memory, so that they are fed to it."""
    return images.nbytes > SHARE * _memory()


def _memory() -> int:
    """Bytes of memory of a device, or of this machine if the device has none of its own."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 8 << 30
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container
    text = limit.read_text().strip() if limit.exists() else ""
    return min(total, int(text)) if text.isdecimal() else total


class Resident(NamedTuple):
    """Training data that is on the device: images uint8 [N, H, W, 3], labels int32 [N]."""

    images: jax.Array
    labels: jax.Array

    @property
    def count(self) -> int:  # type: ignore[override]  # hides tuple.count
        """Number of images N."""
        return len(self.labels)

    def calls(self, rows: Int32[np.ndarray, "S B"], steps: int) -> Iterator[tuple[Any, ...]]:
        """Images, labels and rows of each call of an epoch with rows [S, B], `steps` steps a call."""
        for batches in calls(rows, steps):
            yield *self, devices.shard(batches)

    def batch(self, rows: Int32[np.ndarray, " B"]) -> tuple[Any, ...]:
        """All images, and the rows [B] of a batch."""
        return self.images, devices.shard(rows)


class Fed(NamedTuple):
    """Training data that is fed to the device in chunks; its images may be in a file."""

    split: Split

    @property
    def count(self) -> int:  # type: ignore[override]  # hides tuple.count
        """Number of images N."""
        return len(self.split)

    def calls(self, rows: Int32[np.ndarray, "S B"], steps: int) -> Iterator[tuple[Any, ...]]:
        """As `Resident`'s, with images [n, H, W, 3] of a chunk, rows [..., B] in it, and numbers [..., B] in all."""
        size = rows.shape[1]
        image = int(np.prod(self.split.images.shape[1:]))
        per_chunk = min(max(CHUNK // (size * image * steps), 1) * steps, len(rows))
        chunks = [rows[start : start + per_chunk] for start in range(0, len(rows), per_chunk)]
        within = np.arange(per_chunk * size, dtype=np.int32).reshape(per_chunk, size)
        with ThreadPoolExecutor(1) as reader:
            loading = reader.submit(self._read, chunks[0], per_chunk)
            for chunk, following in itertools.zip_longest(chunks, chunks[1:]):
                images, labels = devices.replicate(loading.result())
                if following is not None:
                    loading = reader.submit(self._read, following, per_chunk)
                pairs = zip(calls(within[: len(chunk)], steps), calls(chunk, steps), strict=True)
                for positions, numbers in pairs:
                    yield images, labels, devices.shard(positions), devices.shard(numbers)

    def batch(self, rows: Int32[np.ndarray, " B"]) -> tuple[Any, ...]:
        """The images of a batch with rows [B], their indices among these, and their numbers in the data set."""
        images, _ = self._read(rows[None], 1)
        return devices.replicate(images), devices.shard(np.arange(len(rows), dtype=np.int32)), devices.shard(rows)

    def _read(self, chunk, steps):
        """The examples of a chunk, filled up to this many steps, so that one program can take every chunk."""
        rows = np.resize(chunk.ravel(), steps * chunk.shape[1])
        some = self.split.take(rows)
        return some.images, some.labels


def calls(rows: Int32[np.ndarray, "S B"], count: int) -> list[np.ndarray]:
    """The rows [S, B] of an epoch, one array per call: `count` steps at once, [count, B], then single ones, [B]."""
    whole = len(rows) // count * count if count > 1 else 0
    return [*rows[:whole].reshape(-1, count, rows.shape[1]), *rows[whole:]]


Data = Resident | Fed


def to_device(split: Split) -> Data:
    """A split on the device, or fed to it if it is large."""
    if isinstance(split.images, Rows) or is_large(split.images):
        return Fed(split)
    return Resident(*devices.replicate((split.images, split.labels)))
