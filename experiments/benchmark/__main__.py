"""jaxattn compared with plain Flax and PyTorch on this machine: step, epoch, start, memory.

    python -m experiments.benchmark --data-dir DIR          # real CIFAR-10 in DIR, 15 to 25 minutes
    python -m experiments.benchmark --quick                 # built-in images, steps only, minutes
    python -m experiments.benchmark --network resnet20      # the step of another network, in batches of 128

All subjects are started once and wait; rounds are interleaved: in each round each subject is timed in turn, so that a
slow spell of the machine affects all. A ratio is that of one round: time of the subject over that of the fastest
float32 PyTorch in the round. The table gives median, min and max of the per-round ratios.

* step: forward, backward and Adam for one batch in memory, squeeze-and-excitation on, float32 but for bf16.
* epoch: 50,000 images in batches of 64 with the augmentation of the recipe `original`, then the 10,000 test images:
  jaxattn's program against the PyTorch program with per-image transforms in a DataLoader, best of 0, 1, 2 workers. Also
  for `standard`, and for `adamw-50`, the former default: both train on 45,000 images and evaluate 5,000.
* start: `jaxattn train` from the command to its first step, with an empty and with a filled cache (of
  compiled programs and decoded images); and `--help`.
* memory: peak resident set after the epochs.
* scale: seconds per image of a step with batches eight times as large, relative to the batches above; and a step with
  blocks twice as wide, relative to the blocks above.

PyTorch is needed: `pip install torch==2.13.0`. If torchvision is missing, its transforms are replaced by the same
Pillow calls. `--torch-python` names another interpreter for PyTorch, such as that of a venv with
`pip install torch==2.14.1 torchvision==0.29.1`.

Writes `result.json` and `result.md` beside this file. `intel-xeon.json` and `.md` are from an earlier version.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from experiments import common

HERE = Path(__file__).parent
PYTORCH = ("nchw", "channels_last", "compiled")
SUBJECTS = {
    "jaxattn": "jax_subject.py",
    "jaxattn-wide": "jax_subject.py",
    "plain-flax": "jax_subject.py",
    "standard": "jax_subject.py",
    "adamw-50": "jax_subject.py",
    **dict.fromkeys((*PYTORCH, "bf16"), "torch_subject.py"),
}
TITLES = {
    "jaxattn": "jaxattn",
    "plain-flax": "plain Flax",
    "nchw": "PyTorch eager, NCHW",
    "channels_last": "PyTorch eager, channels_last",
    "compiled": "PyTorch compiled, channels_last",
    "bf16": "PyTorch bf16 autocast, channels_last",
}
EPOCHS = {
    "jaxattn": "jaxattn, `original`",
    "standard": "jaxattn, `standard`",
    "adamw-50": "jaxattn, `adamw-50`",
    "channels_last": "PyTorch eager, channels_last",
}
WORKERS = (0, 1, 2)
LARGER = 8


def save_images(data_dir, file):
    """CIFAR-10 from a folder, or some built-in images, as a file of arrays."""
    if data_dir is None:
        from jaxattn.data.shapes import make

        splits = make(train=2_000, test=500)
    else:
        from jaxattn.data.cifar10 import DATASET

        splits = DATASET.load(Path(data_dir))
    arrays = {}
    for part in ("train", "test"):
        split = getattr(splits, part)
        arrays |= {f"{part}_images": split.images, f"{part}_labels": split.labels}
    np.savez(file, **arrays)


def print_network(arguments, start):
    """Prints the step of a network and those of its peers."""
    peers = {name: title for name, title in TITLES.items() if name != "nchw"}
    if arguments.network == "airbench94":
        peers.pop("plain-flax")
    children = {name: start(name, arguments.batch) for name in peers}
    seconds = measure_steps(children, arguments.rounds, arguments.steps)
    ratios = common.ratios(seconds, ["channels_last", "compiled"])
    rows = [
        (title, f"{1e3 * statistics.median(seconds[name]):.0f}", common.spread(ratios[name]))
        for name, title in peers.items()
    ]
    print(
        "\n".join(
            common.table((arguments.network, "ms", "ratio to the fastest float32 PyTorch, median (min-max)"), rows)
        )
    )
    about = children["channels_last"].ask("about")
    print(
        f"\nSqueeze-and-excitation, batch {arguments.batch}, {arguments.rounds} rounds of {arguments.steps} steps on "
        f"{common.on(common.machine())}, PyTorch {about['torch']}. jaxattn's step is that of the recipe `standard`, "
        "without augmentation, the others' is Adam's."
    )
    for child in children.values():
        child.stop()


def measure_steps(children, rounds, count):
    """Median seconds per step, {subject: [rounds]}."""
    for child in children.values():
        child.ask("step 10")
    times = {name: [] for name in children}
    for _ in range(rounds):
        for name, child in children.items():
            times[name].append(statistics.median(child.ask(f"step {count}")))
    return times


def measure_augmentation(child, rounds, count):
    """Ratio of the step with `full` augmentation to the bare step, over rounds."""
    child.ask("step 10 full")
    ratios = []
    for _ in range(rounds):
        bare, full = (statistics.median(child.ask(f"step {count} {kind}")) for kind in ("none", "full"))
        ratios.append(full / bare)
    return common.summary(ratios)


def measure_scale(children, larger, rounds, count):
    """Ratio of seconds per image with batches `LARGER` times as large to the others, {subject: summary}."""
    for child in larger.values():
        child.ask("step 3")
    ratios = {name: [] for name in larger}
    for _ in range(rounds):
        for name, child in larger.items():
            small, large = (statistics.median(one.ask(f"step {count}")) for one in (children[name], child))
            ratios[name].append(large / small / LARGER)
    return {name: common.summary(values) for name, values in ratios.items()}


def measure_width(child, wide, rounds, count):
    """Ratio of the step with wider blocks to the others, over rounds."""
    wide.ask("step 3")
    pairs = [[statistics.median(one.ask(f"step {count}")) for one in (child, wide)] for _ in range(rounds)]
    return common.summary([wider / plain for plain, wider in pairs])


def measure_epochs(children, rounds):
    """Seconds per epoch, {subject: [rounds]}, and the best number of DataLoader workers."""
    ours = [name for name in EPOCHS if name != "channels_last"]
    for name in ours:
        children[name].ask("epoch 0")  # compiles
    tried = {workers: children["channels_last"].ask(f"epoch {workers}") for workers in WORKERS}
    workers = min(tried, key=tried.get)
    times = {name: [] for name in EPOCHS}
    for _ in range(rounds):
        for name, seconds in times.items():
            seconds.append(children[name].ask(f"epoch {workers}"))
    return times, workers


# The command imports JAX before it prints its first line; then the loop can be replaced by one that ends after a step.
FIRST_STEP = """
import sys, time
from jaxattn.cli.command import run_command
from jaxattn.runs.console import Console
from jaxattn.train import main
line = Console.line
def first_line(console, *arguments, **options):
    from jaxattn.training import loop
    whole = loop._epoch
    def first_step(program, mode, state, key, data, rows, progress):
        whole(program, mode, state, key, data, rows[:1], progress)
        print("first step", time.time(), flush=True)
        raise SystemExit(0)
    loop._epoch, Console.line = first_step, line
    line(console, *arguments, **options)
Console.line = first_line
run_command(main)
"""


def measure_start(data_dir, rounds, network="cnn"):
    """Seconds from the command to the first step with a cold and a warm cache, and of `--help`."""
    seconds = {"cold": [], "warm": [], "help": []}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds):
            cache = Path(folder, f"cache{i}")
            for kind in ("cold", "warm"):
                command = [sys.executable, "-c", FIRST_STEP, "--attention", "--out", f"{folder}/{i}{kind}"]
                command += ["--dataset", "cifar10", "--data-dir", data_dir, "--network", network]
                start = time.time()
                output = subprocess.run(
                    command,
                    env=os.environ | {"XDG_CACHE_HOME": str(cache)},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                seconds[kind].append(float(output.split("first step")[1]) - start)
            shutil.rmtree(cache)
            start = time.time()
            subprocess.run([sys.executable, "-m", "jaxattn.train", "--help"], check=True, capture_output=True)
            seconds["help"].append(time.time() - start)
    return {kind: common.summary(values) for kind, values in seconds.items()}


def table(result):
    """The result as Markdown."""

    def rows(what, scale, titles):
        for name, seconds in result[what].items():
            time = f"{scale * statistics.median(seconds):.1f}"
            yield titles[name], time, common.spread(result[f"{what}_ratio"][name])

    lines = common.table(("step", "ms", "ratio to the fastest PyTorch, median (min-max)"), rows("step", 1e3, TITLES))
    if "epoch" in result:
        lines += ["", *common.table(("epoch with evaluation", "s", "ratio"), rows("epoch", 1, EPOCHS))]
        start = {kind: f"{value['median']:.1f} s" for kind, value in result["start"].items()}
        lines += [
            "",
            f"From the command to the first step on CIFAR-10: {start['cold']} with an empty cache of compiled "
            f"programs, {start['warm']} with a filled one; `--help`: {start['help']}. Peak resident set: "
            + ", ".join(f"{TITLES[name]} {value / 1e9:.2f} GB" for name, value in result["memory"].items())
            + f". Workers of PyTorch's DataLoader: {result['workers']}; "
            f"{result['about']['channels_last']['transforms']}.",
        ]
    scale = {TITLES[name]: common.spread(one) for name, one in result["scale"].items()}
    lines += [
        "",
        f"Batches {LARGER} times as large cost per image, times that of the others: "
        + ", ".join(f"{name} {text}" for name, text in scale.items())
        + f". Blocks twice as wide: {common.spread(result['width'])} (their multiply-adds: 3.6).",
        "",
        f"`full` augmentation makes jaxattn's step {common.spread(result['augmentation'])} "
        f"times as long. Batch {result['batch']}, {result['rounds']} rounds on "
        f"{common.on(result['machine'])}, PyTorch {result['about']['channels_last']['torch']}.",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Time jaxattn beside plain Flax and PyTorch.")
    parser.add_argument("--data-dir", help="folder that holds CIFAR-10")
    parser.add_argument("--start", action="store_true", help="only the start (of --network, too); prints it")
    parser.add_argument("--quick", action="store_true", help="steps only, on built-in images")
    parser.add_argument("--network", help="such as resnet20: only its step; prints it")
    parser.add_argument("--batch", type=int, help="images in a step (default: 64, of --network 128)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="steps of one timing")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has PyTorch")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the two files")
    arguments = parser.parse_args()
    arguments.batch = arguments.batch or (128 if arguments.network else 64)
    if (arguments.start or not (arguments.quick or arguments.network)) and arguments.data_dir is None:
        parser.error("--data-dir is needed, or --quick without --start")
    if arguments.start:
        start = {
            kind: common.spread(seconds)
            for kind, seconds in measure_start(arguments.data_dir, arguments.rounds, arguments.network or "cnn").items()
        }
        print(f"From the command to the first step, median (min-max) in s: {start}. {common.on(common.machine())}")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    if subprocess.run([arguments.torch_python, "-c", "import torch"], capture_output=True, check=False).returncode:
        sys.exit(f"{arguments.torch_python} has no PyTorch: pip install torch==2.13.0, or give --torch-python")
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/images.npz"
        save_images(None if arguments.quick or arguments.network else arguments.data_dir, data)

        def start(name, batch):
            python = sys.executable if SUBJECTS[name].startswith("jax") else arguments.torch_python
            command = [python, HERE / SUBJECTS[name], name, str(batch), data, arguments.network or "cnn"]
            return common.Child(command, f"{TITLES.get(name, name)} (PyTorch: see the docstring)")

        if arguments.network:
            print_network(arguments, start)
            return
        children = {name: start(name, arguments.batch) for name in TITLES}
        result = {"machine": common.machine(), "batch": arguments.batch, "rounds": arguments.rounds}
        result["about"] = {name: child.ask("about") for name, child in children.items()}
        result["step"] = measure_steps(children, arguments.rounds, arguments.steps)
        result["step_ratio"] = common.ratios(result["step"], PYTORCH)
        result["augmentation"] = measure_augmentation(children["jaxattn"], arguments.rounds, arguments.steps)
        larger = {name: start(name, LARGER * arguments.batch) for name in ("jaxattn", "channels_last")}
        result["scale"] = measure_scale(children, larger, arguments.rounds, arguments.steps // 3)
        wide = start("jaxattn-wide", arguments.batch)
        result["width"] = measure_width(children["jaxattn"], wide, arguments.rounds, arguments.steps // 3)
        for child in (*larger.values(), wide):
            child.stop()
        if not arguments.quick:
            children |= {name: start(name, arguments.batch) for name in ("standard", "adamw-50")}
            result["epoch"], result["workers"] = measure_epochs(children, arguments.rounds)
            result["epoch_ratio"] = common.ratios(result["epoch"], ["channels_last"])
            result["memory"] = {name: children[name].ask("memory") for name in ("jaxattn", "channels_last")}
        for child in children.values():
            child.stop()
    if not arguments.quick:
        result["start"] = measure_start(arguments.data_dir, arguments.rounds)
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.out / "result.md").write_text(table(result) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
