"""Comparison of variants of a network that were trained with the same seeds."""

MARGIN = 0.3  # points; a smaller difference counts as none
