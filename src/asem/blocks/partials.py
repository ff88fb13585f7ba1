"""What each block found out, kept in files until all blocks are put together."""

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.own_files import own_folder, replaced_own
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

    def find(self, block: Roi) -> dict[str, npt.NDArray[Any]] | None:
        """Return what was kept for `block`; None where nothing was."""
        return self.load(block) if self._path(block).exists() else None

    def load(self, block: Roi) -> dict[str, npt.NDArray[Any]]:
        """Return what was kept for `block`.

        Raises
        ------
        OSError
            The file is gone or damaged.
        """
        path = self._path(block)
        try:
            with np.load(path) as found:
                return dict(found)
        except (EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise OSError(f"{path} is damaged; begin again with --overwrite") from error

    def _path(self, block: Roi) -> Path:
        return self.folder / f"{'_'.join(map(str, block.offset))}.npz"
