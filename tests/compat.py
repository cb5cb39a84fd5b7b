"""What differs between the releases of JAX that the package supports."""

import jax


def enable_x64():
    """A context in which JAX computes in float64."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()
