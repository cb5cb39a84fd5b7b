"""Pages in a real browser: opened from disk, on a phone and a large screen, in both colour schemes.

It needs Playwright (`pip install -e '.[browser]'`) and a Chromium on the path. Without them its tests are skipped,
unless JAXATTN_BROWSER=1 asks for them.
"""

import os
import shutil

import pytest

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SCHEMES, WIDTHS = ("light", "dark"), (390, 1280)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

GROUND = "getComputedStyle(document.body).backgroundColor"

# What is shown and does not fit: texts wider than their element, and elements that leave the page, but for what lies in
# a box that scrolls, and for what only screen readers see.
CUT = """() => {
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const aside = element.closest(".scroll, .hidden, .quiet, .skip, script, style, noscript");
    if (aside || !element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    const name = `${element.outerHTML.slice(0, 60)} ${element.textContent.trim().slice(0, 30)}`;
    if (box.right > innerWidth + 1 || box.left < -1) found.push(`${name}: ${box.left} to ${box.right}`);
    const cuts = getComputedStyle(element).overflowX !== "visible";
    if (cuts && !(element instanceof SVGElement) && element.scrollWidth > Math.max(element.clientWidth, 1) + 1)
      found.push(`${name}: ${element.scrollWidth} in ${element.clientWidth}`);
  }
  return found;
}"""

# Texts whose contrast with what lies behind them is below 4.5 to 1.
FAINT = """() => {
  const numbers = (colour) => {
    const parts = colour.match(/[\\d.]+/g).map(Number);
    const scale = colour.startsWith("color(") ? 1 : 255;
    return [...parts.slice(0, 3).map((part) => part / scale), parts[3] ?? 1];
  };
  const light = ([r, g, b]) => {
    const line = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * line(r) + 0.7152 * line(g) + 0.0722 * line(b);
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const ground = numbers(getComputedStyle(one).backgroundColor);
      if (ground[3] > 0.99) return ground;
    }
    return [1, 1, 1, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest("script, style, noscript, .hidden, .quiet") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [numbers(element instanceof SVGElement ? style.fill : style.color), behind(element)].map(light);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${text.slice(0, 30)}: ${contrast.toFixed(2)}`);
  }
  return found;
}"""


# Texts that are smaller than can be read.
TINY = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("script, style, noscript, .hidden, .quiet")) continue;
    if (!element.checkVisibility()) continue;
    const scale = element instanceof SVGElement ? element.getScreenCTM().a : 1;
    const size = scale * Number.parseFloat(getComputedStyle(element).fontSize);
    if (size < 9) found.push(`${walker.currentNode.textContent.trim().slice(0, 30)}: ${size}`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    wanted = os.environ.get("JAXATTN_BROWSER") == "1"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if wanted:
            raise
        pytest.skip("Playwright is not installed")
    if CHROMIUM is None and not wanted:
        pytest.skip("no Chromium on the path")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def opened(browser, pages):
    """Opens one of the module's `pages` (addresses by name); at the end, there must be no error and no request."""
    contexts, errors, fetched = [], [], set()

    def go(name, width=1280, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: fetched.add(request.url))
        page.goto(pages[name])
        return page

    yield go
    for context in contexts:
        context.close()
    assert errors == []
    assert {address for address in fetched if not address.startswith("data:")} <= set(pages.values())


def fits(page):
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(CUT) == []


def is_dark(page):
    return int(page.evaluate(GROUND).split("(")[1].split(",")[0]) < 80
