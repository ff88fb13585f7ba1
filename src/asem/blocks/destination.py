"""What lies where an image is to be written, and what of it may be deleted.

::

    at the destination                                      without, with --overwrite
    nothing, or a lock and a journal that was just begun    begin       begin
    a journal: unfinished                                   resume      delete, begin
    metadata of asem: finished                              refuse      delete, begin
    levels without either: damaged                          refuse      delete, begin
    anything else                                           refuse      refuse
"""

import re
from collections.abc import Sequence
from pathlib import Path

from asem.blocks import journal
from asem.blocks.enclosing import is_own_image, refuse_within_output
from asem.system.contents import foreign_file
from asem.system.documents import parse_json, read_json
from asem.system.files import is_temporary, refuse_undecodable
from asem.system.names import refuse_link
from asem.volume import ngff

METADATA = "zarr.json"
LOCKED = ".__lock"
"""At the end of the names that tensorstore writes under."""
LOCK_FILES = r"(\.[\w.]+|lock)(\.owner)?"
ARRAY_FILES = rf"(zarr\.json|(c[/.])?\d+([/.]\d+)*)({re.escape(LOCKED)})?"
JOURNAL_FILES = (
    rf"({re.escape(journal.NAME)}|\*)/"
    rf"({LOCK_FILES}|journal\.jsonl|beside\.json|[^/*]+/([\d_]+\.npz|{ARRAY_FILES}))"
)
IMAGE_FILES = rf"zarr\.json|\d+/{ARRAY_FILES}|{JOURNAL_FILES}|{LOCK_FILES}"
"""The files of an image, finished or not, as regular expressions of paths in its folder."""


def check_way(path: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse to write where something lies, and with `overwrite` what may not be deleted.

    Raises
    ------
    FileExistsError
        Something lies at `path` that is not an unfinished output, and `overwrite` is False; or it
        is no image, or holds one of the sources or other things besides the image, or is a symbolic
        link.
    BlockingIOError
        Another process is writing it.
    """
    refuse_undecodable(path)
    if overwrite:
        refuse_link(path)
    ngff.check_groups_above(path)
    if is_to_be_deleted(path, sources, overwrite=overwrite):
        journal.refuse_if_locked(path)
        refuse_foreign(path)


def is_to_be_deleted(path: Path, sources: Sequence[Path], *, overwrite: bool) -> bool:
    """Whether an image is to be deleted before another is written; raises as `check_way` does.

    What is below the top level is not checked for foreign files (`refuse_foreign`).
    """
    refuse_within_output(path)
    if journal.is_vacant(path):
        return False
    if overwrite:
        _refuse_sources_within(path, sources)
    unfinished, finished = journal.is_unfinished(path), ngff.is_image(path)
    if unfinished and not overwrite:
        return False
    if not finished and not unfinished and not _is_damaged(path):
        raise FileExistsError(
            f"{path} exists already and is no image; it is not replaced: move it away, or give "
            "another place"
        )
    if not overwrite:
        what = "" if finished else " without its journal or metadata, damaged"
        raise FileExistsError(f"{path} exists already{what}; give --overwrite to replace it")
    if finished and not unfinished and not is_own_image(path):
        raise FileExistsError(
            f"{path} was not made by asem; delete it yourself, or give another place"
        )
    for entry in path.iterdir():
        if not (is_part(entry.name) or re.fullmatch(LOCK_FILES, entry.name)):
            raise _holds_more(path, entry.name)
    return True


def refuse_foreign(path: Path) -> None:
    """Raise FileExistsError where an image holds a file, at any depth, that is no part of one."""
    other = foreign_file(path, re.compile(IMAGE_FILES))
    if other is not None:
        raise _holds_more(path, other)


def _holds_more(path: Path, other: Path | str) -> FileExistsError:
    return FileExistsError(f"{path} holds more than an image ({other}); move that away")


def _refuse_sources_within(path: Path, sources: Sequence[Path]) -> None:
    for source in sources:
        if source.resolve() == path.resolve() or path.resolve() in source.resolve().parents:
            raise FileExistsError(f"{path} holds the input {source}; write to another place")


def is_part(name: str) -> bool:
    """Whether an entry of an image group is a level, its metadata or its journal."""
    own = name.startswith(journal.NAME)  # the journal, a lock, what a killed process left
    return own or name.isdigit() or name == METADATA


def _is_damaged(path: Path) -> bool:
    """Whether an image that lost its journal or its metadata lies at `path`, and nothing else.

    Its levels are Zarr arrays, as `asem.volume.arrays` writes them where no journal vouches for it,
    and there is no metadata, or some that was cut off.
    """
    if not path.is_dir() or path.is_symlink():
        return False
    names = {entry.name for entry in path.iterdir() if not is_temporary(entry.name)}
    levels = {name for name in names if name.isdigit()}
    ours = (path / journal.NAME / journal.JOURNAL).is_file()
    if names - levels - {METADATA, journal.NAME} or not (levels or METADATA in names or ours):
        return False
    if METADATA in names and not _is_cut(path / METADATA):
        return False
    return all(_is_level(path / name, ours=ours) for name in levels)


def _is_cut(file: Path) -> bool:
    """Whether metadata is none: a file that is empty, or was cut off in the middle."""
    if file.is_symlink() or not file.is_file():
        return False
    text = file.read_bytes()[: 2**20].rstrip(b"\0")
    try:
        parse_json(text, source=str(file))
    except ValueError:
        return text[:1] in (b"", b"{")
    return False


def _is_level(folder: Path, *, ours: bool) -> bool:
    """Whether there is a Zarr array, or the beginning of one, and nothing else in a folder."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if foreign_file(folder, re.compile(ARRAY_FILES)) is not None:
        return False
    return ours or not any(folder.iterdir()) or _is_ours(folder / METADATA)


def _is_ours(metadata: Path) -> bool:
    """Whether the metadata of an array is that of a level."""
    try:
        found = read_json(metadata)
    except (OSError, ValueError):
        return False
    codecs = found.get("codecs")
    codec = codecs[0] if isinstance(codecs, list) and codecs else None
    return (
        found.get("node_type") == "array"
        and found.get("dimension_names") == ["z", "y", "x"]
        and isinstance(codec, dict)
        and codec.get("name") == "sharding_indexed"
    )
