"""Comparison of variants of a network that were trained with the same seeds."""
