"""What holds for every test: shapes in signatures are checked, no network, no silent broadcasting, a compile cache."""

import os
import socket
from pathlib import Path

from jaxtyping import install_import_hook

# What depends most on the versions of jax, flax and Orbax: also run on those that Colab carries.
COLAB = {"test_accelerators", "test_attention_contract", "test_capture", "test_convolution", "test_fit", "test_report"}
CHECKED = ("layers", "attention", "model", "data", "training", "explain", "metrics")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))
install_import_hook([f"jaxattn.{name}" for name in CHECKED], "typecheck.check")

import jax  # noqa: E402
import pytest  # noqa: E402

from jaxattn.runtime import skip_slow_passes  # noqa: E402

skip_slow_passes()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def pytest_collection_modifyitems(items):
    """Marks the tests for Colab's versions."""
    for item in items:
        if item.path.stem in COLAB:
            item.add_marker(pytest.mark.colab)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuses every connection but those to this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test reached for the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
