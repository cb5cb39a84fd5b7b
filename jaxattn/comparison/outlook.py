"""What a plan can show, printed before anything is trained."""

from jaxattn.comparison.plan import Plan
from jaxattn.comparison.sentences import EFFECT
from jaxattn.comparison.statistics import MIN_SEEDS, power
from jaxattn.comparison.table import explains
from jaxattn.comparison.verdict import family_of

USUAL_SD = 0.25  # points, the spread of runs of the tutorial's network on CIFAR-10


def outlook(plan: Plan) -> str:
    """The size of a plan, and how likely it is to show an effect."""
    seeds = " or ".join(map(str, plan.looks))
    at_most = " at most" * (len(plan.looks) > 1)
    text = f"{plan.count} runs{at_most}: {len(plan.variants)} variants, {seeds} seed{'s' * (plan.seeds > 1)}"
    if plan.seeds < MIN_SEEDS:
        return f"{text}: too few to show any difference; at least {MIN_SEEDS} are needed"
    *_, some = sorted(plan.variants[1:], key=lambda name: explains(name) is None)  # a module, if there is one
    family = family_of(some, plan.variants, plan.variants[0], plan.looks)
    seen = power(plan.seeds, USUAL_SD, EFFECT, family.alpha / family.variants)
    return f"{text}; where runs vary by {USUAL_SD} points (sd), half a point is seen in {seen:.0%} of comparisons"
