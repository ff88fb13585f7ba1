"""Conversion of the voxels of labels to the ids that an import stores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.id_selection import IdSelection
from asem.volume.label_views import merge_selected
from asem.workflows.label_ids import UnlabelledOption, convert_to_ids


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
        stored = convert_to_ids(voxels, self.dtype, self.unlabelled)
        return stored if self.ids is None else merge_selected(stored, self.ids)
