"""Volume: a lazily read array with voxel size and world position."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from asem.config import (
    MAX_POSITION_NM,
    MAX_VOXEL_NM,
    MIN_VOXEL_NM,
    NmZYX,
    check_numbers,
    shorten,
)
from asem.volume.contrast_limits import find_window_error
from asem.volume.reflection import read_reflected
from asem.volume.roi import IntZYX, Roi, negate, per_axis
from asem.volume.zero_array import ZeroArray

VolumeKind = Literal["image", "labels"]
WHOLE_VOXEL_TOLERANCE = 0.01
"""Deviation of a shift between two volumes from an integer, voxels."""


class ArrayLike(Protocol):
    """Source array of a volume: a numpy array, a tensorstore array or a stack of planes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""

    @property
    def dtype(self) -> Any:
        """A numpy or tensorstore dtype."""

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Any:
        """Return voxels that `numpy.asarray` converts."""


@dataclass(frozen=True)
class OriginalGrid:
    """Grid that a volume was cropped from; lattices and export are aligned to it.

    Parameters
    ----------
    shape
        Voxels along (z, y, x).
    origin_nm
        World position of the centre of its first voxel, nm.
    """

    shape: IntZYX
    origin_nm: NmZYX

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or not max(map(abs, self.origin_nm)) <= MAX_POSITION_NM:
            raise ValueError(
                f"an original grid of {self.shape} voxels at {format_nm(self.origin_nm)} nm; it "
                f"needs at least one voxel, at most {MAX_POSITION_NM:g} nm from the origin"
            )


@dataclass(frozen=True)
class Volume:
    """Array with voxel size and world position; only `read` reads voxels.

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
    stated_grid
        Grid that this volume was cropped from; None: its own grid.
    window
        Grey values of black and white; None: the whole range of uint8.
    padding
        Grey values of padding, as around planes that were shifted for alignment.
    identity
        Identity of the content: a UUID, or path, size and mtime.
    channel
        Number or name of the channel of a source with several.
    name
        Name in messages, usually the path.
    """

    array: ArrayLike
    voxel_size: NmZYX
    offset_nm: NmZYX = (0.0, 0.0, 0.0)
    kind: VolumeKind = "image"
    stated_grid: OriginalGrid | None = None
    window: tuple[float, float] | None = None
    padding: tuple[float, ...] = ()
    identity: str = ""
    channel: str | None = None
    name: str = "volume"

    def __post_init__(self) -> None:
        check_geometry(self.voxel_size, self.offset_nm, self.kind)
        allowed = all(MIN_VOXEL_NM <= size <= MAX_VOXEL_NM for size in self.voxel_size)
        if not allowed or not all(abs(nm) <= MAX_POSITION_NM for nm in self.offset_nm):
            raise ValueError(
                f"{self.name}: voxel size {format_nm(self.voxel_size)} nm must be positive, "
                f"{MIN_VOXEL_NM:g} to {MAX_VOXEL_NM:g} nm, and the offset "
                f"{format_nm(self.offset_nm)} nm within {MAX_POSITION_NM:g} nm"
            )
        if len(self.array.shape) != 3:
            shape = tuple(self.array.shape)
            raise ValueError(f"{self.name} has shape {shape}; a volume has three axes (z, y, x)")
        if self.window is not None and (error := find_window_error(self.window, self.dtype)):
            raise ValueError(
                f"{self.name}: the contrast window {self.window[0]:g} to {self.window[1]:g} "
                f"{error}; import it with another --window black,white"
            )

    @property
    def shape(self) -> IntZYX:
        """Voxels along (z, y, x)."""
        return self.roi.shape

    @property
    def roi(self) -> Roi:
        """The extent of the whole array."""
        return Roi.of_shape(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of the voxels."""
        dtype = self.array.dtype  # tensorstore has a dtype class of its own
        numpy_dtype: np.dtype[Any] = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        return numpy_dtype

    @property
    def original_grid(self) -> OriginalGrid:
        """The original grid; the volume's own grid where none is stated."""
        return self.stated_grid or OriginalGrid(self.shape, self.offset_nm)

    @property
    def original_offset(self) -> IntZYX:
        """Index of voxel (0, 0, 0) on the original grid."""
        return self._whole_voxel_shift(self.original_grid.origin_nm, "its original grid")

    def read(self, roi: Roi) -> npt.NDArray[Any]:
        """Read any box; voxels beyond the array's border are reflected.

        ::

            array        a b c d
            read     c b a b c d c b      (numpy's "reflect", repeated where the axis is thin)

        Parameters
        ----------
        roi
            In the voxels of this volume; may extend beyond it. An axis of one voxel is constant.

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

    def roi_of(self, other: "Volume") -> Roi:
        """Return the extent of `other` in the voxels of this volume.

        Raises
        ------
        ValueError
            The voxel sizes differ, or the shift is not an integer number of voxels.
        """
        if not same_voxel_size(self.voxel_size, other.voxel_size):
            raise ValueError(
                f"{other.name} has voxels of {format_nm(other.voxel_size)} nm, but {self.name} of "
                f"{format_nm(self.voxel_size)} nm; both must have one voxel size"
            )
        shift = self._whole_voxel_shift(other.offset_nm, other.name)
        return Roi(negate(shift), other.shape)

    def overlap_with(self, other: "Volume") -> Roi:
        """Return the part of this volume that `other` covers.

        Raises
        ------
        ValueError
            There is none, or `roi_of` raises.
        """
        part = self.roi_of(other).intersect(self.roi)
        if part.size == 0:
            raise ValueError(
                f"{self.name} and {other.name} have no voxel in common; check their offsets with "
                "`asem info`"
            )
        return part

    def read_aligned(self, other: "Volume", roi: Roi, *, fill: int = 0) -> npt.NDArray[Any]:
        """Read `other` in a box of this volume; `fill` outside of `other`.

        Parameters
        ----------
        other
            A volume on the same lattice (`roi_of`).
        roi
            In the voxels of this volume.
        fill
            Value outside of `other`.

        Returns
        -------
        ndarray
            Shape ``roi.shape``, the dtype of `other`.
        """
        other_roi = self.roi_of(other)
        common = other_roi.intersect(roi)
        voxels = np.full(roi.shape, fill, other.dtype)
        if common.size:
            part = other.read(common.shift(negate(other_roi.offset)))
            voxels[common.shift(negate(roi.offset)).slices] = part
        return voxels

    def position_nm(self, voxel: IntZYX) -> NmZYX:
        """Return the world position of the centre of `voxel`, nm."""
        return per_axis(
            lambda offset, index, size: offset + index * size,
            self.offset_nm,
            voxel,
            self.voxel_size,
        )

    def zeros(self, roi: Roi, *, dtype: npt.DTypeLike | None = None, **changes: Any) -> "Volume":
        """Return a volume of zeros, without padding, at the position of a part of this one.

        It is the template of an output.

        Parameters
        ----------
        roi
            The part, in the voxels of this volume. The original grid is that of this volume.
        dtype
            None: that of this volume.
        **changes
            Other fields to replace.
        """
        return self.with_array(
            ZeroArray(roi.shape, self.dtype if dtype is None else np.dtype(dtype)),
            offset_nm=self.position_nm(roi.offset),
            stated_grid=self.original_grid,
            **{"padding": (), **changes},
        )

    def with_array(self, array: ArrayLike, **changes: Any) -> "Volume":
        """Return a volume at the same position with another array."""
        return replace(self, array=array, **changes)

    def _whole_voxel_shift(self, origin_nm: NmZYX, name: str) -> IntZYX:
        """Return offset_nm - origin_nm in voxels, which must be integers."""
        exact = per_axis(
            lambda offset, origin, size: (offset - origin) / size,
            self.offset_nm,
            origin_nm,
            self.voxel_size,
        )
        shift = per_axis(lambda voxels: round(voxels), exact)
        if max(per_axis(lambda a, b: abs(a - b), exact, shift)) > WHOLE_VOXEL_TOLERANCE:
            raise ValueError(
                f"{self.name} and {name} are shifted by {format_nm(exact)} voxels; the shift must "
                "be a whole number of voxels: correct the offset (--offset-nm at import)"
            )
        return shift


def check_geometry(voxel_size: object, offset_nm: object, kind: object) -> None:
    """Raise ValueError for an invalid voxel size, offset or kind; None is always valid."""
    for name, value in (("voxel_size", voxel_size), ("offset_nm", offset_nm)):
        if value is not None:
            check_numbers(name, value, 3, "nm along (z, y, x)")
    if kind is not None and kind not in get_args(VolumeKind):
        raise ValueError(f"kind {shorten(kind)}: give 'image' or 'labels'")


def same_voxel_size(a: NmZYX, b: NmZYX) -> bool:
    """Return whether two voxel sizes are equal within a relative tolerance of 1e-6."""
    return all(abs(p - q) <= 1e-6 * max(p, q) for p, q in zip(a, b, strict=True))


def format_nm(values: tuple[float, ...]) -> str:
    """Format lengths for a message: ``5 x 4 x 5.24``."""
    return " x ".join(f"{value:.6g}" for value in values)
