"""What a person reads of a page, and the code and the commands on it."""

import re
import shlex

BLOCK = re.compile(r"(?:<!-- (?P<mark>not run: .+?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


def blocks(page):
    """The code blocks of a page in order: language, code, and line of the first line of code; not those marked so."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        if found["mark"] is None:
            yield found["language"], found["code"], text.count("\n", 0, found.start("code"))


def commands(code):
    """The words of each command of jaxattn in a shell block, from the command's name on."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"^([A-Z_]+=\S+ )+", "", line), comments=True)
        if words[:1] == ["jaxattn"]:
            yield words[1:]
        elif words[:3] == ["python", "-m", "jaxattn"]:
            yield words[3:]
        else:
            assert not " ".join(words).startswith("python -m jaxattn"), line
