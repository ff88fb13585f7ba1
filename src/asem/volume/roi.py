"""Extents in voxels: a box on the integer lattice of an array."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from asem.config import excerpt

MOST_LETTERS = 200
"""Of a Roi as text, six numbers of voxels."""
Triple = tuple[int, int, int]
"""Three whole numbers along (z, y, x)."""


@dataclass(frozen=True)
class Roi:
    """A half-open box of voxels, axes (z, y, x).

    ::

        offset (2, 1)      . . . . . .
        shape  (2, 3)      . . . . . .
                           . # # # . .
                           . # # # . .
                           . . . . . .   (drawn in the plane)

    Parameters
    ----------
    offset
        The first voxel. May be negative: a Roi grown by a halo reaches beyond its array.
    shape
        Number of voxels along each axis, none negative.

    Examples
    --------
    >>> Roi((2, 0, 0), (4, 8, 8)).grow((1, 0, 0))
    Roi(offset=(1, 0, 0), shape=(6, 8, 8))
    """

    offset: Triple
    shape: Triple

    def __post_init__(self) -> None:
        if min(self.shape) < 0:
            raise ValueError(f"a Roi cannot have the negative shape {self.shape}")

    @classmethod
    def whole(cls, shape: Iterable[int]) -> Self:
        """Return the Roi of a whole array of `shape`."""
        z, y, x = shape
        return cls((0, 0, 0), (int(z), int(y), int(x)))

    @classmethod
    def between(cls, start: Iterable[int], stop: Iterable[int]) -> Self:
        """Return the Roi from `start` (in) to `stop` (out); empty where stop <= start."""
        z, y, x = start
        c, b, a = stop
        return cls((z, y, x), (max(0, c - z), max(0, b - y), max(0, a - x)))

    @property
    def end(self) -> Triple:
        """The first voxel behind the box, along each axis."""
        return add(self.offset, self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in an array; raises ValueError for a negative offset."""
        if min(self.offset) < 0:
            raise ValueError(f"{self} begins before its array")
        z, y, x = (slice(o, e) for o, e in zip(self.offset, self.end, strict=True))
        return z, y, x

    def shift(self, by: Triple) -> "Roi":
        """Move the box."""
        return Roi(add(self.offset, by), self.shape)

    def grow(self, halo: Triple) -> "Roi":
        """Add `halo` voxels at both ends of each axis."""
        return Roi(subtract(self.offset, halo), add(self.shape, add(halo, halo)))

    def intersect(self, other: "Roi") -> "Roi":
        """Return the common part; its size is 0 where there is none."""
        start = [max(a, b) for a, b in zip(self.offset, other.offset, strict=True)]
        return Roi.between(start, [min(a, b) for a, b in zip(self.end, other.end, strict=True)])

    def contains(self, other: "Roi") -> bool:
        """Whether `other` lies wholly inside."""
        return self.intersect(other) == other

    def __str__(self) -> str:
        return ",".join(f"{o}:{e}" for o, e in zip(self.offset, self.end, strict=True))


def add(a: Triple, b: Triple) -> Triple:
    """Add axis by axis."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def subtract(a: Triple, b: Triple) -> Triple:
    """Subtract axis by axis."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def negative(a: Triple) -> Triple:
    """Negate axis by axis: the shift that brings a box at `a` to the origin."""
    return (-a[0], -a[1], -a[2])


def parse_roi(text: str, shape: Triple) -> Roi:
    """Read ``z0:z1,y0:y1,x0:x1`` as voxels of an array of `shape`.

    An end may be left out (``:,100:,:50``).

    Raises
    ------
    ValueError
        The text has another form, or the box is empty or leaves the array.

    Examples
    --------
    >>> parse_roi("2:4,:,10:", (8, 8, 16))
    Roi(offset=(2, 0, 10), shape=(2, 8, 6))
    """
    number = r"\s*(\d*)\s*"
    short = len(text) <= MOST_LETTERS  # the pattern takes the square of that to refuse spaces
    match = re.fullmatch(",".join([f"{number}:{number}"] * 3), text) if short else None
    if match is None:
        given = excerpt(text)
        raise ValueError(f"{given} is no Roi; write z0:z1,y0:y1,x0:x1 in voxels, ends may be empty")
    starts, stops = match.groups()[0::2], match.groups()[1::2]
    start = [int(given or 0) for given in starts]
    stop = [int(given or size) for given, size in zip(stops, shape, strict=True)]
    roi = Roi.between(start, stop)
    if roi.size == 0:
        raise ValueError(f"the Roi {excerpt(text, str)} is empty; an end must lie behind its start")
    if not Roi.whole(shape).contains(roi):
        raise ValueError(
            f"the Roi {excerpt(text, str)} leaves the volume, which has {Roi.whole(shape)}"
        )
    return roi


def extent(shape: Iterable[int]) -> str:
    """Write a shape for a message.

    Examples
    --------
    >>> extent((64, 256, 256))
    '64 x 256 x 256'
    """
    return " x ".join(map(str, shape))
