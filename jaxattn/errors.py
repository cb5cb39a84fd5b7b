"""Errors that a user can act on: the shells print them as one line and exit with code 2."""


class InputError(ValueError):
    """Input that cannot be used. The message says what, the rule, the value and what to do, in one line."""


class UnavailableError(InputError):
    """A data set that is neither on this machine nor to be had from the network."""
