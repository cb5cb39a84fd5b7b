"""Every reader of files of others, given mutations of a valid file and anything else: a value, or one line."""

import json
import random
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.fuzz.readers import IMAGES_OF, READERS, mutated
from jaxattn.errors import InputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
AS_JSON = (
    *("config", "result", "plan", "export", "tfds-info", "tfds-features"),
    *("tuning", "failure", "other images", "gates", "robustness"),
)
MEMORY, OF_IMAGES = 512 << 20, 2 << 30  # bytes that a reader may take for these small files
PEAK = Path("/proc/self/clear_refs")
EXAMPLES = settings.default.max_examples  # of the profile, in conftest.py


@pytest.fixture(scope="module", params=READERS)
def subject(request, tmp_path_factory):
    """A reader, a valid file and its path."""
    reader = READERS[request.param]
    path = reader.write(tmp_path_factory.mktemp("fuzz"))
    return request.param, reader, path.read_bytes(), path


@pytest.fixture(autouse=True)
def peak(subject):
    """No reader takes more memory than that, where Linux measures it."""
    try:
        PEAK.write_text("5")  # resets the peak to the memory that is used now
    except OSError:
        yield
        return
    before = peak_memory()
    yield
    assert peak_memory() - before < (OF_IMAGES if subject[0] in IMAGES_OF else MEMORY)


def peak_memory():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def assert_read_or_refused(reader, path, content):
    path.write_bytes(reader.pack(content, path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other libraries
        try:
            reader.read(path)
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000
            str(error).encode()


def test_a_valid_file_is_read(subject):
    _, reader, content, path = subject
    path.write_bytes(reader.pack(content, path))
    reader.read(path)


def test_a_mutated_file_is_read_or_refused_in_one_line(subject):
    _, reader, content, path = subject

    @given(st.integers(0, 2**64))
    def check(seed):
        assert_read_or_refused(reader, path, mutated(content, random.Random(seed)))

    check()


def test_arbitrary_bytes_are_read_or_refused_in_one_line(subject):
    _, reader, _, path = subject

    @given(st.binary(max_size=200))
    def check(content):
        assert_read_or_refused(reader, path, content)

    check()


def test_json_with_another_value_anywhere_is_read_or_refused_in_one_line(subject):
    name, reader, content, path = subject
    if name not in AS_JSON:
        return

    @settings(max_examples=5 * EXAMPLES)
    @given(st.integers(0, 2**64), JSON)
    def check(seed, value):
        values, rng = json.loads(content), random.Random(seed)
        inner = values
        while True:
            key = rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if not isinstance(inner[key], dict | list) or not inner[key] or rng.random() < 0.5:
                break
            inner = inner[key]
        inner[key] = value
        assert_read_or_refused(reader, path, json.dumps(values).encode())

    check()
