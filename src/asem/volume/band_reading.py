"""Arrays of which some rows of planes cannot be read without decoding the whole planes."""

from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from asem.volume.volume import ArrayLike


@runtime_checkable
class BandArray(ArrayLike, Protocol):
    """Array that states whether bands of its planes can be read: a TIFF stack, an HDF5 dataset."""

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows of a plane can be read without decoding the whole plane."""

    def read_into(self, out: npt.NDArray[Any], index: tuple[slice, slice, slice]) -> None:
        """Read a box into an array of its shape."""
