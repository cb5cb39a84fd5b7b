"""Trains variants of a network with the same seeds, and says whether they help.

jaxattn compare --attention none se --seeds 8 --out DIR
"""

from pathlib import Path
from typing import Any

from jaxattn import runtime
from jaxattn.cli.command import run_command
from jaxattn.cli.runs import CODE_FLAGS, limit_cache
from jaxattn.comparison import MARGIN
from jaxattn.comparison.flags import OWN, SEEDS, check, parse_seeds, parser
from jaxattn.runs.console import Console


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line or what it names cannot be used.
    """
    values = vars(parser().parse_args(arguments))
    limit_cache(values.pop("cache_limit"))
    own = {name: values.pop(name) for name in OWN}
    code = {name: values.pop(name) for name in CODE_FLAGS}
    own["seeds"] = None if own["seeds"] is None else parse_seeds(own["seeds"])
    check(own, values, code)
    console = Console()
    if own["attention"] or own["variants"]:
        console.note("loading JAX and the data")
    runtime.tune()
    console.line(str(_result(own, values, code, console)))


def _result(own: dict[str, Any], values: dict[str, Any], code: dict[str, Any], console: Console) -> Any:
    """The result of the comparison that the flags ask for."""
    from jaxattn.comparison import compare, numbers, transfer, tune, variants

    margin = MARGIN if own["margin"] is None else own["margin"]
    if own["csv"] is not None:
        (*_, planned) = own["seeds"] or (None,)
        return numbers.of_csv(own["csv"], planned, own["baseline"], margin, own["out"])
    if own["runs"] is not None:
        return compare.of_runs(own["runs"], own["out"], **values, **code)
    if own["dir"] is not None:
        return compare.show(own["dir"], **values, **code)
    names = (own["attention"] or []) + (variants.read(Path(own["variants"])) if own["variants"] else [])
    how = {name: own[name] for name in ("executor", "mirror", "retry_failed", "baseline")}
    how |= {
        "executor": own["executor"] or "here",
        "vary": own["vary"] or (),
        **code,
        "margin": margin,
    }
    networks, datasets = own["network"] or ["cnn"], own["dataset"] or ["cifar10"]
    seeds, out = own["seeds"] or (SEEDS,), own["out"]
    if len(networks) * len(datasets) > 1:
        return transfer.compare_all(networks, datasets, names, seeds, out, console, **how, **values)
    how |= {"network": networks[0], "dataset": datasets[0]}
    if own["tune"]:
        return tune.compare_tuned(names, own["tune"], seeds, out, console, **how, **values)
    return compare.compare(names, seeds, out, console, **how, **values)


if __name__ == "__main__":
    run_command(main)
