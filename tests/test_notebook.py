"""The notebook and its text are one; `experiments/colab/run.py` runs it, in CI on Colab's versions."""

import ast
from pathlib import Path

import jupytext
import pytest

FOLDER = Path(__file__).parents[1] / "experiments" / "colab"


@pytest.fixture(scope="module")
def cells():
    return jupytext.read(FOLDER / "jaxattn.ipynb").cells


def test_the_notebook_is_its_text_and_holds_no_output(cells):
    text = jupytext.read(FOLDER / "jaxattn.py").cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [(cell.cell_type, cell.source) for cell in text]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_every_code_cell_has_a_promise_that_is_checked(cells):
    tree = ast.parse((FOLDER / "run.py").read_text())
    (promises,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "PROMISES"
    )
    assert len(promises.elts) == sum(cell.cell_type == "code" for cell in cells)
