"""Paths of arrays in trees."""

import jax


def keys_of(path: tuple) -> list[str]:
    """The names on the path to a parameter, as JAX gives it; if a parameter is several arrays, the last is a number."""
    return jax.tree_util.keystr(path, simple=True, separator="/").split("/")
