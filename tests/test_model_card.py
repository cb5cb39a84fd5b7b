"""The model card of an export: what the Hub reads, and what a person does."""

import dataclasses
import re

import numpy as np
import pytest
import yaml
from exported import IMAGES, RESULT, SHAPE, python_block, run_of, write

from jaxattn.exports import safetensors

pytestmark = pytest.mark.usefixtures("small_network")
UNEQUAL = {"test_balanced_accuracy": 0.5, "test_images_by_class": [9, 1]}


def front_matter(card):
    _, head, body = card.decode().split("---\n", 2)
    return yaml.safe_load(head), body


def test_model_card_has_the_metadata_of_the_hub_and_the_interval():
    card = safetensors.contents(run_of("cbam", RESULT, seed=5), SHAPE)["README.md"]
    assert card.startswith(b"---\n")
    head, body = front_matter(card)
    assert (head["license"], head["library_name"]) == ("apache-2.0", "jaxattn")
    assert {"image-classification", "jax", "cbam"} <= set(head["tags"])
    (result,) = head["model-index"][0]["results"]
    assert (result["task"]["type"], result["dataset"]["type"]) == ("image-classification", "tiny")
    assert "`tiny`: 160 training and 40 test images of 32x32 pixels (height x width) in 10 classes." in body
    assert body.count("Krizhevsky 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>") == 2  # what `Spec.source` says
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("accuracy", 0.75)]
    # Wilson 1927 for 30 of 40, computed by hand: (0.75 + z²/80 ± z sqrt(0.75 · 0.25/40 + z²/6400)) / (1 + z²/40)
    assert "Test accuracy 75.00 %, 95 % Wilson interval 59.81 to 85.81 %, n = 40 test images, one seed (5)" in body
    assert "x' = channel(x); spatial(x')" in body and "Intended use and limits" in body
    assert "monitored" not in body and "started from" not in body


def test_model_card_is_read_by_the_hubs_own_package():
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(safetensors.contents(run_of("se", RESULT, dataset="cifar10"), SHAPE)["README.md"].decode())
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.75, "test")


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (run_of, "Training had not finished: the weights are those after epoch 3 of 3"),
        (lambda: run_of(result=RESULT, recipe="original"), "The test set was monitored during training"),
        (lambda: run_of(result={"test_accuracy": 0.75}), "How many test images there were was not recorded"),
        (lambda: run_of("none"), "Attention: none."),
        (lambda: run_of("wide:se"), "Attention: none (`wide:se`: a control"),
        (lambda: run_of(attention_at="1,3", attention_position="after"), "at block1, block3, position after"),
        (lambda: run_of(result=RESULT | UNEQUAL), "unequal numbers of test images: 50.00 %"),
        (lambda: run_of(result=RESULT | {"test_superclass_accuracy": 0.8}), "Accuracy of the superclass: 80.00 %"),
        (lambda: run_of(dataset="folder:/somewhere/tiny"), "--dataset folder:tiny"),
        (lambda: run_of(init="/somewhere/runs/first"), "It started from the weights of `first`"),
    ],
)
def test_model_card_says_what_is_special(run, said):
    head, body = front_matter(safetensors.contents(run(), SHAPE)["README.md"])
    assert said in body and "/somewhere" not in body
    assert ("model-index" in head) == ("Test accuracy" in body)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "[x](http://y)\n# z", "`a` *b* & |c|"])
def test_names_of_classes_are_text_in_a_model_card(name):
    run = run_of()
    run = dataclasses.replace(run, spec=dataclasses.replace(run.spec, classes=(name, *"abcdefghi")))
    card = safetensors.contents(run, SHAPE)["README.md"].decode()
    (line,) = [line for line in card.splitlines() if line.startswith("Classes, in the order")]
    assert not re.search(r"<|(?<!\\)[`*\[|]", line) and line.endswith(", a, b, c, d, e, f, g, h, i.")


def test_model_cards_code_loads_it(tmp_path):
    run = run_of()
    folder = write(tmp_path / "out", safetensors.contents(run, SHAPE))
    known = {"images": IMAGES[:2]}
    exec(python_block((folder / "README.md").read_text()).replace("FOLDER", str(folder)), known)
    np.testing.assert_array_equal(known["probabilities"], run.predict(IMAGES[:2]))
