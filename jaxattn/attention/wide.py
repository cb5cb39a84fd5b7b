"""The control without attention: a network widened until it has at least a module's parameters."""

from collections.abc import Callable

from flax import linen as nn

Attention = Callable[..., nn.Module] | None


def widened(
    widths: tuple[int, ...], attention: Attention, count: Callable[[tuple[int, ...], Attention], int]
) -> tuple[int, ...]:
    """Widths of the plain network that has at least the parameters of the one with attention, by the fewest channels.

    Args:
        widths: channels of each block; only the last grows.
        attention: the module to match, where a network takes it.
        count: parameters of the network of these widths with this attention; without, each channel more of the last
            block must add as many as the one before.
    """
    plain = count(widths, None)
    *first, last = widths
    by_channel = count((*first, last + 1), None) - plain
    missing = max(count(widths, attention) - plain, 0)
    return (*first, last - (-missing // by_channel))
