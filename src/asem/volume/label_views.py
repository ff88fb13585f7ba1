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

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.band_reading import chunk_of, decodes_whole_planes, read_in_pieces
from asem.volume.id_selection import IdSelection
from asem.volume.roi import IntZYX, per_axis
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
    return array if dtype is None else ConvertedArray(array, dtype, partial(_cast, dtype=dtype))


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
    convert = partial(_to_unsigned, name=name, background=background, unlabelled=unlabelled)
    return ConvertedArray(array, np.dtype(f"u{dtype.itemsize}"), convert)


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
    convert = partial(_merge_block, ids=ids)
    return labels.with_array(ConvertedArray(labels.array, UINT8, convert))


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


def convert_to_ids(
    voxels: npt.NDArray[Any],
    dtype: np.dtype[Any],
    *,
    unlabelled: tuple[int, ...] = (),
    background: tuple[int, ...] = (),
) -> npt.NDArray[Any]:
    """Convert voxels to ids of an unsigned dtype that can represent all of them.

    Parameters
    ----------
    voxels
        Whole numbers; negative ones are `unlabelled` or `background` (`check_are_ids`).
    dtype
        Of the ids.
    unlabelled
        Values that become the largest of `dtype`.
    background
        Values that become 0, also those that are `unlabelled`.

    Examples
    --------
    >>> convert_to_ids(np.array([-1, 0, 3], np.int8), np.dtype(np.uint8), unlabelled=(-1,)).tolist()
    [255, 0, 3]
    """
    ids = voxels.astype(dtype, copy=False)
    largest = unlabelled_id(dtype)
    converted = [(value, largest) for value in unlabelled if value != largest]
    for value, new in [*converted, *((value, 0) for value in background)]:
        ids = np.where(voxels == value, dtype.type(new), ids)
    return ids


def check_are_ids(
    voxels: npt.NDArray[Any],
    offset: IntZYX,
    name: str,
    *,
    dtype: np.dtype[Any],
    other_values: tuple[int, ...],
    how: str = "give",
) -> None:
    """Raise ValueError where a value is no id; the message states its position.

    Parameters
    ----------
    voxels
        Labels of any dtype.
    offset
        Of the first voxel, for the message.
    name
        Of the source, for the message.
    dtype
        Unsigned dtype that must represent the ids.
    other_values
        Values that are allowed beside ids.
    how
        What to do with the option ``--unlabelled`` where -1 is unlabelled.
    """
    if voxels.dtype.kind in "bu":
        return
    is_invalid = ~(voxels >= 0)  # NaN, too
    if voxels.dtype.kind == "f":
        is_invalid |= (voxels >= 2.0 ** (8 * dtype.itemsize)) | (voxels != np.floor(voxels))
    for value in other_values:
        is_invalid &= voxels != value
    if not is_invalid.any():
        return
    first = np.unravel_index(int(np.argmax(is_invalid)), is_invalid.shape)
    position = per_axis(lambda start, index: int(start + index), offset, first)
    value = voxels[first].item()
    advice = f"; if -1 is unlabelled, {how} --unlabelled -1" if value == -1 else ""
    raise ValueError(
        f"{name} is {voxels.dtype} and holds {value} at (z, y, x) = {position}; labels are whole "
        f"numbers from 0 to {unlabelled_id(dtype) - 1}{advice}"
    )


def _cast(voxels: npt.NDArray[Any], _: IntZYX, *, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return voxels.astype(dtype)


def _merge_block(labels: npt.NDArray[Any], _: IntZYX, *, ids: IdSelection) -> npt.NDArray[np.uint8]:
    return merge_selected(labels, ids)


def _to_unsigned(
    stored: npt.NDArray[Any],
    offset: IntZYX,
    *,
    name: str,
    background: tuple[int, ...],
    unlabelled: tuple[int, ...],
) -> npt.NDArray[Any]:
    """Return labels as unsigned ids of the same size; the largest value is unlabelled, too."""
    dtype = np.dtype(f"u{stored.dtype.itemsize}")
    values = (*background, *unlabelled)
    how = "import it with --kind labels"
    check_are_ids(stored, offset, name, dtype=dtype, other_values=values, how=how)
    largest = () if stored.dtype.kind == "b" else (int(np.iinfo(stored.dtype).max),)
    return convert_to_ids(stored, dtype, unlabelled=(*unlabelled, *largest), background=background)


@dataclass(frozen=True)
class ConvertedArray:
    """View of an array whose voxels are converted when they are read.

    Parameters
    ----------
    array
        The stored voxels.
    dtype
        Of the converted voxels.
    convert
        Returns the converted voxels of a box, from the stored ones and the offset of the box.
    """

    array: ArrayLike
    dtype: np.dtype[Any]
    convert: Callable[[npt.NDArray[Any], IntZYX], npt.NDArray[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""
        return self.array.shape

    @property
    def chunk(self) -> IntZYX:
        """Voxels along (z, y, x) that are read at a time."""
        return chunk_of(self.array)

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows of a plane can be read without decoding the whole plane."""
        return not decodes_whole_planes(self.array)

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Read a box.

        Raises
        ------
        ValueError
            A value of labels is no id.
        """
        return self.convert(np.asarray(self.array[index]), per_axis(lambda s: s.start or 0, index))

    def read_into(self, out: npt.NDArray[Any], index: tuple[slice, slice, slice]) -> None:
        """Read a box into an array of its shape, some planes at a time."""
        read_in_pieces(self, out, index)
