"""Lazy views of arrays as grey values or label ids; they have the shape of the array.

::

    image    float16                   float32
             bool                      uint8, 0 and 1
    labels   bool                      uint8
             signed                    unsigned of the same size; its largest value is unlabelled
             value of unlabelled       the largest value (COSEM: unknown)
             value of background       0 (COSEM: absent)
             with ids 3,5-7            uint8: 1 for these ids, 0 for others, 255 unlabelled

A view can be pickled if its array can.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.id_selection import IdSelection
from asem.volume.roi import per_axis
from asem.volume.volume import ArrayLike, Volume

UINT8 = np.dtype(np.uint8)
IMAGE_DTYPES: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float16): np.dtype(np.float32),
    np.dtype(np.bool_): UINT8,
}
"""Dtypes of images that are read as another one."""


def unlabelled_id(dtype: np.dtype[Any]) -> int:
    """Return the id of unlabelled voxels: the maximum of an unsigned dtype."""
    return int(np.iinfo(dtype).max)


def dtype_of(array: ArrayLike) -> np.dtype[Any]:
    """Return the numpy dtype of an array; tensorstore has a dtype class of its own."""
    dtype: np.dtype[Any] = np.dtype(getattr(array.dtype, "numpy_dtype", array.dtype))
    return dtype


def view_as_image(array: ArrayLike) -> ArrayLike:
    """Return an array with a dtype of images: float16 as float32, bool as uint8."""
    dtype = IMAGE_DTYPES.get(dtype_of(array))
    return array if dtype is None else CastArray(array, dtype)


def view_as_labels(
    array: ArrayLike,
    name: str,
    *,
    background: tuple[int, ...] = (),
    unlabelled: tuple[int, ...] = (),
) -> ArrayLike:
    """Return an array as unsigned ids: 0 is background, the largest value unlabelled.

    Parameters
    ----------
    array
        Labels.
    name
        Of the source, for messages.
    background, unlabelled
        Values of background and unlabelled voxels in the array, beside 0 and the largest of the
        dtype.

    Raises
    ------
    ValueError
        The dtype is float.
    """
    dtype = dtype_of(array)
    if dtype.kind == "f":
        raise ValueError(
            f"{name} is {dtype}, and labels are integers; import it: asem import {name} "
            "cell.zarr/labels/mito --kind labels"
        )
    if dtype.kind == "u" and not background and not unlabelled:
        return array
    return UnsignedLabels(array, name, background, unlabelled)


def select_ids(labels: Volume, ids: IdSelection | None) -> Volume:
    """Return labels of 1 where an id is selected, 0 elsewhere, 255 where unlabelled.

    Parameters
    ----------
    labels
        Unsigned.
    ids
        None: all ids; returns `labels`.

    Raises
    ------
    ValueError
        A selected id means unlabelled, or the dtype cannot represent it.
    """
    if ids is None:
        return labels
    check_ids(ids, labels.name, labels.dtype)
    return labels.with_array(SelectedIds(labels.array, ids))


def check_ids(ids: IdSelection, name: str, dtype: np.dtype[Any]) -> None:
    """Raise ValueError where a selected id is no id of an unsigned dtype."""
    largest = ids.ranges[-1][1]
    if largest >= unlabelled_id(dtype):
        raise ValueError(
            f"ids {ids}: {name} is {dtype}, whose ids end at {unlabelled_id(dtype) - 1}; "
            f"{unlabelled_id(dtype)} is unlabelled"
        )


def merge_selected(labels: npt.NDArray[Any], ids: IdSelection) -> npt.NDArray[np.uint8]:
    """Return 1 where an id is selected, 255 where unlabelled, else 0.

    Examples
    --------
    >>> merge_selected(np.array([0, 3, 4, 65535], np.uint16), IdSelection.parse("4-9")).tolist()
    [0, 0, 1, 255]
    """
    merged = ids.contains(labels).view(np.uint8)
    merged[labels == unlabelled_id(labels.dtype)] = unlabelled_id(UINT8)
    return merged


def _equals_any(voxels: npt.NDArray[Any], values: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    equal = np.zeros(voxels.shape, np.bool_)
    for value in values:
        equal |= voxels == value
    return equal


@dataclass(frozen=True)
class CastArray:
    """An array in another dtype, which can represent all values."""

    array: ArrayLike
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""
        return self.array.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Read a box."""
        return np.asarray(self.array[index]).astype(self.dtype)


@dataclass(frozen=True)
class UnsignedLabels:
    """Labels as unsigned ids of the same size.

    Parameters
    ----------
    array
        Unsigned, signed or bool.
    name
        Of the source, for messages.
    background, unlabelled
        Values of background and unlabelled voxels, beside 0 and the largest of the dtype.
    """

    array: ArrayLike
    name: str
    background: tuple[int, ...] = ()
    unlabelled: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the ids."""
        return np.dtype(f"u{dtype_of(self.array).itemsize}")

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Read a box.

        Raises
        ------
        ValueError
            A value is negative, and neither `background` nor `unlabelled`.
        """
        stored = np.asarray(self.array[index])
        ids = stored.astype(self.dtype)
        is_background = _equals_any(stored, self.background)
        is_unlabelled = _equals_any(stored, self.unlabelled)
        if stored.dtype.kind != "b":
            is_unlabelled |= (stored == np.iinfo(stored.dtype).max) & ~is_background
        if stored.dtype.kind == "i":
            self._check_sign(stored, (stored < 0) & ~is_background & ~is_unlabelled, index)
        ids[is_unlabelled] = unlabelled_id(self.dtype)
        ids[is_background] = 0
        return ids

    def _check_sign(
        self,
        stored: npt.NDArray[Any],
        is_invalid: npt.NDArray[np.bool_],
        index: tuple[slice, slice, slice],
    ) -> None:
        if not is_invalid.any():
            return
        first = np.unravel_index(int(np.argmax(is_invalid)), is_invalid.shape)
        position = per_axis(lambda part, i: int((part.start or 0) + i), index, first)
        value = stored[first].item()
        advice = (
            "; if -1 is unlabelled, import it with --kind labels --unlabelled -1"
            if value == -1
            else ""
        )
        raise ValueError(
            f"{self.name} is {stored.dtype} and holds {value} at (z, y, x) = {position}; ids are "
            f"0 and more{advice}"
        )


@dataclass(frozen=True)
class SelectedIds:
    """Labels with 1 where an id is selected, 255 where unlabelled, else 0.

    Parameters
    ----------
    labels
        Unsigned ids; the largest value of the dtype is unlabelled.
    ids
        The selected ones.
    """

    labels: ArrayLike
    ids: IdSelection
    dtype: np.dtype[Any] = UINT8

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""
        return self.labels.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[np.uint8]:
        """Read a box."""
        return merge_selected(np.asarray(self.labels[index]), self.ids)
