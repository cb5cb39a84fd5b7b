"""The documentation's site: it builds without a warning, says what it should, and asks no other host for anything.

It needs `pip install -e '.[docs]'`. Without that its tests are skipped.
"""

import functools
import html
import http.server
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from browser import SCHEMES, WIDTHS, browser, is_dark  # noqa: F401

import jaxattn
from jaxattn import describe
from jaxattn.attention.registry import ATTENTION
from jaxattn.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
NEEDED = ("mkdocs", "material", "mkdocstrings")
MODULES = [name for name in ATTENTION if name != "none"]
OPENED = ("", "modules/", "modules/sk/", "reference/api/", "reference/commands/")

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason="needs pip install 'jaxattn[docs]'"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with --strict."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    for part in ("jaxattn", "tests", "experiments"):
        (folder / part).symlink_to(ROOT / part)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1", "TFDS_DATA_DIR": "/elsewhere"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


def text_of(page):
    return html.unescape(re.sub(r"<[^>]*>", "", page.read_text()))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_page_with_its_formula_paper_drawing_and_verdict(site, name):
    page = site / "modules" / name / "index.html"
    text, module = text_of(page), getattr(ATTENTION[name], "func", ATTENTION[name])
    assert module.formula in text and (module.paper in text or module.paper == "control")
    assert f"Data flow of {name}" in page.read_text() and "Did it help?" in text and f'ATTENTION["{name}"]()' in text
    assert module.differs in " ".join(text.split())
    summary = inspect.cleandoc(module.__doc__).split("\n\n")[0].replace("`", "")
    assert " ".join(summary.split()) in " ".join(text.split())
    assert f'href="{name}/"' in (site / "modules" / "index.html").read_text()


@pytest.mark.parametrize("name", ["se", "sk"])
def test_a_page_has_the_verdicts_that_were_measured(site, name):
    text = " ".join(text_of(site / "modules" / name / "index.html").split())
    for sentence in describe.verdicts(describe.describe(name)):
        assert sentence in text


def test_every_flag_of_every_command_is_explained(site):
    text = text_of(site / "reference" / "commands" / "index.html")
    for name, command in COMMANDS.items():
        assert f"usage: jaxattn {name}" in text
        for flag in importlib.import_module(command.module).parser()._option_string_actions:
            assert flag in text, f"{name} {flag}"
    assert "/elsewhere" not in text and str(Path.home()) not in text


def test_every_public_name_is_explained_and_listed(site):
    page = (site / "reference" / "api" / "index.html").read_text()
    for name in jaxattn.__all__:
        assert re.search(rf'id="jaxattn[\w.]*\.{name}"', page), name
    assert "jaxattn.load_run: folder, which" in text_of(site / "reference" / "stability" / "index.html")


def test_no_page_loads_anything_from_another_host(site):
    for page in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|img|iframe|source|link)\b[^>]*>", page.read_text()):
            assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag) or 'rel="canonical"' in tag, (
                f"{page}: {tag}"
            )
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text()), sheet


@pytest.fixture(scope="module")
def address(site):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_pages_fit_raise_no_error_and_ask_no_other_host(browser, address, width, scheme):  # noqa: F811
    errors, fetched = [], set()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: fetched.add(request.url))
    for name in OPENED:
        page.goto(address + name, wait_until="networkidle")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), name
        assert is_dark(page) == (scheme == "dark")
    context.close()
    assert errors == []
    assert [one for one in fetched if not one.startswith((address, "data:", "blob:"))] == []


def test_the_search_finds_a_module(browser, address):  # noqa: F811
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").press_sequentially("nosqueeze")
    page.locator(".md-search-result__link").first.wait_for(timeout=10_000)
    assert "modules/nosqueeze/" in page.locator(".md-search-result__link").first.get_attribute("href")
    page.close()
