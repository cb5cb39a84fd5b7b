"""Whether trained networks use their gates, as plain numbers and text: knock-out, and vital signs."""

from typing import Any

import numpy as np

from jaxattn.comparison.predictions import Predicted
from jaxattn.comparison.statistics import ALPHA, t_interval
from jaxattn.data.splits import Split
from jaxattn.explain.gates import Signs, describe
from jaxattn.explain.knockout import CONDITIONS, accuracy_lost, at, lost_with_means, sites_of


def knockout(predicted: Predicted, test: Split) -> list[dict[str, Any]]:
    """Points of accuracy lost under each condition, mean and interval over the seeds, for each variant with gates."""
    rows = []
    for name, by_seed in predicted.items():
        lost = [accuracy_lost(classes, test.labels) for classes in by_seed.values() if len(classes) > 1]
        if lost:
            cells = [_lost(np.array([one[condition] for one in lost])) for condition in CONDITIONS[1:]]
            rows.append({"name": name, "n": len(lost), "cells": cells})
    return rows


def knockout_by_site(predicted: Predicted, test: Split) -> list[dict[str, Any]]:
    """The same for the gates of each site alone; the intervals of a variant's sites are simultaneous."""
    rows = []
    for name, by_seed in predicted.items():
        lost = [accuracy_lost(classes, test.labels) for classes in by_seed.values() if len(classes) > 1]
        sites = sites_of(lost[0]) if lost else []
        for site in sites:
            losses = [[one[at(condition, site)] for one in lost] for condition in CONDITIONS[1:]]
            cells = [_lost(np.array(values), 1 - ALPHA / len(sites)) for values in losses]
            rows.append({"name": f"{name}, {site}", "n": len(lost), "cells": cells})
    return rows


def gates(signs: dict[str, dict[str, Signs]], predicted: Predicted, test: Split) -> list[dict[str, Any]]:
    """The vital signs of each gate, with a sentence that also says what is lost with the means at its site."""
    rows = []
    for name, by_gate in signs.items():
        lost = [accuracy_lost(classes, test.labels) for classes in predicted[name].values() if len(classes) > 1]
        costs = [lost_with_means(losses, by_gate) for losses in lost]
        for gate, one in by_gate.items():
            points = [known[gate][1] for known in costs if gate in known]
            sentence = describe(one, float(np.mean(points)), costs[0][gate][0]) if points else describe(one)
            rows.append({"name": f"{name}, {gate}", "signs": one, "sentence": sentence})
    return rows


def _lost(values, level=1 - ALPHA):
    low, high = t_interval(values, level)
    varies = len(values) > 1 and np.ptp(values) > 0  # without any spread, there is no interval
    return f"{values.mean():+.2f}" + (f" ({low:+.2f} to {high:+.2f})" if varies else "")
