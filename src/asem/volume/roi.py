"""Regions of interest (boxes of voxels), and arithmetic along the axes (z, y, x)."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar, overload

from asem.config import shorten

MAX_ROI_CHARACTERS = 200
"""Characters of a Roi as text, six integers."""
IntZYX = tuple[int, int, int]
"""Three integers along (z, y, x)."""
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")


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
        First voxel. May be negative: a Roi grown by a halo extends beyond its array.
    shape
        Number of voxels along each axis, not negative.

    Examples
    --------
    >>> Roi((2, 0, 0), (4, 8, 8)).grow((1, 0, 0))
    Roi(offset=(1, 0, 0), shape=(6, 8, 8))
    """

    offset: IntZYX
    shape: IntZYX

    def __post_init__(self) -> None:
        if min(self.shape) < 0:
            raise ValueError(f"a ROI cannot have the negative shape {self.shape}")

    @classmethod
    def of_shape(cls, shape: Iterable[int]) -> Self:
        """Return the Roi of a whole array of `shape`."""
        return cls((0, 0, 0), per_axis(int, shape))

    @classmethod
    def from_bounds(cls, start: Iterable[int], stop: Iterable[int]) -> Self:
        """Return the Roi from `start` to `stop` (exclusive); empty where stop <= start."""
        z, y, x = start
        return cls((z, y, x), per_axis(lambda low, high: max(0, high - low), (z, y, x), stop))

    @property
    def end(self) -> IntZYX:
        """First voxel behind the box, along each axis."""
        return add(self.offset, self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in an array; raises ValueError for a negative offset."""
        if min(self.offset) < 0:
            raise ValueError(f"{self} starts before its array")
        return per_axis(slice, self.offset, self.end)

    def shift(self, by: IntZYX) -> "Roi":
        """Move the box."""
        return Roi(add(self.offset, by), self.shape)

    def grow(self, halo: IntZYX) -> "Roi":
        """Add `halo` voxels at both ends of each axis."""
        return Roi(subtract(self.offset, halo), add(self.shape, add(halo, halo)))

    def intersect(self, other: "Roi") -> "Roi":
        """Return the intersection; its size is 0 where there is none."""
        start = per_axis(max, self.offset, other.offset)
        return Roi.from_bounds(start, per_axis(min, self.end, other.end))

    def contains(self, other: "Roi") -> bool:
        """Return whether `other` is completely inside."""
        return self.intersect(other) == other

    def __str__(self) -> str:
        return ",".join(f"{o}:{e}" for o, e in zip(self.offset, self.end, strict=True))


@overload
def per_axis(function: Callable[[A], T], a: Iterable[A], /) -> tuple[T, T, T]: ...
@overload
def per_axis(
    function: Callable[[A, B], T], a: Iterable[A], b: Iterable[B], /
) -> tuple[T, T, T]: ...
@overload
def per_axis(
    function: Callable[[A, B, C], T], a: Iterable[A], b: Iterable[B], c: Iterable[C], /
) -> tuple[T, T, T]: ...
@overload
def per_axis(
    function: Callable[[A, B, C, D], T],
    a: Iterable[A],
    b: Iterable[B],
    c: Iterable[C],
    d: Iterable[D],
    /,
) -> tuple[T, T, T]: ...
def per_axis(function: Callable[..., T], /, *values: Iterable[Any]) -> tuple[T, T, T]:
    """Apply a function along each of the axes (z, y, x).

    Parameters
    ----------
    function
        Takes one value of each triple.
    values
        Triples along (z, y, x).

    Returns
    -------
    tuple
        The three results.

    Raises
    ------
    ValueError
        A triple does not have three values.

    Examples
    --------
    >>> per_axis(lambda shape, size: shape * size, (10, 20, 30), (5.0, 4.0, 4.0))
    (50.0, 80.0, 120.0)
    """
    z, y, x = (function(*along) for along in zip(*values, strict=True))
    return z, y, x


def add(a: IntZYX, b: IntZYX) -> IntZYX:
    """Add axis by axis."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def subtract(a: IntZYX, b: IntZYX) -> IntZYX:
    """Subtract axis by axis."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def negate(a: IntZYX) -> IntZYX:
    """Negate axis by axis: the shift that moves a box at `a` to the origin."""
    return (-a[0], -a[1], -a[2])


def parse_roi(text: str, shape: IntZYX) -> Roi:
    """Parse ``z0:z1,y0:y1,x0:x1`` as voxels of an array of `shape`.

    Bounds may be left out (``:,100:,:50``).

    Raises
    ------
    ValueError
        The text has another form, or the box is empty or extends beyond the array.

    Examples
    --------
    >>> parse_roi("2:4,:,10:", (8, 8, 16))
    Roi(offset=(2, 0, 10), shape=(2, 8, 6))
    """
    number = r"\s*(\d*)\s*"
    short = len(text) <= MAX_ROI_CHARACTERS  # matching many spaces takes quadratic time
    match = re.fullmatch(",".join([f"{number}:{number}"] * 3), text) if short else None
    if match is None:
        raise ValueError(
            f"{shorten(text)} is no ROI; write z0:z1,y0:y1,x0:x1 in voxels, ends may be empty"
        )
    starts, stops = match.groups()[0::2], match.groups()[1::2]
    start = [int(digits or 0) for digits in starts]
    stop = [int(digits or size) for digits, size in zip(stops, shape, strict=True)]
    roi = Roi.from_bounds(start, stop)
    if roi.size == 0:
        raise ValueError(
            f"the ROI {shorten(text, str)} is empty; each end must be larger than its start"
        )
    if not Roi.of_shape(shape).contains(roi):
        raise ValueError(
            f"the ROI {shorten(text, str)} leaves the volume, which has {Roi.of_shape(shape)}"
        )
    return roi


def format_shape(shape: Iterable[int]) -> str:
    """Format a shape for a message.

    Examples
    --------
    >>> format_shape((64, 256, 256))
    '64 x 256 x 256'
    """
    return " x ".join(map(str, shape))
