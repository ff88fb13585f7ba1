"""Annotation session: a locked folder with the annotations of one raw volume, one per structure.

::

    SESSION/.asem/lock, session.json           lock of the process; identity of raw
    SESSION/mito/log.jsonl                     append-only log, one event per line
    SESSION/mito/accepted/0-64_0-64_8-72.npz   labels of an accepted window, z, y and x
    SESSION/mito/predictions/0-64_0-64_8-72.npz    prediction of a network for a window
"""

import json
import re
from pathlib import Path
from typing import IO, Any, Self

from asem.annotate.structure_annotation import (
    ACCEPTED_FOLDER,
    EVENTS_FILE,
    PREDICTIONS_FOLDER,
    StructureAnnotation,
)
from asem.blocks.output_lock import lock_output
from asem.blocks.output_nesting import check_not_within_output
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.system.files import check_utf8_path
from asem.system.json_toml import read_json
from asem.system.nofollow_files import check_no_links, make_folder_nofollow, replace_file_nofollow
from asem.system.overwrite_policy import OutputKind
from asem.volume.roi import IntZYX, Roi


class AnnotationSession:
    """Annotations of one raw volume; no other process can open them until they are closed.

    Parameters
    ----------
    folder
        Of the session.
    volume_roi
        Box of raw.
    lock
        Lock of the folder.
    """

    def __init__(self, folder: Path, volume_roi: Roi, lock: IO[bytes]) -> None:
        self.folder, self.volume_roi, self._lock = folder, volume_roi, lock
        self._annotations: dict[str, StructureAnnotation] = {}

    @classmethod
    def open(cls, folder: Path, raw_identity: str | dict[str, Any], shape: IntZYX) -> Self:
        """Open the session in `folder`, or create one.

        Parameters
        ----------
        folder
            Of the session; created if missing.
        raw_identity
            Identity of raw, JSON values.
        shape
            Of raw, voxels.

        Raises
        ------
        BlockingIOError
            It is open elsewhere.
        FileExistsError
            The folder contains anything else; nothing is written there.
        ValueError
            It belongs to another raw, or its description is damaged.
        OSError
            One of its own files is a symbolic link.
        """
        check_utf8_path(folder)
        if not (folder / JOURNAL_FOLDER / "session.json").exists():
            check_not_within_output(folder)
            SESSION.check_replaceable(folder, overwrite=True)
        volume = Roi.of_shape(shape)
        raw = json.loads(json.dumps({"raw": raw_identity, "shape": volume.shape}))
        try:
            lock = lock_output(folder)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"the annotation session {folder} is open elsewhere; close it there, or give "
                "another folder"
            ) from error
        try:
            _create_or_check(folder, raw)
        except (OSError, ValueError):
            lock.close()
            raise
        return cls(folder, volume, lock)

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures with an annotation, in alphabetical order."""
        return tuple(sorted(log.parent.name for log in self.folder.glob(f"*/{EVENTS_FILE}")))

    def open_structure(self, name: str) -> StructureAnnotation:
        """Open the annotation of a structure, or create it; the session closes it.

        Parameters
        ----------
        name
            Letters, digits, ``_``, ``-`` and, not first, ``.``.

        Raises
        ------
        ValueError
            The name is not allowed, its log is damaged, or the session is closed.
        OSError
            One of its files is a symbolic link.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
            raise ValueError(
                f"'{name}' is no name of a structure; use letters, digits, _, - and, not first, ."
            )
        if self._lock.closed:
            raise ValueError(f"the session {self.folder} is closed; open it again")
        if name not in self._annotations:
            check_no_links([make_folder_nofollow(self.folder / name)])
            self._annotations[name] = StructureAnnotation(
                self.folder / name, self.volume_roi, self._lock
            )
        return self._annotations[name]

    def close(self) -> None:
        """Close and unlock the session; all edits are on disk."""
        for annotation in self._annotations.values():
            annotation.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _find_foreign(folder: Path) -> Path | None:
    """Return ``Path()`` for anything else than a folder with the names of a session's entries."""
    is_session = folder.is_dir() and all(
        _is_own(entry) or (entry.is_dir() and all(_is_own(inner) for inner in entry.iterdir()))
        for entry in folder.iterdir()
    )
    return None if is_session else Path()


def _is_own(entry: Path) -> bool:
    """Whether a session has an entry of this name; a link in its place is an error later."""
    is_own = entry.name in (EVENTS_FILE, ACCEPTED_FOLDER, PREDICTIONS_FOLDER)
    return is_own or entry.name.startswith(JOURNAL_FOLDER) or entry.is_symlink()


SESSION = OutputKind("an annotation session", _find_foreign, refusal="nothing is written there")


def _create_or_check(folder: Path, raw: dict[str, Any]) -> None:
    """Write the identity of raw, or raise ValueError where the session is that of another raw."""
    path = folder / JOURNAL_FOLDER / "session.json"
    check_no_links([folder / JOURNAL_FOLDER])
    if not path.exists():
        with replace_file_nofollow(path) as file:
            file.write(json.dumps(raw).encode())
        return
    try:
        stored = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} has no identity of the session's raw: {error}") from error
    if stored != raw:
        differs = [f"{key}: {stored.get(key)} then, {raw[key]} now" for key in raw]
        raise ValueError(
            f"{folder} is a session of another raw ({'; '.join(differs)}); open it with that one, "
            "or give another folder"
        )
