"""A volume: an array, read on demand, with its place in the world."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from asem.config import (
    FARTHEST_NM,
    LARGEST_VOXEL_NM,
    SMALLEST_VOXEL_NM,
    Nm3,
    excerpt,
    refuse_no_numbers,
)
from asem.volume.reflection import read_reflected
from asem.volume.roi import Roi, Triple, negative

Kind = Literal["image", "labels"]
WHOLE_VOXEL_TOLERANCE = 0.01
"""A shift between two volumes counts as whole voxels within this share of a voxel."""
WIDEST_WINDOW = 255
"""Times the range of an integer dtype: all its values are one of 255 grey values then."""


class Lazy(Protocol):
    """What a volume reads from: numpy arrays, tensorstore arrays and stacks of planes fit."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""

    @property
    def dtype(self) -> Any:
        """A numpy or tensorstore dtype."""

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Any:
        """Return something that `numpy.asarray` reads."""


@dataclass(frozen=True)
class Blank:
    """An array of zeros that takes no memory: the pattern of an output."""

    shape: Triple
    dtype: np.dtype[Any]

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Return zeros."""
        sizes = (len(range(*s.indices(n))) for s, n in zip(index, self.shape, strict=True))
        return np.zeros(tuple(sizes), self.dtype)


@dataclass(frozen=True)
class OriginalGrid:
    """The grid a volume was cut from: lattices and export are anchored to it.

    Parameters
    ----------
    shape
        Voxels along (z, y, x).
    origin_nm
        World position of the centre of its first voxel, nm.
    """

    shape: Triple
    origin_nm: Nm3

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or not max(map(abs, self.origin_nm)) <= FARTHEST_NM:
            raise ValueError(
                f"an original grid of {self.shape} voxels at {nm(self.origin_nm)} nm; it needs at "
                f"least one voxel, at most {FARTHEST_NM:g} nm from the origin"
            )


@dataclass(frozen=True)
class Volume:
    """An array in the world; nothing is read before `read`.

    Parameters
    ----------
    array
        The voxels, axes (z, y, x).
    voxel_size
        Distance of neighbouring voxel centres along (z, y, x), nm.
    offset_nm
        World position of the centre of voxel (0, 0, 0), nm.
    kind
        ``"image"`` or ``"labels"``.
    original
        The grid this volume was cut from; None: this volume is its own.
    window
        Grey values that mean black and white; None: the whole range of uint8.
    padding
        Grey values of what is no sample, as around planes that were shifted to fit.
    identity
        What names the content: a UUID, or path, size and time of change.
    name
        How messages call it, usually its path.
    """

    array: Lazy
    voxel_size: Nm3
    offset_nm: Nm3 = (0.0, 0.0, 0.0)
    kind: Kind = "image"
    original: OriginalGrid | None = None
    window: tuple[float, float] | None = None
    padding: tuple[float, ...] = ()
    identity: str = ""
    name: str = "volume"

    def __post_init__(self) -> None:
        refuse_bad_place(self.voxel_size, self.offset_nm, self.kind)
        usual = all(SMALLEST_VOXEL_NM <= size <= LARGEST_VOXEL_NM for size in self.voxel_size)
        if not usual or not all(abs(place) <= FARTHEST_NM for place in self.offset_nm):
            raise ValueError(
                f"{self.name}: voxel size {nm(self.voxel_size)} nm must be positive, "
                f"{SMALLEST_VOXEL_NM:g} to {LARGEST_VOXEL_NM:g} nm, and the offset "
                f"{nm(self.offset_nm)} nm within {FARTHEST_NM:g} nm"
            )
        if len(self.array.shape) != 3:
            shape = tuple(self.array.shape)
            raise ValueError(f"{self.name} has shape {shape}; a volume has three axes (z, y, x)")
        if self.window is not None and (fault := window_fault(self.window, self.dtype)):
            raise ValueError(
                f"{self.name}: the contrast window {self.window[0]:g} to {self.window[1]:g} "
                f"{fault}; import it with another --window black,white"
            )

    @property
    def shape(self) -> Triple:
        """Voxels along (z, y, x)."""
        return self.roi.shape

    @property
    def roi(self) -> Roi:
        """The extent of the whole array."""
        return Roi.whole(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of the voxels."""
        dtype = self.array.dtype  # tensorstore has its own kind
        found: np.dtype[Any] = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        return found

    @property
    def grid(self) -> OriginalGrid:
        """The original grid, which is the volume's own where none is stated."""
        return self.original or OriginalGrid(self.shape, self.offset_nm)

    @property
    def original_offset(self) -> Triple:
        """Index of voxel (0, 0, 0) on the original grid."""
        return self._whole_voxels(self.grid.origin_nm, "its original grid")

    def read(self, roi: Roi) -> npt.NDArray[Any]:
        """Read any box; beyond the array's border by reflection.

        ::

            array        a b c d
            read     c b a b c d c b      (numpy's "reflect", repeated where the axis is thin)

        Parameters
        ----------
        roi
            In the voxels of this volume; may reach beyond it. An axis of one voxel is constant.

        Returns
        -------
        ndarray
            Shape ``roi.shape``, the volume's dtype.
        """
        if roi.size == 0:
            return np.empty(roi.shape, self.dtype)
        if self.roi.contains(roi):
            return np.asarray(self.array[roi.slices])
        return read_reflected(self.array, roi)

    def place_of(self, other: "Volume") -> Roi:
        """Return where `other` lies, in the voxels of this volume.

        Raises
        ------
        ValueError
            The voxel sizes differ, or the shift is not a whole number of voxels.
        """
        if not same_voxel_size(self.voxel_size, other.voxel_size):
            raise ValueError(
                f"{other.name} has voxels of {nm(other.voxel_size)} nm, but {self.name} of "
                f"{nm(self.voxel_size)} nm; both must have one voxel size"
            )
        shift = self._whole_voxels(other.offset_nm, other.name)
        return Roi(negative(shift), other.shape)

    def common(self, other: "Volume") -> Roi:
        """Return the part of this volume that `other` covers.

        Raises
        ------
        ValueError
            There is none, or `place_of` refuses.
        """
        part = self.place_of(other).intersect(self.roi)
        if part.size == 0:
            raise ValueError(
                f"{self.name} and {other.name} have no voxel in common; check their offsets with "
                "`asem info`"
            )
        return part

    def read_placed(self, other: "Volume", roi: Roi, *, fill: int = 0) -> npt.NDArray[Any]:
        """Read `other` over a box of this volume; `fill` where it does not reach.

        Parameters
        ----------
        other
            A volume on the same lattice (`place_of`).
        roi
            In the voxels of this volume.
        fill
            Value outside of `other`.

        Returns
        -------
        ndarray
            Shape ``roi.shape``, the dtype of `other`.
        """
        place = self.place_of(other)
        common = place.intersect(roi)
        voxels = np.full(roi.shape, fill, other.dtype)
        if common.size:
            part = other.read(common.shift(negative(place.offset)))
            voxels[common.shift(negative(roi.offset)).slices] = part
        return voxels

    def position_nm(self, voxel: Triple) -> Nm3:
        """Return the world position of the centre of `voxel`, nm."""
        z, y, x = (
            offset + index * size
            for offset, index, size in zip(self.offset_nm, voxel, self.voxel_size, strict=True)
        )
        return z, y, x

    def blank(self, roi: Roi, *, dtype: npt.DTypeLike | None = None, **changes: Any) -> "Volume":
        """Return a volume of zeros, without padding, in the place of a part of this one.

        It is the pattern of an output.

        Parameters
        ----------
        roi
            The part, in the voxels of this volume; its original grid is this volume's.
        dtype
            None: that of this volume.
        **changes
            Other fields that differ.
        """
        return self.like(
            Blank(roi.shape, self.dtype if dtype is None else np.dtype(dtype)),
            offset_nm=self.position_nm(roi.offset),
            original=self.grid,
            **{"padding": (), **changes},
        )

    def like(self, array: Lazy, **changes: Any) -> "Volume":
        """Return a volume of the same place with another array."""
        return replace(self, array=array, **changes)

    def _whole_voxels(self, origin_nm: Nm3, name: str) -> Triple:
        """Return offset_nm - origin_nm in voxels, which must be whole."""
        triples = zip(self.offset_nm, origin_nm, self.voxel_size, strict=True)
        exact = [(mine - theirs) / size for mine, theirs, size in triples]
        z, y, x = (round(value) for value in exact)
        if max(abs(e - r) for e, r in zip(exact, (z, y, x), strict=True)) > WHOLE_VOXEL_TOLERANCE:
            raise ValueError(
                f"{self.name} and {name} are shifted by {nm(tuple(exact))} voxels; the shift must "
                "be a whole number of voxels: correct the offset (--offset-nm at import)"
            )
        return z, y, x


def refuse_bad_place(voxel_size: object, offset_nm: object, kind: object) -> None:
    """Raise ValueError where what a caller gives is no voxel size, offset or kind; None is any."""
    for what, given in (("voxel_size", voxel_size), ("offset_nm", offset_nm)):
        if given is not None:
            refuse_no_numbers(what, given, 3, "nm along (z, y, x)")
    if kind is not None and kind not in get_args(Kind):
        raise ValueError(f"kind {excerpt(kind)}: give 'image' or 'labels'")


def window_fault(window: tuple[float, float], dtype: np.dtype[Any]) -> str:
    """Return what is wrong with the grey values of black and white, or nothing.

    Where their difference overflows or vanishes, or is far wider than a dtype, all that is seen
    through the window is black.

    Examples
    --------
    >>> window_fault((0, 1e308), np.dtype(np.uint16))
    'is far wider than the values of uint16, 0 to 65535'
    """
    black, white = window
    width = white - black
    if not np.isfinite([black, white, width]).all():
        return "is not finite"
    if not black < white:
        return "must begin below its end"
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        low, high = int(ends.min), int(ends.max)
        if white <= low or black > high:  # that of one value, the highest, begins there
            return f"holds no value of {dtype.name}, {low} to {high}"
        if width > WIDEST_WINDOW * (high - low):
            return f"is far wider than the values of {dtype.name}, {low} to {high}"
    numbers = np.finfo(dtype if dtype.kind == "f" else np.float32)
    most, least = float(numbers.max), float(numbers.tiny)
    if max(abs(black), abs(white), width) > most or width < least:
        return f"is too wide or too narrow for {dtype.name}"
    return ""


def same_voxel_size(a: Nm3, b: Nm3) -> bool:
    """Whether two voxel sizes are equal within rounding (one part in a million)."""
    return all(abs(p - q) <= 1e-6 * max(p, q) for p, q in zip(a, b, strict=True))


def nm(values: tuple[float, ...]) -> str:
    """Write lengths for a message: ``5 x 4 x 5.24``."""
    return " x ".join(f"{value:.6g}" for value in values)
