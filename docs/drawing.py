"""A module's data flow as SVG, in the colours of the page around it."""

import html

WIDTH, BOX, GAP, ROW, LANE, MARGIN = 400, 230, 12, 74, 9, 4
HEIGHT = ROW - 30  # of a box


def draw(nodes, title):
    """Boxes from top to bottom, each below all that feed it; arrows that pass others by run along the right edge."""
    ranks = _ranks(nodes)
    rows = [[i for i, rank in enumerate(ranks) if rank == row] for row in range(max(ranks) + 1)]
    skips = [
        i
        for i in range(len(nodes))
        if any(i in node.sources and ranks[j] > ranks[i] + 1 for j, node in enumerate(nodes))
    ]
    lanes = {source: WIDTH - MARGIN - LANE * number for number, source in enumerate(skips)}
    boxes = {}
    for row, members in enumerate(rows):
        space = WIDTH - LANE * len(skips) - 2 * MARGIN
        width = min(BOX, (space - GAP * (len(members) - 1)) / len(members))
        left = MARGIN + (space - width * len(members) - GAP * (len(members) - 1)) / 2
        for place, i in enumerate(members):
            boxes[i] = left + place * (width + GAP), MARGIN + row * ROW, width
    arrows = [
        _arrow(boxes[i], boxes[j], lanes[i] if ranks[j] > ranks[i] + 1 else None)
        for j, node in enumerate(nodes)
        for i in node.sources
    ]
    height = (len(rows) - 1) * ROW + HEIGHT + 2 * MARGIN
    shown = [_box(node, *boxes[i]) for i, node in enumerate(nodes)]
    return (
        f'<svg class="flow" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(title)}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>' + "".join(arrows + shown) + "</svg>"
    )


def _ranks(nodes):
    """How many boxes lie above each at least."""
    known = {}

    def rank(i):
        if i not in known:
            known[i] = 1 + max(map(rank, nodes[i].sources), default=-1)
        return known[i]

    return [rank(i) for i in range(len(nodes))]


def _arrow(source, target, lane):
    (x, y, width), (other, below, wide) = source, target
    start, end, top = x + width / 2, other + wide / 2, y + HEIGHT
    if lane is None:
        path = f"M{start:g} {top:g} {end:g} {below:g}"
    else:
        end += min(wide / 4, 24)  # beside the arrow that comes straight down
        path = f"M{start:g} {top:g}v8H{lane:g}V{below - 12:g}H{end:g}V{below:g}"
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>'


def _box(node, x, y, width):
    shape = " × ".join(map(str, node.shape))
    second = " · ".join(filter(None, (node.kind.lstrip("_"), shape)))
    middle = x + width / 2
    kind = "gate" if node.kind == "gate" else "layer" if node.kind else "plain"
    size = min(14, 1.7 * width / max(len(node.title), 1))
    return (
        f'<g class="{kind}"><rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{middle:g}" y="{y + 18:g}" font-size="{size:.3g}">{html.escape(node.title)}</text>'
        f'<text class="shape" x="{middle:g}" y="{y + 35:g}" font-size="12">{html.escape(second)}</text></g>'
    )
