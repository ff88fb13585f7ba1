"""Edit history: a stack of edits with undo and redo, and the labels that they result in.

The edits below a level count; those above it are undone, can be redone, and are discarded by the
next edit::

    add a, add b, undo        a | b
    add c                     a   c |
"""

import numpy as np
import numpy.typing as npt

from asem.annotate.edits import Edit
from asem.volume.roi import Roi


class EditHistory:
    """Edits of one structure, in memory."""

    def __init__(self) -> None:
        self._edits: list[Edit] = []
        self._edit_count = 0

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits that are not undone, in order."""
        return tuple(self._edits[: self._edit_count])

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to undo."""
        return self._edit_count > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone edit, and none was added since."""
        return self._edit_count < len(self._edits)

    def add(self, edit: Edit) -> None:
        """Add an edit; discard those that were undone."""
        self._edits[self._edit_count :] = [edit]
        self._edit_count += 1

    def undo(self) -> Edit:
        """Undo the last edit and return it; there is one (`can_undo`)."""
        self._edit_count -= 1
        return self._edits[self._edit_count]

    def redo(self) -> Edit:
        """Redo the edit that was undone last and return it; there is one (`can_redo`)."""
        self._edit_count += 1
        return self._edits[self._edit_count - 1]

    def stroke_labels(self, window: Roi) -> npt.NDArray[np.uint8]:
        """Return the labels that the edits give to the voxels of a window.

        Returns
        -------
        ndarray
            uint8, the shape of `window`: 1 foreground, 2 background, 0 nothing.
        """
        labels = np.zeros(window.shape, np.uint8)
        for edit in self.edits:
            if edit.box.intersect(window).size:
                labels[edit.covered_voxels(window)] = edit.label
        return labels
