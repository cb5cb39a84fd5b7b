"""The page of a comparison in a real browser: on a phone and a large screen, by keyboard, and printed."""

import dataclasses

import kinds
import numpy as np
import pytest
import tiny
from browser import CUT, FAINT, GROUND, SCHEMES, TINY, WIDTHS, fits, is_dark
from report_runs import QUICKLY, metrics, result, run

from jaxattn.comparison import page as comparison
from jaxattn.comparison import robustness_file
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.predictions import FILE, VERSION, basis, predictions
from jaxattn.comparison.results import Finished, accuracies
from jaxattn.comparison.robustness import Robustness, ViewInfo
from jaxattn.comparison.variants import file_names
from jaxattn.comparison.verdict import Earlier, judge
from jaxattn.config import Config
from jaxattn.data import shapes
from jaxattn.explain.knockout import CONDITIONS
from jaxattn.robustness.corruptions import SEVERITIES
from jaxattn.runs import checkpoint
from jaxattn.runs.manifest import Manifest

pytestmark = pytest.mark.usefixtures("small_network")
MANY = ("hundred", "thousand")  # classes
VARIANTS, SEEDS, EPOCHS = ("none", "se", "wide:se", "channel+spatial"), 8, 16
LEGIBLE, PAPER = 9, 718  # pixels: the height of letters that can be read, the width of A4 within Chromium's margins
EVEN_SCROLLING = CUT.replace(".scroll, ", "")

# Texts of figures, which are outlines: their size in pixels, and their colour.
DRAWN = """() => [...document.querySelectorAll(".drawn g[id^=text_] > g")].map((one) => {
  const { a, b } = one.getScreenCTM();
  return { size: 100 * Math.hypot(a, b), fill: getComputedStyle(one).fill };
})"""
FOCUSED = """() => {
  const one = document.activeElement, box = one.getBoundingClientRect();
  const inside = box.left >= 0 && box.top > -1 && box.left < innerWidth && box.top < innerHeight;
  return [one.tagName, inside && getComputedStyle(one).outlineStyle];
}"""


def finished(folder, variant, seed, test, spec=tiny.SPEC):
    """A run as its folder holds it, made up: nothing is trained."""
    random = np.random.default_rng([seed, VARIANTS.index(variant)])
    config = Config(attention=variant, seed=seed, dataset="drawn", epochs=EPOCHS)
    folder = folder / f"{file_names(VARIANTS)[variant]}-s{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    right = random.random(len(test)) < 0.8 + 0.08 * (variant == "se")
    answers = dict.fromkeys(
        CONDITIONS[: 1 if variant == "none" else None],
        np.where(right, test.labels, (test.labels + 1) % len(spec.classes)),
    )
    np.savez(folder / FILE, of=f"{VERSION} 0 {checkpoint.digest(folder, 2)}", **answers)
    made_up = {"test_accuracy": right.mean().item(), "dataset_hash": "0", "seconds": 60, "parameters": 9}
    lines = [{**line, "images_per_second": 1e3} for line in metrics(EPOCHS)]
    manifest = Manifest(config, spec, "0")
    return Finished(folder, config, result(config) | made_up, lines, manifest)


def written(folder, variants, seeds, test, spec=tiny.SPEC, missing=()):
    """The address of a page on runs that are made up."""
    runs = {one: {seed: finished(folder, one, seed, test, spec) for seed in range(seeds)} for one in variants}
    for variant, seed in missing:
        del runs[variant][seed]
    names = {f"{file_names(VARIANTS)[one]}-s{seed}": one for one in variants for seed in range(seeds)}
    plan = Plan(runs["none"][0].config, variants, (seeds,), earlier=(Earlier((4,)),) if missing else ())
    table = judge(accuracies(runs), "none", (seeds,), len(test))
    seen = (
        ViewInfo("test images", 0, len(test)),
        *(ViewInfo("noise", severity, len(test)) for severity in SEVERITIES),
    )
    measured = {
        one: {seed: [{"accuracy": 0.8 - 0.01 * i * seed} for i in range(6)] for seed in by_seed}
        for one, by_seed in runs.items()
    }
    of = {one: {seed: basis(run) for seed, run in by_seed.items()} for one, by_seed in runs.items()}
    robustness_file.write(folder, Robustness(seen, measured, of))

    def load(of, **options):
        return dataclasses.replace(run(names[of.name], spec.classes, spec.image_shape[:2]), spec=spec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jax.jit", QUICKLY)
        for module in ("explain.analysis", "comparison.predictions"):
            patch.setattr(f"jaxattn.{module}.check_accuracy", lambda *result: None)  # those of `run` are made up
        patch.setattr(comparison.canvas, "write", lambda figure, path: None)  # only the page is looked at
        for module in ("page", "vital_signs"):
            patch.setattr(f"jaxattn.comparison.{module}.load_run", load)
        predicted = {name: {seed: predictions(run, test) for seed, run in by.items()} for name, by in runs.items()}
        return comparison.write_page(folder, plan, runs, table, test, {}, predicted=predicted).as_uri()


@pytest.fixture(scope="module")
def pages(small_network, tmp_path_factory):
    """Addresses: of a page with every section, of an extended comparison in which one run is missing; and of others."""
    folder, test = tmp_path_factory.mktemp("a folder & more"), shapes.make(train=10, test=400).test
    report = folder / "se-s0" / "report.html"
    report.parent.mkdir()
    report.write_text("<!DOCTYPE html><link rel=icon href=data:,><title>a report</title>")
    every = written(folder, VARIANTS, SEEDS, test, missing=[("channel+spatial", 3)])
    found = {"page": every, "report": report.as_uri()}
    for kind in MANY:
        found[kind] = written(folder / kind, ("none", "se"), 3, kinds.splits(kind).test, kinds.KINDS[kind][0])
    return found


def has_contrast(page):
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert page.evaluate(FAINT) == [] and {text["fill"] for text in page.evaluate(DRAWN)} == {ink}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["page", *MANY])
def test_nothing_is_cut_off_and_every_text_is_legible(opened, name, width, scheme):
    page = opened(name, width, color_scheme=scheme)
    page.locator("details").evaluate_all("all => { all.forEach((one) => { one.open = true; }); }")
    assert page.locator("section").count() == 1 + len(comparison.SECTIONS)
    fits(page)
    has_contrast(page)
    assert min(text["size"] for text in page.evaluate(DRAWN)) >= LEGIBLE and page.evaluate(TINY) == []
    assert is_dark(page) == (scheme == "dark")
    assert width < max(WIDTHS) or page.evaluate(EVEN_SCROLLING) == []


@pytest.mark.parametrize("name", MANY)
def test_the_table_of_classes_is_searched(opened, name):
    page, spec = opened(name, min(WIDTHS)), kinds.KINDS[name][0]
    assert page.locator(".listed tbody tr").count() == len(spec.classes)
    page.locator(".listed input").fill(spec.classes[17])
    assert spec.classes[17] in page.locator(".listed tbody tr:not([hidden]) th").all_inner_texts()
    assert page.locator(".listed output").inner_text() == f"1 of {len(spec.classes)} classes"


def test_everything_is_reached_by_keyboard_and_shows_the_focus(opened):
    page = opened("page", min(WIDTHS), reduced_motion="reduce")
    for _ in range(interactive := page.locator("a, summary, [tabindex]").count()):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUSED)
        assert outline == "solid", name
        if name == "SUMMARY":
            page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED)[0] == "A" and interactive > 10  # the link to a report, in the list that was opened
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.title() == "a report"


def test_links_lead_to_sections_and_by_relative_paths_to_reports_that_are_there(opened):
    page = opened("page")
    links = page.locator("a").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    inside = [link for link in links if link.startswith("#")]
    assert all(page.locator(link).count() == 1 for link in inside)
    assert [link for link in links if link not in inside] == ["se-s0/report.html"]


def test_links_to_sections_stay_within_the_frame_of_a_notebook(opened):
    page = opened("page")
    page.evaluate("""() => {
      const frame = document.createElement("iframe");
      frame.srcdoc = document.documentElement.outerHTML;
      document.body.replaceChildren(frame);
      return new Promise((done) => { frame.onload = done; });
    }""")
    frame = page.frames[1]
    frame.click('nav a[href="#differences"]')
    assert frame.url == "about:srcdoc" and frame.evaluate("document.activeElement.id") == "differences"


def test_the_printed_page_is_complete_and_light(opened):
    page = opened("page", PAPER, color_scheme="dark")
    page.emulate_media(media="print")
    assert all(table.is_visible() for table in page.locator("details table").all())
    assert not page.locator("nav").is_visible()
    assert page.evaluate(GROUND) == "rgb(255, 255, 255)" and page.evaluate(EVEN_SCROLLING) == []
    has_contrast(page)
