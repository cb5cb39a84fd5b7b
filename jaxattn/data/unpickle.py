"""Reads arrays from an untrusted pickle: it calls nothing that the pickle names.

Python's own unpickler would call it, and even without that it can be made to take all memory (by a large number in a
memo), or to crash (by a deeply nested key). So the few operations that pickled arrays consist of are carried out here,
and any other is refused.
"""

import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_OPERATIONS = 1_000_000  # in a pickle; the published batches have some 50,000

_PUSHED = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_IGNORED = {"PROTO", "FRAME", "STOP"}


def load_dict(content: bytes) -> dict[str, object]:
    """The dict in a pickle of Python 2 or 3: plain values, and NumPy arrays of numbers.

    Args:
        content: the pickle. Keys may be text or bytes.

    Returns:
        The values by key; arrays of any dtype and shape [...].

    Raises:
        Exception: of many types, if it is damaged, names anything that arrays do not need, or does not hold a dict.
    """
    loaded = _Interpreter(len(content)).run(content)
    if not isinstance(loaded, dict):
        raise pickle.UnpicklingError(f"it holds a {type(loaded).__name__}")
    return {key.decode() if isinstance(key, bytes) else key: _plain(value) for key, value in loaded.items()}


class _Array:
    """An array as a pickle describes it."""

    def build(self, state):
        _, self.shape, self.dtype, self.is_fortran, self.content = state


class _Dtype:
    """A dtype as a pickle describes it."""

    def __init__(self, code, *_):
        self.code, self.order = code, "="

    def build(self, state):
        self.order = _text(state[1])


def _from_buffer(content, dtype, shape, order, *_):
    array = _Array()
    array.build((None, shape, dtype, order == "F", content))
    return array


_CALLABLES: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _Array,  # only as an argument
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy._core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "_codecs.encode": lambda text, _: text.encode("latin-1"),  # how Python 3 writes bytes for Python 2
}


class _Interpreter:
    """The stack machine that runs the program in a pickle."""

    def __init__(self, size: int):
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._size = size  # bytes that all calls may encode: no text is encoded twice
        self._operations: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "LIST": lambda _: self._stack.append(self._marked()),
            "DICT": lambda _: self._stack.append(_pairs(self._marked())),
            "TUPLE": lambda _: self._stack.append(tuple(self._marked())),
            "APPEND": lambda _: self._extend(self._last(1)),
            "APPENDS": lambda _: self._extend(self._marked()),
            "SETITEM": lambda _: self._update(self._last(2)),
            "SETITEMS": lambda _: self._update(self._marked()),
            "MEMOIZE": lambda _: self._memo.update({len(self._memo): self._stack[-1]}),
            "GLOBAL": lambda name: self._stack.append(_callable(name.replace(" ", "."))),
            "STACK_GLOBAL": lambda _: self._stack.append(_callable(".".join(self._last(2)))),
            "REDUCE": lambda _: self._call(*self._last(2)),
            "BUILD": lambda _: self._build(*self._last(1)),
            "TUPLE1": lambda _: self._stack.append(tuple(self._last(1))),
            "TUPLE2": lambda _: self._stack.append(tuple(self._last(2))),
            "TUPLE3": lambda _: self._stack.append(tuple(self._last(3))),
        }
        for prefix in ("", "BIN", "LONG_BIN"):
            self._operations[f"{prefix}PUT"] = lambda key: self._memo.update({key: self._stack[-1]})
            self._operations[f"{prefix}GET"] = lambda key: self._stack.append(self._memo[key])

    def run(self, content: bytes) -> object:
        """What the program leaves on the stack."""
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number >= MAX_OPERATIONS:
                raise pickle.UnpicklingError(f"it has more than {MAX_OPERATIONS:,} operations")
            if opcode.name in _PUSHED:
                self._stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[opcode.name])
            elif opcode.name not in _IGNORED:
                if opcode.name not in self._operations:
                    raise pickle.UnpicklingError(f"it has the operation {opcode.name}, which arrays do not need")
                self._operations[opcode.name](argument)
        return self._stack.pop()

    def _marked(self):
        start = self._marks.pop()
        return self._last(len(self._stack) - start) if len(self._stack) > start else []

    def _last(self, count):
        if len(self._stack) < count:
            raise pickle.UnpicklingError("it takes more values than there are")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _extend(self, values):
        if not isinstance(self._stack[-1], list):
            raise pickle.UnpicklingError("it appends to something that is not a list")
        self._stack[-1].extend(values)

    def _update(self, values):
        if not isinstance(self._stack[-1], dict):
            raise pickle.UnpicklingError("it adds keys to something that is not a dict")
        self._stack[-1].update(_pairs(values))

    def _call(self, function, arguments):
        if function is _Array or function not in _CALLABLES.values() or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("it calls something that arrays do not need")
        if function is _CALLABLES["_codecs.encode"]:
            self._size -= len(arguments[0])
            if self._size < 0:
                raise pickle.UnpicklingError("it encodes more text than it holds")
        self._stack.append(function(*arguments))

    def _build(self, state):
        if not isinstance(self._stack[-1], _Array | _Dtype):
            raise pickle.UnpicklingError("it changes something that is not an array")
        self._stack[-1].build(state)


def _callable(name):
    if name not in _CALLABLES:
        raise pickle.UnpicklingError(f"it names {name:.80}, which arrays do not need")
    return _CALLABLES[name]


def _pairs(values):
    keys = values[::2]
    if not all(isinstance(key, str | bytes) for key in keys):
        raise pickle.UnpicklingError("a key is not text")
    return dict(zip(keys, values[1::2], strict=True))


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _plain(value: object) -> object:
    if not isinstance(value, _Array):
        return value
    dtype = np.dtype(_checked_code(value.dtype.code)).newbyteorder(value.dtype.order)
    content = value.content.encode("latin-1") if isinstance(value.content, str) else value.content
    flat = np.frombuffer(content, dtype)
    return flat.reshape(value.shape, order="F" if value.is_fortran else "C")


def _checked_code(code):
    if not isinstance(code, str | bytes) or len(code) > 4:
        raise pickle.UnpicklingError("the type of an array must be that of numbers")
    return _text(code)
