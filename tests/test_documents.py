"""What the documents show works as it stands."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from jaxattn import Config, fit
from jaxattn.capture import capture
from jaxattn.data import DATASETS
from jaxattn.screen import Screen

ROOT = Path(__file__).parents[1]


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_module_of_ones_own_from_the_architecture_page_trains_and_its_gate_is_captured(tmp_path, monkeypatch):
    (block,) = python_blocks("ARCHITECTURE.md")
    (tmp_path / "mine.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(DATASETS, "tiny", lambda data_dir: tiny.splits())
    config = Config(attention="mine:DeviationGate", dataset="tiny", epochs=1, batch_size=6, augment="none")
    run = fit(config, tmp_path / "run", Screen(quiet=True))
    seen = capture(run.model, run.variables, np.zeros((1, 32, 32, 3), np.float32))
    assert seen.gates.keys() == {"block1", "block2", "block3"}
    sys.modules.pop("mine")


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_documents_name_only_files_that_exist(name):
    text = (ROOT / name).read_text()
    for path in re.findall(r"`([a-z_]+/[a-z_]+\.py|[a-z_]+\.py)`", text):
        assert (ROOT / "jaxattn" / path).exists() or (ROOT / path).exists() or path == "mine.py", path
