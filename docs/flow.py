"""The data flow of an attention module, traced: which of its layers and operations feed which, and their shapes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

INPUT, OUTPUT = "x", "y"

# Operations by what a reader calls them; those that only move numbers, or prepare others, are left out.
WORDS = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "dot_general": "matrix product",
    "conv_general_dilated": "convolution",
    "cond": "convolution",  # the platform's kernel
    "reduce_sum": "sum",
    "reduce_max": "maximum",
    "max_first": "maximum",
    "_max_pool_even": "max pool 2×2",
    "logistic": "sigmoid",
    "rsqrt": "1 / √",
    "sqrt": "√",
    "square": "square",
    "tanh": "tanh",
    "exp": "exp",
    "relu": "relu",
    "hard_sigmoid": "hard sigmoid",
    "hard_silu": "hard swish",
    "_roll_static": "the previous image's",
    "concatenate": "concatenate",
    "stack": "stack",
}
ARITHMETIC = {"+", "−", "×", "÷", "1 / √", "√", "square", "exp"}  # left out of long lists
PHRASES = [  # what several in a row amount to
    (["maximum", "−", "exp", "sum", "÷"], "softmax"),
    (["sum", "÷"], "mean"),
    (["−", "square", "mean"], "variance"),
    (["square", "sum", "√"], "norm"),
    (["square", "sum", "+", "√"], "norm"),
]


class Node(NamedTuple):
    """A box of the drawing.

    Attributes:
        title: a layer's name, or operations.
        kind: a layer's class, "gate" or empty.
        shape: of its result, without the batch.
        sources: numbers of the nodes that feed it.
    """

    title: str
    kind: str
    shape: tuple[int, ...]
    sources: tuple[int, ...]


def flow(module, shape):
    """The nodes of a module for an input of shape [H, W, C], in the order of computation, the input first."""
    classes = {}

    def record(call, args, kwargs, context):
        classes[context.module.path] = type(context.module).__name__
        return call(*args, **kwargs)

    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), image)
    with nn.intercept_methods(record):
        traced = jax.make_jaxpr(lambda x: module.apply(jax.tree.map(jnp.zeros_like, variables), x))(image)
    return _Graph(classes, shape).walk(traced.jaxpr)


class _Graph:
    """Groups of operations: each of a layer, or those between layers that the same layers and gates feed."""

    def __init__(self, classes, shape):
        self.classes = classes
        self.containers = {path[:i] for path in classes for i in range(len(path))}
        self.shapes = {INPUT: shape}
        self.words = {INPUT: []}
        self.sources = {INPUT: set()}
        self.before = {INPUT: frozenset()}  # the layers and gates upstream of a group, with itself

    def walk(self, jaxpr):
        origin = {jaxpr.invars[0]: {INPUT}}
        for equation in jaxpr.eqns:
            path, in_gate = self.place(str(equation.source_info.name_stack))
            known = [origin.get(one, set()) for one in equation.invars if not hasattr(one, "val")]
            sources = set().union(*known)
            word = WORDS.get(_name(equation))
            is_layer = path and path not in self.containers and not in_gate
            if (sources or in_gate) and (word or is_layer):
                upstream = frozenset().union(*(self.before[one] for one in sources)) - {("gate", path)}
                key = ("layer", path) if is_layer else ("gate" if in_gate else "", path, upstream)
                self.add(key, sources, word, upstream)
                sources = {key}
            if len(sources) == 1 and len(equation.outvars[0].aval.shape) == 4:
                (key,) = sources
                if key != INPUT and (key[0] == "gate", key[1]) == (in_gate, path):
                    self.shapes[key] = equation.outvars[0].aval.shape[1:]
            origin.update(dict.fromkeys(equation.outvars, sources))
        return self.nodes(origin[jaxpr.outvars[0]])

    def place(self, stack):
        """The path of the layer that an operation is in, and whether it is in its `gate`, but in no layer of it."""
        path, in_gate = (), False
        for scope in stack.split("/")[1:] if stack else ():
            name, _, method = scope.partition(".")
            if (*path, name) in self.classes and not method:
                path, in_gate = (*path, name), False
            elif method == "gate":
                in_gate = True
        return path, in_gate

    def add(self, key, sources, word, upstream):
        self.sources.setdefault(key, set()).update(sources - {key})
        self.words.setdefault(key, []).append(word)
        self.before[key] = upstream | ({key[:2]} if key[0] else frozenset())

    def nodes(self, last):
        order = [*self.sources]
        numbers = {key: number for number, key in enumerate(order)}
        feeding = [*(self.sources[key] for key in order), last]
        texts = [*map(self.titled, order), (OUTPUT, "")]
        shapes = [*(self.shapes.get(key, ()) for key in order), self.shapes[INPUT]]
        sources = [tuple(sorted(numbers[one] for one in keys)) for keys in feeding]
        return [Node(*text, shape, fed) for text, shape, fed in zip(texts, shapes, sources, strict=True)]

    def titled(self, key):
        if key == INPUT:
            return INPUT, ""
        kind, path = key[:2]
        if kind == "layer":
            return "/".join(path), self.classes[path]
        return _phrased([word for word in self.words[key] if word]), kind


def _name(equation):
    """A primitive's name; of a function, the function's."""
    name = equation.params.get("name")
    if name is None and (inner := equation.params.get("call_jaxpr")) is not None:
        name = inner.jaxpr.debug_info.func_name
    return name or equation.primitive.name


def _phrased(words):
    for phrase, word in PHRASES:
        for i in range(len(words) - len(phrase) + 1):
            if words[i : i + len(phrase)] == phrase:
                words[i : i + len(phrase)] = [word]
    words = list(dict.fromkeys(words))
    if len(words) > 3:
        words = [word for word in words if word not in ARITHMETIC]
    return ", ".join(words)
