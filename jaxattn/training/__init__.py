"""Training as pure functions of arrays, their compilation for a configuration, and the loop over epochs."""
