"""What a run is trained with: versions, devices, and the kind of machine."""

import contextlib
import datetime
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import jax

from jaxattn import __version__
from jaxattn.training import devices

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def environment() -> dict[str, Any]:
    """Versions, devices and the kind of machine of this process."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "versions": {"jaxattn": __version__, **versions, "python": platform.python_version()},
        "device": device(),
        "host": f"{platform.system()} {platform.machine()}, {processor()}",
    }


def device() -> str:
    """The devices of the run and this machine's processor, such as "1 x cpu (cpu, x86_64)"."""
    one = jax.local_devices()[0]
    return f"{devices.count()} x {one.device_kind} ({one.platform}, {platform.machine()})"


def processor() -> str:
    """The name of this machine's processor."""
    with contextlib.suppress(OSError):  # on Linux; elsewhere, Python knows it
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor unknown"


def now() -> str:
    """This moment in UTC, as ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two environments, such as "jax 0.12.0 instead of 0.10.2"."""

    def flat(one):
        return one["versions"] | {name: one[name] for name in ("device", "host")}

    before, after = flat(old), flat(new)
    return [
        f"{name} {after.get(name, 'unknown')} instead of {before.get(name, 'unknown')}"
        for name in before | after
        if before.get(name) != after.get(name)
    ]
