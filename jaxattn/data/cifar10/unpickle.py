"""Restricted unpickler for untrusted arrays: it runs nothing that the pickle names."""

import io
import pickle

import numpy as np


def load_dict(content: bytes) -> dict[str, object]:
    """The dict in a pickle of Python 2 or 3: plain values, and NumPy arrays of numbers.

    Args:
        content: the pickle. Keys may be text or bytes.

    Returns:
        The values by key; arrays of any dtype and shape [...].

    Raises:
        Exception: of many types, where it is damaged, names anything that arrays do not need, or is not a dict.
    """
    loaded = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    return {key.decode() if isinstance(key, bytes) else key: _plain(value) for key, value in loaded.items()}


class _Array:
    """Stand-in for `numpy.ndarray` that only stores its state."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.is_fortran, self.content = state


class _Dtype:
    """Stand-in for `numpy.dtype`."""

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        pass


def _from_buffer(content, dtype, shape, order, *_):
    array = _Array()
    array.__setstate__((None, shape, dtype, order == "F", content))
    return array


_STAND_INS = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy._core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "_codecs.encode": lambda text, _: text.encode("latin-1"),  # how Python 3 writes bytes for Python 2
}


class _Unpickler(pickle.Unpickler):
    """Replaces each name that pickled arrays use by a stand-in from this file, and refuses any other name.

    An unpickler calls whatever a pickle names. NumPy's own names are not safe either: with the right arguments,
    `numpy.ndarray` turns any bytes into an array of pointers.
    """

    def find_class(self, module, name):
        """The stand-in for `module.name`.

        Raises:
            pickle.UnpicklingError: where there is none.
        """
        if f"{module}.{name}" not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which arrays do not need")
        return _STAND_INS[f"{module}.{name}"]


def _plain(value: object) -> object:
    if not isinstance(value, _Array):
        return value
    flat = np.frombuffer(value.content, np.dtype(value.dtype.code))
    return flat.reshape(value.shape, order="F" if value.is_fortran else "C")
