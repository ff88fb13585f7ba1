"""Grid of windows that tile a volume, computed on access (a large volume has millions)."""

from collections.abc import Sequence
from math import prod
from typing import overload

from asem.volume.roi import Roi, per_axis


class WindowGrid(Sequence[Roi]):
    """Windows of a volume in (z, y, x) order, each computed on access.

    Parameters
    ----------
    roi
        Box that they tile: a whole volume.
    edge
        Maximum voxels along an axis; all windows have about the same shape.

    Examples
    --------
    >>> windows = WindowGrid(Roi.of_shape((1, 1, 500)), 200)
    >>> len(windows), str(windows[1]), windows.first_index_in(Roi((0, 0, 300), (1, 1, 100)))
    (3, '0:1,0:1,167:334', 1)
    """

    def __init__(self, roi: Roi, edge: int) -> None:
        self._roi = roi
        self._edges = per_axis(lambda size: max(1, -(-size // max(1, -(-size // edge)))), roi.shape)
        self._counts = per_axis(lambda size, length: -(-size // length), roi.shape, self._edges)

    def __len__(self) -> int:
        return prod(self._counts)

    @overload
    def __getitem__(self, number: int) -> Roi: ...

    @overload
    def __getitem__(self, number: slice) -> list[Roi]: ...

    def __getitem__(self, number: int | slice) -> Roi | list[Roi]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        rest, x = divmod(range(len(self))[number], self._counts[2])
        z, y = divmod(rest, self._counts[1])
        offset = per_axis(lambda index, edge: index * edge, (z, y, x), self._edges)
        return Roi(offset, self._edges).intersect(self._roi)

    def first_index_in(self, box: Roi) -> int | None:
        """Return the index of the first window that overlaps a box; None without any."""
        inside = box.intersect(self._roi)
        if not inside.size:
            return None
        number = 0
        for first, edge, count in zip(inside.offset, self._edges, self._counts, strict=True):
            number = number * count + first // edge
        return number
