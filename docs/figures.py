"""Trains what the documentation shows, and draws its figures into `docs/`.

python docs/figures.py --work DIR    # about 5 minutes on two cores; what is trained already in DIR is not trained again

It needs Playwright and Chromium for the figure of a report; without Playwright that one is left as it is.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
EPOCHS = 6
PLOTS = {
    "se": ("curves", "confusion", "gates", "gates-by-class"),
    "cbam": ("features", "heatmap", "gates-by-position", "cam"),
}
WIDTH = 1000  # pixels of the browser


def run(*command):
    """Runs a module as a command, in the folder of the repository."""
    subprocess.run([sys.executable, "-m", *map(str, command)], check=True, cwd=DOCS.parent)


def train(work):
    """A run of each module of `PLOTS`, and a small comparison: both on the built-in shapes."""
    for name in PLOTS:
        if not (work / name / "report.html").exists():
            run("jaxattn.train", "--dataset", "shapes", "--attention", name, "--epochs", EPOCHS, "--out", work / name)
    few = ("--seeds", 4, "--dataset", "shapes", "--epochs", 2)
    run("jaxattn.comparison", "--attention", "none", "se", *few, "--out", work / "compared")


def draw(work):
    """The plots of both runs, every seed of both comparisons, and the explorer of a report."""
    for name, plots in PLOTS.items():
        chosen = ("--plot", *plots, "--images", 2, "--format", "png")
        run("jaxattn.visualize", work / name, *chosen, "--out", DOCS)
    shutil.copy(work / "compared" / "figures" / "seeds.png", DOCS / "seeds.png")
    run("experiments.studies", "print", "verdict", "--figure", DOCS / "verdict.png")
    explorer(work / "cbam" / "report.html", DOCS / "explorer.png")


def explorer(report, path):
    """The explorer of a report down to its maps, with a hexagon and the third convolution selected."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return print(f"Playwright is not installed: {path.name} stays as it is")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(report.resolve().as_uri())
        page.locator("#explorer label", has_text="hexagon").first.click()
        page.locator("input[name=layer][value=conv3]").check(force=True)
        page.evaluate("scrollTo(0, 0)")
        box = page.locator("#explorer").bounding_box()
        end = page.get_by_text("Feature maps of conv3", exact=True).first.bounding_box()["y"] - 12
        clip = {**box, "height": end - box["y"]}
        page.screenshot(path=path, clip=clip, full_page=True)
        browser.close()


def shrink():
    """Figures without transparency, packed as well as possible: no pixel changes."""
    for path in DOCS.glob("*.png"):
        Image.open(path).convert("RGB").save(path, optimize=True)


def main():
    """Runs the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    arguments = parser.parse_args()
    train(arguments.work.resolve())
    draw(arguments.work.resolve())
    shrink()


if __name__ == "__main__":
    main()
