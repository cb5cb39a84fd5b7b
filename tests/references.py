"""Every attention module again, in NumPy at float64, position by position, straight from the equations of its paper.

`REFERENCES[name](p, x)` takes the module's variables as `Parameters` and a map [B, H, W, C], and gives [B, H, W, C].
Nothing here is shared with the package.
"""

import functools
import itertools
import math

import numpy as np


class Parameters:
    """A module's variables by path, and whether it trains: `p["conv/kernel"]`, `p.under("conv")`."""

    def __init__(self, variables, train=False):
        self.train = train
        self.params = variables.get("params", {})
        self.stats = variables.get("batch_stats", {})

    def __getitem__(self, path):
        return np.asarray(functools.reduce(lambda tree, key: tree[key], path.split("/"), self.params), np.float64)

    def get(self, name, default):
        return self[name] if name in self.params else default

    def __contains__(self, name):
        return name in self.params

    def under(self, name):
        return Parameters({"params": self.params.get(name, {}), "batch_stats": self.stats.get(name, {})}, self.train)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def linear(p, x):
    """W^T x + b for a vector x."""
    kernel = p.get("kernel", p.get("frozen", 0))  # the control `random` calls its weights so
    return x @ kernel + p.get("bias", 0)


def norm(p, x):
    """BatchNorm over everything but the last axis."""
    axes = tuple(range(x.ndim - 1))
    if p.train:
        mean, var = x.mean(axis=axes), ((x - x.mean(axis=axes)) ** 2).mean(axis=axes)
    else:
        mean, var = np.asarray(p.stats["mean"], np.float64), np.asarray(p.stats["var"], np.float64)
    return p["scale"] * (x - mean) / np.sqrt(var + 1e-5) + p["bias"]


def convolution(p, x, *, padding=0, dilation=1, stride=1, groups=1):
    """Cross-correlation with zeros around, one output position after the other."""
    kernel = p["kernel"]
    size, per_group, outputs = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    batch, height, width, _ = x.shape
    reach = dilation * (size - 1)
    out_height, out_width = ((n + 2 * padding - reach - 1) // stride + 1 for n in (height, width))
    y = np.zeros((batch, out_height, out_width, outputs))
    for i, j, a, b in itertools.product(range(out_height), range(out_width), range(size), range(size)):
        row, column = i * stride - padding + a * dilation, j * stride - padding + b * dilation
        if not (0 <= row < height and 0 <= column < width):
            continue
        for g in range(groups):
            inputs = slice(g * per_group, (g + 1) * per_group)
            features = slice(g * outputs // groups, (g + 1) * outputs // groups)
            y[:, i, j, features] += x[:, row, column, inputs] @ kernel[a, b][:, features]
    return y + p.get("bias", 0)


def by_image(function):
    """A reference for one image [H, W, C], for a batch."""
    return lambda p, x, *rest: np.stack([function(p, image, *rest) for image in x])


def means(image):
    """Mean of each channel over all positions: [C]."""
    height, width, channels = image.shape
    return np.array([sum(image[i, j, c] for i in range(height) for j in range(width)) for c in range(channels)]) / (
        height * width
    )


def maxima(image):
    return np.array([max(image[..., c].ravel()) for c in range(image.shape[-1])])


@by_image
def se(p, x):
    return x * sigmoid(linear(p.under("excite"), relu(linear(p.under("squeeze"), means(x)))))


@by_image
def ese(p, x):
    return x * sigmoid(linear(p.under("excite"), means(x)))


@by_image
def ese_code(p, x):
    return x * np.clip(linear(p.under("excite"), means(x)) + 3, 0, 6) / 6


def eca_kernel(channels):
    """The odd k nearest to |log2(C) / 2 + 1 / 2|, the upper of two."""
    t = abs(math.log2(channels) / 2 + 1 / 2)
    return min(range(1, 99, 2), key=lambda k: (abs(k - t), -k))


@by_image
def eca(p, x):
    z, weights = means(x), p["mix/kernel"][:, 0, 0]
    half = len(weights) // 2
    mixed = [
        sum(w * z[c + k - half] for k, w in enumerate(weights) if 0 <= c + k - half < len(z)) for c in range(len(z))
    ]
    return x * sigmoid(np.array(mixed))


@by_image
def channel(p, x):
    def mlp(z):
        return linear(p.under("excite"), relu(linear(p.under("squeeze"), z)))

    return x * sigmoid(mlp(means(x)) + mlp(maxima(x)))


def spatial(p, x):
    pooled = np.stack([x.mean(axis=3), x.max(axis=3)], axis=3)
    logits = convolution(p.under("conv"), pooled, padding=3)
    return x * sigmoid(norm(p.under("norm"), logits) if "norm" in p else logits)


def cbam(p, x):
    return spatial(p.under("spatial"), channel(p.under("channel"), x))


def bam_convolutions(p, x, between):
    y = between("reduce", linear(p.under("reduce"), x))
    y = between("context_1", convolution(p.under("context_1"), y, padding=4, dilation=4))
    y = between("context_2", convolution(p.under("context_2"), y, padding=4, dilation=4))
    return linear(p.under("project"), y)


def bam(p, x):
    pooled = np.array([means(image) for image in x])
    by_channel = norm(p.under("channel_norm"), linear(p.under("excite"), relu(linear(p.under("squeeze"), pooled))))
    by_place = norm(p.under("spatial_norm"), bam_convolutions(p, x, lambda _, y: relu(y)))
    return x + x * sigmoid(by_channel[:, None, None, :] + by_place)


def bam_code(p, x):
    def between(name, y):
        return relu(norm(p.under(f"{name}_norm"), y))

    pooled = np.array([means(image) for image in x])
    by_channel = linear(p.under("excite"), between("squeeze", linear(p.under("squeeze"), pooled)))
    return x + x * sigmoid(by_channel[:, None, None, :] * bam_convolutions(p, x, between))


@by_image
def ge(p, x):
    return x * sigmoid(means(x))


def nearest(gathered, height, width):
    rows, columns = gathered.shape[:2]
    return np.array([[gathered[i * rows // height, j * columns // width] for j in range(width)] for i in range(height)])


@by_image
def ge_local(p, x, extent):
    """Gather at u: the mean over the positions e u + d, |d| < e, that are there."""
    height, width, _ = x.shape
    gathered = [
        [
            np.mean(
                [
                    x[i, j]
                    for i in range(extent * u - extent + 1, extent * u + extent)
                    for j in range(extent * v - extent + 1, extent * v + extent)
                    if 0 <= i < height and 0 <= j < width
                ],
                axis=0,
            )
            for v in range(math.ceil(width / extent))
        ]
        for u in range(math.ceil(height / extent))
    ]
    return x * sigmoid(nearest(np.array(gathered), height, width))


def ge_learned(p, x):
    gathered = np.array([sum(p["gather"][i, j] * image[i, j] for i, j in np.ndindex(image.shape[:2])) for image in x])
    return x * sigmoid(norm(p.under("norm"), gathered))[:, None, None, :]


def ge_learned_local(p, x, extent):
    layers = round(math.log2(extent))
    y = x
    for i in range(1, layers + 1):
        y = convolution(p.under(f"gather_{i}"), y, padding=1, stride=2, groups=x.shape[-1])
        y = norm(p.under(f"norm_{i}"), y)
        y = relu(y) if i < layers else y
    return x * sigmoid(np.stack([nearest(image, *x.shape[1:3]) for image in y]))


def context(p, x):
    """relu(LayerNorm(W1 sum_j a_j x_j)) of one image."""
    positions = x.reshape(-1, x.shape[-1])
    weights = softmax(positions @ p["key/kernel"][:, 0])
    z = linear(p.under("squeeze"), sum(a * position for a, position in zip(weights, positions, strict=True)))
    z = (z - z.mean()) / np.sqrt(z.var() + 1e-5)
    return relu(p["norm/scale"] * z + p["norm/bias"])


@by_image
def gc(p, x):
    return x + linear(p.under("excite"), context(p.under("context"), x))


@by_image
def gc_scale(p, x):
    return x * sigmoid(linear(p.under("excite"), context(p.under("context"), x)))


@by_image
def simam(p, x, correction):
    """1 / e* of equation 5, whose numerator is (x - mean)^2 + 2 var + 2 lambda."""
    mean = means(x)
    variance = ((x - mean) ** 2).sum(axis=(0, 1)) / (x.shape[0] * x.shape[1] - correction)
    energy = 4 * (variance + 1e-4) / ((x - mean) ** 2 + 2 * variance + 2e-4)
    return x * sigmoid(1 / energy)


def hard_swish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def coord(p, x):
    _, height, width, _ = x.shape
    rows = np.stack([x[:, i].mean(axis=1) for i in range(height)], axis=1)
    columns = np.stack([x[:, :, j].mean(axis=1) for j in range(width)], axis=1)
    f = hard_swish(norm(p.under("norm"), linear(p.under("squeeze"), np.concatenate([rows, columns], axis=1))))
    y = np.zeros_like(x)
    for i, j in np.ndindex(height, width):
        by_row = sigmoid(linear(p.under("height").under("excite"), f[:, i]))
        by_column = sigmoid(linear(p.under("width").under("excite"), f[:, height + j]))
        y[:, i, j] = x[:, i, j] * by_row * by_column
    return y


def srm(p, x, correction):
    style = []
    for image in x:
        mean = means(image)
        variance = ((image - mean) ** 2).sum(axis=(0, 1)) / (image.shape[0] * image.shape[1] - correction)
        style.append(p["mean"] * mean + p["deviation"] * np.sqrt(variance))
    return x * sigmoid(norm(p.under("norm"), np.array(style)))[:, None, None, :]


def triplet(p, x):
    """A third of the sum of x times each gate; a gate is made on the map turned so that its axis comes last."""
    total = np.zeros_like(x)
    turns = {"width_channel": (0, 2, 3, 1), "height_channel": (0, 1, 3, 2), "height_width": (0, 1, 2, 3)}
    for name, turn in turns.items():
        total += np.transpose(spatial(p.under(name), np.transpose(x, turn)), np.argsort(turn))
    return total / 3


def sk(p, x):
    channels = x.shape[-1]
    groups = math.gcd(channels, 32)

    def branch(name, dilation):
        y = convolution(p.under(f"{name}_conv"), x, padding=dilation, dilation=dilation, groups=groups)
        return relu(norm(p.under(f"{name}_norm"), y))

    branches = branch("narrow", 1), branch("wide", 2)
    squeezed = np.array([means(image) for image in branches[0] + branches[1]])
    z = relu(norm(p.under("squeeze_norm"), linear(p.under("squeeze"), squeezed)))
    y = np.zeros_like(x)
    for n, c in np.ndindex(len(x), channels):
        a, b = softmax(np.array([z[n] @ p["narrow/kernel"][:, c], z[n] @ p["wide/kernel"][:, c]]))
        y[n, ..., c] = a * branches[0][n, ..., c] + b * branches[1][n, ..., c]
    return y


@by_image
def mhsa(p, x, scaled):
    height, width, channels = x.shape
    depth = channels // 4
    positions = list(np.ndindex(height, width))
    y = np.zeros_like(x)
    for head in range(4):
        part = slice(head * depth, (head + 1) * depth)
        query, key, value = (x @ p[f"{name}/kernel"][:, part] for name in ("query", "key", "value"))
        query = query / math.sqrt(depth) if scaled else query
        for i, j in positions:
            logits = [
                query[i, j] @ (key[k, m] + p["rows"][k - i + height - 1] + p["columns"][m - j + width - 1])
                for k, m in positions
            ]
            weights = softmax(np.array(logits))
            y[i, j, part] = sum(a * value[position] for a, position in zip(weights, positions, strict=True))
    return y


def nonlocal_block(p, x, code):
    def gather(image):
        height, width, _ = image.shape
        source = image
        if code:
            corners = np.ndindex(height // 2, width // 2)
            source = np.array([image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(0, 1)) for i, j in corners])
        source = source.reshape(-1, image.shape[-1])
        theta, phi, g = linear(p.under("theta"), image), linear(p.under("phi"), source), linear(p.under("g"), source)
        scale = math.sqrt(theta.shape[-1]) if code else 1
        y = [[softmax(phi @ theta[i, j] / scale) @ g for j in range(width)] for i in range(height)]
        return linear(p.under("out"), np.array(y))

    return x + norm(p.under("norm"), np.stack([gather(image) for image in x]))


@by_image
def nosqueeze(p, x):
    y = np.zeros_like(x)
    for i, j in np.ndindex(x.shape[:2]):
        y[i, j] = x[i, j] * sigmoid(linear(p.under("excite"), relu(linear(p.under("squeeze"), x[i, j]))))
    return y


def standard(values):
    """Values of one channel, or of one group, with mean 0 and variance 1."""
    return (values - values.mean()) / np.sqrt(((values - values.mean()) ** 2).mean() + 1e-5)


@by_image
def shuffle(p, x):
    """Group after group; then channel 2 j + k of the result is channel j of its half k."""
    channels = x.shape[-1]
    groups = math.gcd(channels // 2, 64)
    half = channels // groups // 2
    weighted = []
    for c in range(channels):
        member = c % half
        if c // half % 2 == 0:
            statistic = means(x)[c]
            branch = "channel"
        else:
            statistic = p["norm_scale"][member] * standard(x[..., c]) + p["norm_bias"][member]
            branch = "position"
        weighted.append(x[..., c] * sigmoid(p[f"{branch}_weight"][member] * statistic + p[f"{branch}_bias"][member]))
    return np.stack([weighted[k * channels // 2 + j] for j in range(channels // 2) for k in (0, 1)], axis=-1)


def ema(p, x):
    groups = math.gcd(x.shape[-1], 32)
    return np.concatenate([ema_group(p, part) for part in np.split(x, groups, axis=-1)], axis=-1)


@by_image
def ema_group(p, x):
    height, width, depth = x.shape
    u = np.zeros_like(x)
    for i, j in np.ndindex(height, width):
        by_row, by_column = (sigmoid(linear(p.under("mix"), z.mean(axis=0))) for z in (x[i], x[:, j]))
        u[i, j] = x[i, j] * by_row * by_column
    u = np.stack([standard(u[..., c]) for c in range(depth)], axis=-1) * p["norm_scale"] + p["norm_bias"]
    v = convolution(p, x[None], padding=1)[0]
    weights = [softmax(means(u)) @ v[i, j] + softmax(means(v)) @ u[i, j] for i, j in np.ndindex(height, width)]
    return x * sigmoid(np.reshape(weights, (height, width, 1)))


@by_image
def gct(p, x):
    embedding = p["alpha"] * np.sqrt((x**2).sum(axis=(0, 1)) + 1e-5)
    normalised = math.sqrt(len(embedding)) * embedding / math.sqrt(embedding @ embedding + 1e-5)
    return x * (1 + np.tanh(p["gamma"] * normalised + p["beta"]))


@by_image
def grn(p, x, average):
    norms = np.array([np.linalg.norm(x[..., c]) for c in range(x.shape[-1])])
    relative = norms / (norms.sum() / (len(norms) if average else 1) + 1e-6)
    return p["scale"] * (x * relative) + p["bias"] + x


@by_image
def sge(p, x, correction):
    height, width, channels = x.shape
    groups = math.gcd(channels, 64)
    y = []
    for g, part in enumerate(np.split(x, groups, axis=-1)):
        similarity = np.array([[part[i, j] @ means(part) for j in range(width)] for i in range(height)])
        deviation = np.sqrt(((similarity - similarity.mean()) ** 2).sum() / (height * width - correction))
        normalised = (similarity - similarity.mean()) / (deviation + 1e-5)
        y.append(part * sigmoid(p["scale"][g] * normalised + p["bias"][g])[..., None])
    return np.concatenate(y, axis=-1)


@by_image
def fca(p, x):
    """As many frequencies as channels, up to 16: for 8 channels the best 8, of a 7x7 map, stretched."""
    height, width, channels = x.shape
    best = [(0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)]
    assert channels == len(best)
    z = np.zeros(channels)
    for c, (u, v) in enumerate(best):
        by_row, by_column = u * height // 7, v * width // 7
        factor = math.sqrt((1 if by_row == 0 else 2) / height * (1 if by_column == 0 else 2) / width)
        for i, j in np.ndindex(height, width):
            wave = math.cos(math.pi * by_row * (i + 0.5) / height) * math.cos(math.pi * by_column * (j + 0.5) / width)
            z[c] += factor * wave * x[i, j, c]
    return x * sigmoid(linear(p.under("excite"), relu(linear(p.under("squeeze"), z))))


@by_image
def ela(p, x):
    def gate(p, z):
        """Of means z, one for each row or column, [n, C]."""
        kernel, groups = p["kernel"], math.gcd(z.shape[1], 16)
        reach = len(kernel) // 2
        mixed = np.zeros_like(z)
        for i, c in np.ndindex(z.shape):
            mixed[i, c] = sum(kernel[k, c] * z[i + k - reach, c] for k in range(7) if 0 <= i + k - reach < len(z))
        normalised = np.concatenate([standard(part) for part in np.split(mixed, groups, axis=1)], axis=1)
        return sigmoid(normalised * p["norm/scale"] + p["norm/bias"])

    by_row, by_column = gate(p.under("height"), x.mean(axis=1)), gate(p.under("width"), x.mean(axis=0))
    return np.array([[x[i, j] * by_row[i] * by_column[j] for j in range(x.shape[1])] for i in range(x.shape[0])])


def constant(p, x):
    return x * sigmoid(p["bias"])


def shuffled(p, x):
    gates = [sigmoid(linear(p.under("excite"), relu(linear(p.under("squeeze"), means(image))))) for image in x]
    return np.stack([x[i] * gates[i - 1] for i in range(len(x))])


REFERENCES = {
    "none": lambda p, x: x,
    "se": se,
    "ese": ese,
    "ese-code": ese_code,
    "eca": eca,
    "eca-fixed3": eca,
    "channel": channel,
    "channel-code": channel,
    "spatial": spatial,
    "spatial-code": spatial,
    "cbam": cbam,
    "cbam-code": cbam,
    "bam": bam,
    "bam-code": bam_code,
    "ge": ge,
    "ge-2": lambda p, x: ge_local(p, x, 2),
    "ge-4": lambda p, x: ge_local(p, x, 4),
    "ge-learned": ge_learned,
    "ge-learned-2": lambda p, x: ge_learned_local(p, x, 2),
    "ge-learned-4": lambda p, x: ge_learned_local(p, x, 4),
    "gc": gc,
    "gc-scale": gc_scale,
    "simam": lambda p, x: simam(p, x, 0),
    "simam-code": lambda p, x: simam(p, x, 1),
    "coord": coord,
    "coord-code": coord,
    "srm": lambda p, x: srm(p, x, 0),
    "srm-code": lambda p, x: srm(p, x, 1),
    "triplet": triplet,
    "sk": sk,
    "mhsa": lambda p, x: mhsa(p, x, False),
    "mhsa-code": lambda p, x: mhsa(p, x, True),
    "nonlocal": lambda p, x: nonlocal_block(p, x, False),
    "nonlocal-code": lambda p, x: nonlocal_block(p, x, True),
    "fca": fca,
    "gct": gct,
    "grn": lambda p, x: grn(p, x, False),
    "grn-code": lambda p, x: grn(p, x, True),
    "nosqueeze": nosqueeze,
    "shuffle": shuffle,
    "ema": ema,
    "sge": lambda p, x: sge(p, x, 0),
    "sge-code": lambda p, x: sge(p, x, 1),
    "ela": ela,
    "constant": constant,
    "random": se,
    "shuffled": shuffled,
}
