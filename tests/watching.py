"""Observers that tests use."""

from jaxattn.runs.observer import Observer


class At(Observer):
    """Does something after an epoch."""

    def __init__(self, epoch, action):
        self.at, self.action = epoch, action

    def epoch(self, run):
        if run.epoch == self.at:
            self.action()


def stop():
    """What Ctrl-C does."""
    raise KeyboardInterrupt
