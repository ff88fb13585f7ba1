"""Store the result of each block in a file until all are merged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.system.nofollow_files import make_folder_nofollow, replace_file_nofollow
from asem.system.npz import ArraySpec, read_npz
from asem.system.overwrite_policy import advise_restart
from asem.volume.roi import Roi


@dataclass(frozen=True)
class BlockResults:
    """One file of named arrays per block. The object can be pickled.

    Parameters
    ----------
    folder
        Folder of the files, accessible to all workers; its parent exists.
    check_ownership
        Called before each file is written; raises OSError if that is no longer allowed.
    """

    folder: Path
    check_ownership: Callable[[], None] | None = None

    def save(self, block: Roi, **arrays: npt.NDArray[Any]) -> None:
        """Store the arrays of a block; the file appears when it is complete."""
        make_folder_nofollow(self.folder)
        path = self._path(block)
        with replace_file_nofollow(path, self.check_ownership) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def load_if_exists(self, block: Roi, **specs: ArraySpec) -> dict[str, npt.NDArray[Any]] | None:
        """Return the stored arrays of a block, as `load` does; None if there are none."""
        return self.load(block, **specs) if self._path(block).exists() else None

    def load(self, block: Roi, **specs: ArraySpec) -> dict[str, npt.NDArray[Any]]:
        """Return the stored arrays of a block that `specs` names.

        Raises
        ------
        OSError
            The file is missing or damaged, or an array has another dtype or shape.
        """
        path = self._path(block)
        try:
            return read_npz(path, specs)
        except ValueError as error:
            raise self.make_damage_error(block) from error

    def make_damage_error(self, block: Roi) -> OSError:
        """Return the error of a file whose arrays are inconsistent."""
        return OSError(advise_restart(f"{self._path(block)} is damaged"))

    def _path(self, block: Roi) -> Path:
        return self.folder / f"{'_'.join(map(str, block.offset))}.npz"
