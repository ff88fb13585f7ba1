"""The windows that a volume is annotated in, of which a large one has millions."""

from collections.abc import Sequence
from math import prod
from typing import overload

from asem.volume.roi import Roi


class Windows(Sequence[Roi]):
    """The windows of a volume in (z, y, x) order; each is made when it is used.

    Parameters
    ----------
    roi
        What they cover, each voxel once: a whole volume.
    edge
        Largest voxels along an axis; they are of about the same shape.

    Examples
    --------
    >>> windows = Windows(Roi.whole((1, 1, 500)), 200)
    >>> len(windows), str(windows[1]), windows.first_in(Roi((0, 0, 300), (1, 1, 100)))
    (3, '0:1,0:1,167:334', 1)
    """

    def __init__(self, roi: Roi, edge: int) -> None:
        self._roi = roi
        counts = [max(1, -(-size // edge)) for size in roi.shape]
        self._edges = [max(1, -(-n // few)) for n, few in zip(roi.shape, counts, strict=True)]
        self._counts = [-(-n // length) for n, length in zip(roi.shape, self._edges, strict=True)]

    def __len__(self) -> int:
        return prod(self._counts)

    @overload
    def __getitem__(self, number: int) -> Roi: ...

    @overload
    def __getitem__(self, number: slice) -> list[Roi]: ...

    def __getitem__(self, number: int | slice) -> Roi | list[Roi]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        rest, place = range(len(self))[number], []
        for count, edge in zip(self._counts[::-1], self._edges[::-1], strict=True):
            rest, along = divmod(rest, count)
            place.append(along * edge)
        d, h, w = self._edges
        return Roi((place[2], place[1], place[0]), (d, h, w)).intersect(self._roi)

    def first_in(self, box: Roi) -> int | None:
        """Return the number of the first window that has voxels of a box; None where none has."""
        inside = box.intersect(self._roi)
        if not inside.size:
            return None
        number = 0
        for first, edge, count in zip(inside.offset, self._edges, self._counts, strict=True):
            number = number * count + first // edge
        return number
