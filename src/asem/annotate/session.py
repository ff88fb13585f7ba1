"""The annotations of a raw volume, structure by structure, in one folder.

::

    SESSION/.asem/lock, session.json           who has it open; of which raw it is
    SESSION/mito/log.jsonl                     what happened, one event a line, only ever added to
    SESSION/mito/accepted/0-64_0-64_8-72.npz   labels of a finished window, z, y and x
    SESSION/mito/guesses/0-64_0-64_8-72.npz    what a network predicts of it
"""

import json
import re
from pathlib import Path
from typing import IO, Any, Self

from asem.annotate.annotation import LOG, Annotation
from asem.blocks.enclosing import refuse_within_output
from asem.blocks.journal import NAME, locked
from asem.system.documents import read_json
from asem.system.files import refuse_undecodable
from asem.system.own_files import own_folder, refuse_links, replaced_own
from asem.volume.roi import Roi, Triple


class Session:
    """The annotations of one raw volume; nobody else can open it until it is closed.

    Parameters
    ----------
    folder
        Where it lies.
    volume
        Of raw.
    lock
        On the folder.
    """

    def __init__(self, folder: Path, volume: Roi, lock: IO[bytes]) -> None:
        self.folder, self.volume, self._lock = folder, volume, lock
        self._annotations: dict[str, Annotation] = {}

    @classmethod
    def open(cls, folder: Path, raw_identity: str | dict[str, Any], shape: Triple) -> Self:
        """Go on with the session in `folder`, or begin one.

        Parameters
        ----------
        folder
            Where it lies; made if need be.
        raw_identity
            What tells raw from any other, as JSON values.
        shape
            Of raw, voxels.

        Raises
        ------
        BlockingIOError
            It is open elsewhere.
        ValueError
            It belongs to another raw, or does not say to which.
        OSError
            There is a symbolic link among its own files.
        """
        refuse_undecodable(folder)
        if not (folder / NAME / "session.json").exists():
            refuse_within_output(folder)
        volume = Roi.whole(shape)
        raw = json.loads(json.dumps({"raw": raw_identity, "shape": volume.shape}))
        try:
            lock = locked(folder)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"the annotation session {folder} is open elsewhere; close it there, or give "
                "another folder"
            ) from error
        try:
            _begin(folder, raw)
        except (OSError, ValueError):
            lock.close()
            raise
        return cls(folder, volume, lock)

    @property
    def structures(self) -> tuple[str, ...]:
        """Those that were begun, in alphabetical order."""
        return tuple(sorted(log.parent.name for log in self.folder.glob(f"*/{LOG}")))

    def structure(self, name: str) -> Annotation:
        """Open the annotation of a structure, or begin it; it is closed with the session.

        Parameters
        ----------
        name
            Letters, digits, ``_``, ``-`` and, not first, ``.``.

        Raises
        ------
        ValueError
            It is no such name, its log is damaged, or the session is closed.
        OSError
            There is a symbolic link among its files.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
            raise ValueError(
                f"'{name}' is no name of a structure; use letters, digits, _, - and, not first, ."
            )
        if self._lock.closed:
            raise ValueError(f"the session {self.folder} is closed; open it again")
        if name not in self._annotations:
            refuse_links([own_folder(self.folder / name)])
            self._annotations[name] = Annotation(self.folder / name, self.volume, self._lock)
        return self._annotations[name]

    def close(self) -> None:
        """Close and unlock; all that was drawn stays."""
        for annotation in self._annotations.values():
            annotation.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _begin(folder: Path, raw: dict[str, Any]) -> None:
    """Write down whose session it is, or refuse one of another raw."""
    path = folder / NAME / "session.json"
    refuse_links([folder / NAME])
    if not path.exists():
        with replaced_own(path) as file:
            file.write(json.dumps(raw).encode())
        return
    try:
        begun = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} does not say of which raw the session is: {error}") from error
    if begun != raw:
        differs = [f"{key}: {begun.get(key)} then, {raw[key]} now" for key in raw]
        raise ValueError(
            f"{folder} is a session of another raw ({'; '.join(differs)}); open it with that one, "
            "or give another folder"
        )
