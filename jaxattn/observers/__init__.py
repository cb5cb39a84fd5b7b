"""Observers of runs: what `fit(observers=)` takes."""
