"""Array of zeros, as the array of a volume that is not written yet."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.roi import IntZYX


@dataclass(frozen=True)
class ZeroArray:
    """Array of zeros that needs no memory: the template of an output."""

    shape: IntZYX
    dtype: np.dtype[Any]

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Return zeros."""
        sizes = (len(range(*s.indices(n))) for s, n in zip(index, self.shape, strict=True))
        return np.zeros(tuple(sizes), self.dtype)
