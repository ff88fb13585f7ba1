"""Picture of a pit or vesicle with its outline and the lines that were measured."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PICTURE_STEP_NM = 2.0
"""Edge of a pixel."""
PICTURE_REACH_NM = 140.0
"""From the centre of a picture to its sides."""


@dataclass(frozen=True)
class PitPicture:
    """A plane through the axis of a pit, with the cytosol below; or through a vesicle.

    Parameters
    ----------
    view
        Grey values, float32, (n, n), nan outside of the image; rows down, columns to the right,
        step `PICTURE_STEP_NM`; the centre of the middle pixel is the centre of the outline.
    outline_nm
        The darkest line, (m, 2), (right, down) from the centre of the view: from the surrounding
        membrane at one side to that at the other, or closed.
    lines_nm
        Ends, (2, 2), (right, down), of the lines by name: ``height``, ``width``, ``neck`` and
        ``plane``, the surrounding membrane; of a vesicle only ``width``.
    """

    view: npt.NDArray[np.float32]
    outline_nm: npt.NDArray[np.float64]
    lines_nm: dict[str, npt.NDArray[np.float64]]
