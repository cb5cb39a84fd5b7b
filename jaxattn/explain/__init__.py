"""Explanations of a trained network: what is captured, maps over images, and how faithful they are. Nothing draws."""
