"""Mutation testing: how many small changes of the code does some test notice?

    python -m experiments.mutation --cover            # which test runs which line: the whole suite, once
    python -m experiments.mutation --sample 200       # test 200 more mutants; results are kept
    python -m experiments.mutation --survivors --seconds 60   # test those that survived again, by more tests
    python -m experiments.mutation --print            # what survived

Cosmic Ray makes the mutants. It would start a new Python for each, which takes seconds to import JAX; here each mutant
is tested in a fork of a process that has imported everything, by the tests that run its line, the fastest first, for a
limited time. This needs `pip install cosmic-ray pytest-cov`, and a system that can fork.
"""

import argparse
import ast
import collections
import functools
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
PACKAGES = ("training", "runs", "comparison", "explain")
COVERAGE, TIMES = ROOT / ".pytest_cache" / "mutation.coverage", ROOT / ".pytest_cache" / "mutation.xml"
# One replacement of each operator; Cosmic Ray has ten, which the same tests notice.
OPERATORS = re.compile(
    "core/(ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul|BitAnd_BitOr)"
    "|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is)"
    "|ReplaceUnaryOperator_(USub_UAdd|Delete_Not|Delete_Invert)|AddNot|NumberReplacer|ReplaceTrueWithFalse"
    "|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue|ReplaceContinueWithBreak"
    "|ZeroIterationForLoop)"
)
EARLY = "ignore::pytest.PytestAssertRewriteWarning"  # about modules that were imported before pytest
LEFT = ("survived", "no test")
CONTROLS = 3  # lines whose tests must pass without a mutant, before any is tested
PRELOADED = (
    "jax", "jax.experimental.multihost_utils", "flax.linen", "optax", "scipy.stats", "matplotlib.figure", "pytest",
    "chex", "beartype", "rich", "jaxtyping", "PIL.Image", "safetensors.numpy", "jinja2", "hypothesis",
)  # fmt: skip


class Mutant(NamedTuple):
    """A change of one position in a file: the n-th position where an operator can change something.

    Attributes:
        path, line, operator, occurrence: which one. Lines and occurrences count from the start of the file.
        key: identifies the mutant, as long as the function around it, or the statement outside any, does not change.
    """

    path: str
    line: int
    operator: str
    occurrence: int
    key: str

    def code(self) -> str | None:
        """The file with this change; None if the operator changes nothing there."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        return mutate_code((ROOT / self.path).read_text(), get_operator(self.operator)(), self.occurrence)


def mutants() -> list[Mutant]:
    """All mutants of the packages, in a fixed order."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    everything = []
    for path in sorted(path for package in PACKAGES for path in (ROOT / "jaxattn" / package).glob("*.py")):
        nodes, relative = list(ast_nodes(get_ast(path.read_text()))), str(path.relative_to(ROOT))
        for name in sorted(filter(OPERATORS.fullmatch, operator_names())):
            operator = get_operator(name)()
            positions = [start for node in nodes for start, _ in operator.mutation_positions(node)]
            seen: collections.Counter[str] = collections.Counter()
            for occurrence, (line, _) in enumerate(positions):
                if name == "core/NumberReplacer" and occurrence % 2:  # n + 1 is enough, without n - 1
                    continue
                around = f"{relative} {name} {source_around(path, line)}"
                seen[around] += 1
                key = hashlib.sha256(f"{around} {seen[around]}".encode()).hexdigest()[:16]
                everything.append(Mutant(relative, line, name, occurrence, key))
    return everything


@functools.cache
def _statements(path: Path) -> list[tuple[int, int]]:
    """The first and last lines of the statements of a file and of its classes."""
    bodies = [ast.parse(path.read_text()).body]
    bodies += [statement.body for statement in bodies[0] if isinstance(statement, ast.ClassDef)]
    return [(statement.lineno, statement.end_lineno or 0) for body in bodies for statement in body]


def source_around(path: Path, line: int) -> str:
    """The source of the function or method at a line of a file, or of the statement that is in none."""
    around = (ends for ends in _statements(path) if ends[0] <= line <= ends[1])
    first, last = min(around, key=lambda ends: ends[1] - ends[0], default=(line, line))  # a decorator
    return "\n".join(path.read_text().splitlines()[first - 1 : last])


def cover() -> None:
    """Runs the suite once and records which test runs which line, and how long each test takes."""
    COVERAGE.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--cov=jaxattn", "--cov-context=test", "--cov-report="]
    environment = os.environ | {"COVERAGE_FILE": str(COVERAGE)}
    subprocess.run([*command, f"--junitxml={TIMES}"], cwd=ROOT, env=environment, check=False)


def tests_of_lines(seconds: float) -> dict[tuple[str, int], list[str]]:
    """The tests that run a line of a file, the fastest first, for so many seconds; for line 0, those that run any."""
    import coverage

    data = coverage.CoverageData(str(COVERAGE))
    data.read()
    times = {}
    for case in xml.etree.ElementTree.parse(TIMES).iter("testcase"):
        times[f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"] = float(case.get("time", 0))
    chosen = {}
    for file in data.measured_files():
        path = file[file.rindex("jaxattn/") :]
        by_line = {
            line: {context.rpartition("|")[0] for context in contexts if context}
            for line, contexts in data.contexts_by_lineno(file).items()
        }
        by_line[0] = set().union(*by_line.values())  # lines that run on import belong to no test
        for line, names in by_line.items():
            total, kept = 0.0, []
            for name in sorted(names & times.keys(), key=times.__getitem__):
                total += times[name]
                if kept and total > seconds:
                    break
                kept.append(name)
            chosen[path, line] = kept
    return chosen


def outcome(target: Path, code: str, tests: list[str], copy: Path, seconds: float) -> str:
    """Whether a test notices changed code in a file: "survived", "killed", "killed by an error" or "timeout"."""
    original = target.read_text()
    target.write_text(code)
    child = os.fork()
    if not child:
        status = 1
        try:  # the child must not run the parent's cleanup
            status = _run_tests(tests, copy)
        finally:
            os._exit(status)
    started = time.monotonic()
    try:
        while time.monotonic() - started < 60 + 4 * seconds:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return {0: "survived", 1: "killed"}.get(os.waitstatus_to_exitcode(status), "killed by an error")
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "timeout"
    finally:
        target.write_text(original)


def _run_tests(tests: list[str], copy: Path) -> int:
    import pytest

    os.setsid()
    os.chdir(copy)
    sys.path[:0] = [str(copy), str(copy / "tests")]
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:cov", "-W", EARLY, *tests]))


def preload() -> None:
    """Imports what every test imports, but nothing that starts JAX's backend: its threads do not survive a fork."""
    for name in PRELOADED:
        __import__(name)


def test_sample(count: int, part: tuple[int, int], seconds: float, survivors: bool) -> None:
    """Tests mutants in a random order: those without a result, or those that survived fewer seconds of tests.

    Args:
        count: how many.
        part: the number of this process, from 0, and how many divide the mutants among themselves.
        seconds: of the tests of one mutant, as timed when coverage was measured.
        survivors: whether to test those that survived.
    """
    lines = tests_of_lines(seconds)
    known = {result["key"]: result for result in results()}
    again = {key for key, one in known.items() if one["outcome"] in LEFT and one.get("limit", 45) < seconds}
    left = [mutant for mutant in mutants() if (mutant.key in again if survivors else mutant.key not in known)]
    random.Random(0).shuffle(left)
    left = left[part[0] :: part[1]]
    preload()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".pytest_cache" / "compiled")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy.mkdir()
        for name in ("jaxattn", "tests", "experiments", "docs", "pyproject.toml", "README.md", "ARCHITECTURE.md"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        for line, tests in random.Random(0).sample(sorted(lines.items()), CONTROLS):
            if tests and outcome(copy / line[0], (ROOT / line[0]).read_text(), tests, copy, seconds) != "survived":
                sys.exit(f"{tests} fail without a mutant")
        for mutant in left[:count]:
            code, started = mutant.code(), time.monotonic()
            if code is None or code == (ROOT / mutant.path).read_text():
                continue
            tests = lines.get((mutant.path, mutant.line)) or lines.get((mutant.path, 0), [])
            noticed = outcome(copy / mutant.path, code, tests, copy, seconds) if tests else "no test"
            changed = code.splitlines()[mutant.line - 1].strip()
            result = {**mutant._asdict(), "code": changed, "outcome": noticed}
            result |= {"seconds": round(time.monotonic() - started, 1), "limit": seconds}
            with RESULTS.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{noticed:9s} {mutant.path}:{mutant.line}: {changed}", flush=True)


def results() -> list[dict[str, Any]]:
    """The results so far of the mutants that there are now, the last one of each."""
    lines = map(json.loads, RESULTS.read_text().splitlines()) if RESULTS.exists() else ()
    latest = {result["key"]: result for result in lines}
    return [latest[mutant.key] for mutant in mutants() if mutant.key in latest]


def show() -> None:
    """Prints the fraction of mutants that was noticed, by package, and the mutants that were not."""
    tested, by_package = results(), collections.defaultdict(list)
    for result in tested:
        by_package[result["path"].split("/")[1]].append(result)
    for package, some in sorted(by_package.items()):
        noticed = sum(result["outcome"] not in LEFT for result in some)
        print(f"{package}: {noticed} of {len(some)} noticed ({noticed / len(some):.0%})")
    for result in tested:
        if result["outcome"] in LEFT:
            print(f"{result['outcome']}: {result['path']}:{result['line']} {result['operator']}: {result['code']}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation testing.")
    parser.add_argument("--cover", action="store_true", help="measure which test runs which line")
    parser.add_argument("--sample", type=int, metavar="N", default=0, help="test N more mutants")
    parser.add_argument(
        "--survivors", action="store_true", help="test those that survived fewer seconds of tests again"
    )
    parser.add_argument("--seconds", type=float, metavar="S", default=15, help="of tests for each mutant (default: 15)")
    parser.add_argument("--part", metavar="I/N", default="0/1", help="of several processes at once (default: 0/1)")
    parser.add_argument("--print", action="store_true", help="print the results so far")
    flags = parser.parse_args()
    if flags.cover:
        cover()
    if flags.sample or flags.survivors:
        part, parts = map(int, flags.part.split("/"))
        test_sample(flags.sample or 10**6, (part, parts), flags.seconds, flags.survivors)
    if flags.print:
        show()


if __name__ == "__main__":
    main()
