"""Select the planes of one channel by its number or name."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from asem.config import shorten
from asem.volume.tiff_metadata import PlaneIndex, StackMetadata

LOG = logging.getLogger(__name__)
MAX_LISTED = 10
"""Channels that a message lists."""
PlaneT = TypeVar("PlaneT")


def select_channel_planes(
    planes: Mapping[PlaneIndex, PlaneT],
    metadata: StackMetadata,
    channel: str | None,
    source_name: str,
) -> list[PlaneT]:
    """Select the planes of one channel, along z; along time where there is one plane along z.

    Parameters
    ----------
    planes
        By (c, z, t).
    metadata
        Of the stack, with the names of channels.
    channel
        Number or name; None where there is only one.
    source_name
        Of the stack, for messages.

    Raises
    ------
    ValueError
        The channel does not exist or is not given, there are several time points, or planes are
        missing.
    """
    channels = sorted({c for c, _, _ in planes})
    selected = select_channel(channels, metadata.channel_names, channel, source_name)
    depths, times = (
        sorted({index[axis] for index in planes if index[0] == selected}) for axis in (1, 2)
    )
    if len(depths) > 1 and len(times) > 1:
        raise ValueError(f"{source_name} has {len(times)} time points; save one of them")
    if len(times) > 1:
        LOG.warning("%s: its %d time points are taken as planes along z", source_name, len(times))
    positions = depths if len(depths) > 1 else times
    if missing := sorted(set(range(positions[0], positions[-1] + 1)) - set(positions)):
        raise ValueError(
            f"{source_name} lacks {len(missing)} of its planes: z {missing[0]} is the first"
        )
    return [planes[selected, z, t] for z in depths for t in times]


def select_channel(
    numbers: Iterable[int], names: Sequence[str], channel: str | None, source_name: str
) -> int:
    """Return the number of the channel with a given number, or else name.

    Raises
    ------
    ValueError
        `channel` is None and there are several, or it does not exist; the message lists all.
    """
    name_of = {n: names[n] if n < len(names) else str(n) for n in numbers}
    if channel is None and len(name_of) == 1:
        return next(iter(name_of))
    by_number = [n for n in name_of if channel == str(n)]
    matches = by_number or [n for n, name in name_of.items() if channel == name]
    if len(matches) == 1:
        return matches[0]
    names_shown = [str(n) if str(n) == name else f"{n} ({name})" for n, name in name_of.items()]
    listed = ", ".join(names_shown[:MAX_LISTED])
    if len(names_shown) > MAX_LISTED:
        listed += f" and {len(names_shown) - MAX_LISTED} more"
    missing = f"there is no channel {shorten(channel, str)}"
    advice = "choose one with --channel (asem import, asem info)" if channel is None else missing
    raise ValueError(f"{source_name} has the channels {listed:.400}; {advice}")
