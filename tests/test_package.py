"""The wheel, its facts, and what stands beside the package: nothing is missing, nothing is too much."""

import email
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import jaxattn

ROOT = Path(__file__).parent.parent
BESIDE = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml")
KEPT = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "jaxattn").rglob("*")
    if path.is_file() and path.suffix in (".py", ".typed", ".html", ".css", ".js", ".md")
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The built wheel and sdist; built in a copy, so that nothing is left in the checkout."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "jaxattn", folder / "jaxattn", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "golden"))
    (folder / "experiments" / "run").mkdir(parents=True)
    (folder / "experiments" / "run" / "result.json").write_text("{}")
    for name in BESIDE:
        shutil.copy(ROOT / name, folder)
    code = "from setuptools import build_meta as b; b.build_wheel('wheel'); b.build_sdist('sdist')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = (built / "wheel").iterdir()
    return zipfile.ZipFile(path)


def test_the_sdist_holds_the_package_what_builds_it_and_what_describes_it(built):
    (path,) = (built / "sdist").iterdir()
    assert path.name == f"jaxattn-{jaxattn.__version__}.tar.gz"
    with tarfile.open(path) as file:
        names = {member.name.partition("/")[2] for member in file if member.isfile()}
    package = {name for name in names if name.startswith("jaxattn/")}
    assert package == KEPT
    assert {name for name in names - package if ".egg-info/" not in name} == {*BESIDE, "PKG-INFO", "setup.cfg"}


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel):
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == KEPT
    assert sum(one.file_size for one in wheel.infolist()) < 3e6


def test_the_wheel_says_what_it_is(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    facts = email.message_from_bytes(wheel.read(name))
    assert facts["Version"] == jaxattn.__version__ and facts["License-Expression"] == "Apache-2.0"
    assert facts["Requires-Python"] == "<3.14,>=3.11"
    pythons = {line.rsplit(" ", 1)[1] for line in facts.get_all("Classifier") if "Python :: 3." in line}
    assert pythons == {"3.11", "3.12", "3.13"} and len(facts.get_all("Project-URL")) == 4
    entry = next(wheel.read(name) for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"jaxattn = jaxattn.cli.commands:main" in entry


def test_one_version_everywhere():
    assert "version" not in PROJECT["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == jaxattn.__version__
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert newest == jaxattn.__version__


def test_workflows_and_forms_are_yaml_and_call_what_is_there():
    yaml = pytest.importorskip("yaml")
    files = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github").rglob("*.yml")}
    assert {"ci.yml", "docs.yml", "release.yml", "bug.yml", "idea.yml"} <= files.keys()
    steps = [step.get("run", "") for step in files["ci.yml"]["jobs"]["ci"]["steps"]]
    assert ".ci/run" in steps and (ROOT / ".ci" / "run").stat().st_mode & 0o100
    for name in ("docs.yml", "release.yml"):
        assert files[name][True] == "workflow_dispatch"  # YAML reads the key "on" as true
    assert "jaxattn doctor" in str(files["bug.yml"])


def test_tests_that_are_listed_as_slow_are_there():
    for line in (ROOT / "tests" / "slow.txt").read_text().splitlines():
        seconds, name = line.split(maxsplit=1)
        file, _, test = name.partition("::")
        assert float(seconds) > 0 and f"def {test.partition('[')[0]}" in (ROOT / file).read_text(), name
