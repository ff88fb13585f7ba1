"""A window of a structure as the session has it: what is laid on the desk."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asem.annotate.annotation import Annotation, Guess
from asem.volume.roi import Roi
from asem.volume.volume import Volume


@dataclass(frozen=True, eq=False)
class Sheet:
    """All that is known of a window.

    Parameters
    ----------
    image
        Raw, shape (z, y, x).
    strokes
        uint8: 1 foreground, 2 background, 0 nothing.
    accepted
        bool: its labels, if it is accepted.
    guess
        What a network predicts, if one begins it.
    damage
        What of that cannot be read, in words; "" where all can.
    """

    image: npt.NDArray[np.generic]
    strokes: npt.NDArray[np.uint8]
    accepted: npt.NDArray[np.bool_] | None
    guess: Guess | None
    damage: str

    @classmethod
    def of(cls, volume: Volume, annotation: Annotation, window: Roi) -> Self:
        """Read a window.

        Raises
        ------
        ValueError, OSError
            Raw cannot be read. Where labels or a guess cannot, the strokes are there all the same.
        """
        image, strokes = volume.read(window), annotation.painted(window)
        accepted, guess, damage = None, None, ""
        try:
            if window in annotation.accepted:
                accepted = annotation.labels(window)
        except OSError as fault:
            damage = str(fault)
        try:
            guess = annotation.guess(window)
        except OSError as fault:
            damage = damage or str(fault)
        return cls(image, strokes, accepted, guess, damage)
