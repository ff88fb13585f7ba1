"""Convert imported labels to ids: their dtype, and the value that means unlabelled."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asem.volume.id_selection import IdSelection
from asem.volume.label_views import convert_to_ids, merge_selected, unlabelled_id

UnlabelledOption = int | Literal["auto", "none"]
"""The value that means unlabelled; the maximum of an integer dtype; none."""


def stored_dtype(dtype: np.dtype[Any], unlabelled: UnlabelledOption) -> np.dtype[Any]:
    """Return the unsigned dtype that represents all ids of a dtype.

    It has the same size, or twice the size where the largest value of an unsigned dtype is an id,
    since the largest value of the stored dtype means unlabelled.

    Examples
    --------
    >>> [str(stored_dtype(np.dtype(d), "auto")) for d in ("uint8", "int32", "float64")]
    ['uint8', 'uint32', 'uint64']
    >>> [str(stored_dtype(np.dtype("uint8"), value)) for value in ("none", 0, 255)]
    ['uint16', 'uint16', 'uint8']
    """
    size = dtype.itemsize
    if dtype.kind == "u" and size < 8 and unlabelled not in ("auto", unlabelled_id(dtype)):
        size *= 2
    return np.dtype(f"u{size}")


def unlabelled_value_of(dtype: np.dtype[Any], unlabelled: UnlabelledOption) -> int | None:
    """Return the unlabelled value of a source dtype; None: none, or that of the stored dtype.

    Examples
    --------
    >>> [unlabelled_value_of(np.dtype(d), "auto") for d in ("uint8", "int16", "float32")]
    [255, 32767, None]
    >>> [unlabelled_value_of(np.dtype("int16"), value) for value in ("none", -1)]
    [None, -1]
    """
    if isinstance(unlabelled, int):
        return unlabelled
    return int(np.iinfo(dtype).max) if unlabelled == "auto" and dtype.kind in "ui" else None


@dataclass(frozen=True)
class LabelConversion:
    """Conversion of labels to stored ids.

    Parameters
    ----------
    dtype
        Unsigned dtype of all ids of the source.
    unlabelled, ids
        As in `asem.workflows.importing.ImportOptions`.
    """

    dtype: np.dtype[Any]
    unlabelled: UnlabelledOption
    ids: IdSelection | None

    def __call__(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the stored ids."""
        ids = self.to_ids(voxels)
        return ids if self.ids is None else merge_selected(ids, self.ids)

    def to_ids(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return all ids of the source; the largest of `dtype` is unlabelled."""
        value = unlabelled_value_of(voxels.dtype, self.unlabelled)
        return convert_to_ids(voxels, self.dtype, unlabelled=() if value is None else (value,))
