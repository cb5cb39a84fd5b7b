"""Observers of runs: what `fit(observers=)` takes, and what the flags of a command ask for."""

from jaxattn.runs.observer import Observer


def asked_for(tensorboard: bool, gate_history: bool, mirror: str | None) -> list[Observer]:
    """The observers that flags ask for; the mirror is the last, so that it copies what the others wrote.

    Raises:
        InputError: if a package is missing, or the mirror's folder cannot be used.
    """
    observers: list[Observer] = []
    if tensorboard:
        from jaxattn.observers.tensorboard import TensorBoard

        observers.append(TensorBoard())
    if gate_history:
        from jaxattn.observers.gate_history import GateHistory

        observers.append(GateHistory())
    if mirror is not None:
        from jaxattn.observers.mirror import Mirror

        observers.append(Mirror(mirror))
    return observers
