"""What the pages of the documentation show works: code runs, commands exist, links lead somewhere, lines are short."""

import dataclasses
import importlib
import re
import shutil
import sys
import types
from pathlib import Path

import matplotlib.pyplot
import pytest
from explained import few_scored_and_quickly_randomised  # noqa: F401
from pages import blocks, commands

from jaxattn import Config, fit
from jaxattn.cli.commands import COMMANDS
from jaxattn.comparison import variants
from jaxattn.data import DATASETS, shapes
from jaxattn.data.dataset import Dataset

DOCS = Path(__file__).parents[1] / "docs"
TUTORIAL = DOCS / "tutorial.md"
RUN = [TUTORIAL, *sorted((DOCS / "guides").glob("*.md"))]
PAGES = [*RUN, DOCS / "index.md", DOCS / "performance.md", *sorted((DOCS / "explanations").glob("*.md"))]
NAMED = re.compile(r"`((?:experiments|tests|docs)/[\w./-]+|(?:[a-z_0-9]+/)+(?:[a-z_0-9]+\.py)?)`")
BUILT = ("modules", "reference")  # folders of pages that are generated, or by another hand
SMALL = dataclasses.replace(shapes.SPEC, train=160, test=40)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture(scope="module")
def trained(small_network, tmp_path_factory):
    """A folder with `runs/mine`: two epochs of a few shapes. Shapes are few wherever pages train on them."""
    folder = tmp_path_factory.mktemp("reader")

    def load(data_dir):
        return dataclasses.replace(shapes.make(train=SMALL.train, test=SMALL.test), spec=SMALL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "shapes", Dataset(SMALL, load))
        for name in ("_draw", "_gates"):  # figures take most of the time of a comparison's page
            patch.setattr(f"jaxattn.comparison.page.{name}", lambda *arguments: {})
        fit(Config(attention="se", dataset="shapes", epochs=2), folder / "runs" / "mine")
        yield folder


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_code_runs_as_it_stands(page, trained, tmp_path, monkeypatch):
    shutil.copytree(trained / "runs", tmp_path / "runs", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("mine")  # as the pages call the reader's file
    module.__file__ = str(tmp_path / "mine.py")
    shutil.copy(page, module.__file__)  # with the same numbers of lines: classes know their source
    monkeypatch.setitem(sys.modules, "mine", module)
    for language, code, line in blocks(page):
        if language == "python":
            exec(compile("\n" * line + code, module.__file__, "exec"), module.__dict__)
        elif language == "sh" and page == TUTORIAL:
            for name, *words in commands(code):
                importlib.import_module(COMMANDS[name].module).main(words)
    matplotlib.pyplot.close("all")


@every_page
def test_every_command_is_understood(page):
    for language, code, _ in blocks(page):
        for name, *words in commands(code) if language == "sh" else ():
            flags = importlib.import_module(COMMANDS[name].module).parser().parse_args(words)
            for variant in flags.attention or () if name == "compare" else ():
                variants.parse(variant)


@every_page
def test_lines_are_short_and_name_no_machine(page):
    for number, line in enumerate(page.read_text().splitlines(), 1):
        assert len(line) <= 120 or line.startswith("|") or "](" in line, f"{page.name}:{number}"
        assert not re.search(r"/(work|tmp|root)/|\bissue\b|\bsession #", line), f"{page.name}:{number}"


@every_page
def test_links_lead_to_files_that_are_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        inside = (page.parent / target).resolve()
        if "://" not in target and inside.relative_to(DOCS).parts[0] not in BUILT:
            assert inside.is_file(), f"{page.name}: {target}"


@every_page
def test_files_and_folders_of_the_repository_that_are_named_exist(page):
    root = DOCS.parent
    for name in NAMED.findall(page.read_text()):
        known = (root / name).exists() or (root / "jaxattn" / name).exists()
        assert known or name.startswith(("tensorboard/", "runs/", "drive/")), f"{page.name}: {name}"


def test_every_figure_is_shown_with_a_text_and_drawn_by_the_script():
    shown = set()
    for page in PAGES:
        for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text()):
            assert len(text) > 20, f"{page.name}: {target}"
            shown.add((page.parent / target).resolve().name)
    assert shown == {path.name for path in DOCS.glob("*.png")}
