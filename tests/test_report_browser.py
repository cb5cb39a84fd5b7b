"""The report in a real browser, used by mouse and keyboard; with JAXATTN_REPORT, that report (`-k named`)."""

import dataclasses
import os
from pathlib import Path

import kinds
import pytest
from browser import CUT, FAINT, GROUND, SCHEMES, TINY, WIDTHS, fits, is_dark
from report_runs import run
from test_report import quickly  # noqa: F401

from jaxattn.data import shapes
from jaxattn.data.cifar10 import CLASSES
from jaxattn.explain import analysis
from jaxattn.report.page import render

PAGES = ["named"] if "JAXATTN_REPORT" in os.environ else ["one", "several"]
MANY = [] if "JAXATTN_REPORT" in os.environ else ["hundred", "thousand"]  # classes


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Addresses of reports, by name."""
    if "JAXATTN_REPORT" in os.environ:
        return {"named": Path(os.environ["JAXATTN_REPORT"]).resolve().as_uri()}
    folder = tmp_path_factory.mktemp("a folder & more")
    splits = shapes.make(train=10, test=40)
    options = {"shape": (32, 32), "widths": (6, 20)}
    longer = {**options, "classes": CLASSES}
    runs = {
        "one": [run("cbam", classes=splits.classes, **options)],
        "several": [run("se", recipe="original", **longer), run("none", **longer)],
    }
    reports = {name: (some, splits.test) for name, some in runs.items()}
    for kind in MANY:
        spec, test = kinds.KINDS[kind][0], kinds.splits(kind).test
        of = run("se", classes=spec.classes, shape=spec.image_shape[:2], widths=(6, 20))
        reports[kind] = [dataclasses.replace(of, spec=spec)], test
    files = {}
    for name, given in reports.items():
        files[name] = folder / f"{name}.html"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(analysis, "check_accuracy", lambda *result: None)  # those of `report_runs` are made up
            files[name].write_text(render(*given), encoding="utf-8")
    return {name: path.as_uri() for name, path in files.items()}


def shown(page):
    """What the explorer shows: images, texts."""
    return page.locator("#views").inner_html()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*PAGES, *MANY])
def test_nothing_is_cut_off_and_every_text_has_contrast(opened, name, width, scheme):
    page = opened(name, width, color_scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    for layer in page.locator("input[name=layer]").all():
        layer.check(force=True)
        fits(page)
    assert page.evaluate(FAINT) == [] and page.evaluate(TINY) == []
    assert is_dark(page) == (scheme == "dark")
    broken = "all => all.filter((one) => !one.complete || !one.naturalWidth).length"
    assert page.locator("img").evaluate_all(broken) == 0


@pytest.mark.parametrize("name", PAGES)
def test_explorer_follows_the_mouse(opened, name):
    page = opened(name)
    before, status = shown(page), page.locator("#status").inner_text()
    assert page.locator("#views .stack").count() >= 3 and page.locator("#views .features img").count() >= 1
    page.locator(".thumbs label").nth(3).click()
    assert page.locator("input[name=image]").nth(3).is_checked()
    assert shown(page) != before and page.locator("#status").inner_text() != status
    assert page.locator(".thumbs img").nth(3).get_attribute("src") == page.locator(
        ".prediction img"
    ).first.get_attribute("src")
    before = shown(page)
    page.locator(".segments label").first.click()
    assert shown(page) != before and "conv1" in page.locator("#status").inner_text()
    bars = page.locator("#views .view").first.locator(".bars .number").all_inner_texts()
    assert len(bars) == 5 and all(bar.endswith("%") for bar in bars)


@pytest.mark.parametrize("name", PAGES)
def test_explorer_follows_the_keyboard_and_shows_the_focus(opened, name):
    page = opened(name)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "image":
            break
    status = page.locator("#status").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("input[name=image]").nth(1).is_checked() and page.locator("#status").inner_text() != status
    outline = "getComputedStyle(document.activeElement.closest('label')).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Tab")
    before = page.locator("input[name=layer]:checked").get_attribute("value")
    page.keyboard.press("ArrowLeft")
    after = page.locator("input[name=layer]:checked").get_attribute("value")
    assert before != after and after in page.locator("#status").inner_text() and page.evaluate(outline) == "solid"
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    assert page.locator("#views .over").first.evaluate("one => one.style.opacity") == "0"
    page.keyboard.press("End")
    assert page.locator("#views .over").first.evaluate("one => one.style.opacity") == "1"


@pytest.mark.parametrize("name", PAGES)
def test_a_mistake_leads_to_the_explorer(opened, name):
    page = opened(name)
    button = page.locator("button[data-index]:visible").first
    index = button.get_attribute("data-index")
    button.press("Enter")
    assert f"Test image {index}," in page.locator("#status").inner_text()
    assert page.evaluate("document.activeElement.name") == "image"


@pytest.mark.parametrize("name", MANY)
def test_the_table_of_classes_is_searched_and_sorted_by_keyboard(opened, name):
    page, spec = opened(name, min(WIDTHS)), kinds.KINDS[name][0]
    rows, found = page.locator(".listed tbody tr"), page.locator(".listed output")
    assert (
        rows.count() == len(spec.classes)
        and found.inner_text() == f"{len(spec.classes)} of {len(spec.classes)} classes"
    )
    wanted = spec.classes[17]
    page.locator(".listed input").press_sequentially(f" {wanted[:-1].upper()}  {wanted[-1]}")
    shown = page.locator(".listed tbody tr:not([hidden]) th").all_inner_texts()
    assert wanted in shown and len(shown) < 40 and found.inner_text().startswith(f"{len(shown)} of ")
    page.locator(".listed input").fill("no such class")
    assert found.inner_text().startswith("0 of ")
    page.locator(".listed input").fill("")
    for column, names in ((0, sorted(spec.classes)), (1, None)):
        head = page.locator(".listed thead th").nth(column)
        head.locator("button").press("Enter")
        cells = page.locator(".listed tbody tr").evaluate_all(f"all => all.map((row) => row.cells[{column}].innerText)")
        if names is None:
            values = [float(cell.rstrip("%")) for cell in cells if cell != "–"]
            assert values == sorted(values) and "–" not in cells[: len(values)]
        else:
            assert cells == names
        assert head.get_attribute("aria-sort") == "ascending"
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == "descending"


def test_without_javascript_everything_but_the_explorer_is_shown(opened):
    page = opened("one", java_script_enabled=False)
    assert page.locator("noscript").is_visible() and not page.locator(".needs-script").is_visible()
    for part in (".big", ".chart svg", ".matrix", ".thumbs img", ".atlas img", ".gallery img", ".numbers", "pre"):
        assert page.locator(part).first.is_visible(), part
    assert not page.locator("button:visible").count()


def test_a_printed_page_is_complete_and_light_and_has_no_controls(opened):
    page = opened("several", 760, color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator(".controls").is_visible() and not page.locator("nav").is_visible()
    assert page.locator("details table").first.is_visible() and page.locator("#views .stack").first.is_visible()
    assert all(head.inner_text().strip() for head in page.locator(".listed thead th").all())
    assert page.evaluate(GROUND) == "rgb(255, 255, 255)"
    assert page.evaluate(CUT.replace(".scroll, ", "")) == [] and page.evaluate(FAINT) == []
