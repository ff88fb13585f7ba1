"""The planes of one channel, chosen by its number or its name."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from asem.config import excerpt
from asem.volume.tiff_axes import Place, Stated

LOG = logging.getLogger(__name__)
Plane = TypeVar("Plane")


def chosen(
    planes: Mapping[Place, Plane], stated: Stated, channel: str | None, name: str
) -> list[Plane]:
    """Choose the planes of one channel, along z; along time where there is one plane along z.

    Parameters
    ----------
    planes
        What there is of (c, z, t).
    stated
        What the file states.
    channel
        Number or name; None where there is only one.
    name
        Of the stack, for messages.

    Raises
    ------
    ValueError
        The channel is not there or not chosen, there are several time points, or planes lack.
    """
    channels = sorted({c for c, _, _ in planes})
    one = choose_channel(dict.fromkeys(channels), stated.channels, channel, name)
    depths, times = (
        sorted({place[axis] for place in planes if place[0] == one}) for axis in (1, 2)
    )
    if len(depths) > 1 and len(times) > 1:
        raise ValueError(f"{name} has {len(times)} time points; save one of them")
    if len(times) > 1:
        LOG.warning("%s: its %d time points are taken as planes along z", name, len(times))
    of = depths if len(depths) > 1 else times
    if lacking := sorted(set(range(of[0], of[-1] + 1)) - set(of)):
        raise ValueError(f"{name} lacks {len(lacking)} of its planes: z {lacking[0]} is the first")
    return [planes[one, z, t] for z in depths for t in times]


def choose_channel(
    numbers: Iterable[int], names: Sequence[str], channel: str | None, name: str
) -> int:
    """Return the number of the channel that is meant by its number, or else its name.

    Raises
    ------
    ValueError
        None is chosen of several, or one that is not there; all are listed.
    """
    known = {n: names[n] if n < len(names) else str(n) for n in numbers}
    if channel is None and len(known) == 1:
        return next(iter(known))
    numbered = [n for n in known if channel == str(n)]
    found = numbered or [n for n, called in known.items() if channel == called]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(
        str(n) if str(n) == called else f"{n} ({called})" for n, called in known.items()
    )
    missing = f"there is no channel {excerpt(channel, str)}"
    wanted = "choose one with --channel" if channel is None else missing
    raise ValueError(f"{name} has the channels {listed:.200}; {wanted}")
