"""What each block found out, kept in files until all blocks are put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.system.npz import Form, read_arrays
from asem.system.own_files import own_folder, replaced_own
from asem.volume.roi import Roi


@dataclass(frozen=True)
class Partials:
    """One file of named arrays for each block; it can be pickled.

    Parameters
    ----------
    folder
        Where they lie, in reach of all workers; its parent exists.
    claim
        Called before each file is written; it raises OSError where that is not allowed any more.
    """

    folder: Path
    claim: Callable[[], None] | None = None

    def save(self, block: Roi, **arrays: npt.NDArray[Any]) -> None:
        """Keep `arrays` for `block`; the file appears when it is complete."""
        own_folder(self.folder)
        path = self._path(block)
        with replaced_own(path, self.claim) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def find(self, block: Roi, **forms: Form) -> dict[str, npt.NDArray[Any]] | None:
        """Return what was kept for `block`, as `load` does; None where nothing was."""
        return self.load(block, **forms) if self._path(block).exists() else None

    def load(self, block: Roi, **forms: Form) -> dict[str, npt.NDArray[Any]]:
        """Return what was kept for `block`: the arrays that `forms` name.

        Raises
        ------
        OSError
            The file is gone or damaged, or an array has another form.
        """
        path = self._path(block)
        try:
            return read_arrays(path, forms)
        except ValueError as error:
            raise self.damage(block) from error

    def damage(self, block: Roi) -> OSError:
        """Return the error of a file whose arrays do not fit together."""
        return OSError(f"{self._path(block)} is damaged; begin again with --overwrite")

    def _path(self, block: Roi) -> Path:
        return self.folder / f"{'_'.join(map(str, block.offset))}.npz"
