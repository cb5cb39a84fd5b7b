"""The pages of the attention modules, as Markdown, from what `jaxattn.describe` knows of each."""

import itertools
import re

from drawing import draw
from flow import flow
from gate_images import gate_images

from jaxattn import describe
from jaxattn.attention import ATTENTION

DRAWN = 1  # the number of the site that is drawn
SPECIAL = re.compile(r"([\\`*_{}\[\]>#+|!-])")  # what Markdown would read as its own


def pages(rows):
    """The Markdown of each page by its path, the index first; `rows` are those of `jaxattn modules`."""
    facts = [describe.describe(row.name) for row in rows]
    index = {"modules/index.md": _index(rows, facts)}
    return index | {path(one.name): _page(one, [row for row in rows if row.group == one.group]) for one in facts}


def path(name):
    """Where a module's page is."""
    return f"modules/{name}.md"


def _text(prose):
    """Prose of a docstring as Markdown: what stands between backticks stays, and papers are links."""
    parts = prose.split("`")
    parts = [part if i % 2 else SPECIAL.sub(r"\\\1", _escaped(part)) for i, part in enumerate(parts)]
    return re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", "`".join(parts))


def _table(header, rows, right=()):
    marks = ["---:" if i in right else "---" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, marks, *rows))


def _numbers(row):
    return [f"{row.parameters:,}", f"{row.multiply_adds:,.0f}"]


def _index(rows, facts):
    parts = [
        "# Attention modules",
        "Each takes a map [B, H, W, C] and returns one of the same shape. `jaxattn train --attention NAME` trains with "
        "it, `jaxattn modules NAME` prints its page. Where a paper and its published code disagree, both are here. "
        "Parameters and multiply-adds are those of all three blocks of the tutorial's network, for one image.",
    ]
    summaries = {one.name: one.summary for one in facts}
    for group, members in itertools.groupby(rows, key=lambda row: row.group):
        lines = [[f"[`{row.name}`]({row.name}.md)", _text(summaries[row.name]), *_numbers(row)] for row in members]
        header = ["module", "what it computes", "parameters", "multiply-adds"]
        parts += [f"## {group[0].upper()}{group[1:]}", _table(header, lines, right=(2, 3))]
    return "\n\n".join(parts) + "\n"


def _page(facts, alike):
    sites = [[site.name, describe.shape(site.shape), describe.gates(site)] for site in facts.sites]
    costs = [
        [f"**`{row.name}`**" if row.name == facts.name else f"[`{row.name}`]({row.name}.md)", *_numbers(row)]
        for row in alike
    ]
    options = [[f"`{one.name}`", f"`{one.type}`", f"`{one.default}`", _text(one.about)] for one in facts.options]
    site = facts.sites[DRAWN]
    drawing = draw(flow(ATTENTION[facts.name](), site.shape), f"Data flow of {facts.name}")
    parts = {
        f"# {facts.name}": [_text(facts.summary), *map(_text, facts.details)],
        "## Formula": [f'<p class="formula">{_escaped(facts.formula)}</p>'],
        "## Data flow": [
            f"Traced at {site.name} of the tutorial's network: layers by name and class, what is computed between them "
            "(dashed), and the gate's own part (coloured), each with the shape of its result.",
            f"<div>{drawing}</div>",
        ],
        "## Shapes": [_table(["site", "input and output", "gates"], sites)],
        "## Paper": [_text(facts.source)],
        "## Paper and code": [_text(facts.differs)],
        "## Options": [_table(["field", "type", "default", "what"], options)] if options else [],
        "## Cost": [
            f"In the three blocks of the tutorial's network, for one image, beside the other modules {facts.group}:"
            if facts.group.startswith("by")
            else f"In the three blocks of the tutorial's network, for one image, beside the other {facts.group}:",
            _table(["module", "parameters", "multiply-adds"], costs, right=(1, 2)),
        ],
        "## Did it help?": list(map(_text, describe.verdicts(facts))),
        "## Gates": gate_images(facts.name),
        "## Use": [
            f"```sh\njaxattn train --attention {facts.name}\njaxattn compare --attention none {facts.name} --seeds 8 "
            "--out runs/compared\n```",
            "Outside this package's networks:",
            f"```python\n{describe.usage(facts.name)}\n```",
        ],
    }
    return "\n\n".join("\n\n".join([title, *texts]) for title, texts in parts.items() if any(texts)) + "\n"


def _escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")
