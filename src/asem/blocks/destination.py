"""Check what exists at the destination of an image, and whether it may be deleted.

::

    at the destination                                      without, with --overwrite
    nothing, or a lock and an empty journal                 start       start
    a journal: unfinished                                   resume      delete, start
    metadata of asem: finished                              error       delete, start
    levels without either: damaged                          error       delete, start
    anything else, or one of these with other files         error       error

An unfinished image with other files can be resumed.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from asem.blocks.output_lock import check_not_locked, is_empty_destination, list_names
from asem.blocks.output_nesting import METADATA_FILE, check_not_within_output, is_asem_image
from asem.blocks.output_ownership import JOURNAL_FILE, JOURNAL_FOLDER, is_unfinished_output
from asem.system.atomic_rename import check_not_link
from asem.system.files import check_utf8_path, is_temporary_name
from asem.system.folder_snapshot import find_foreign_file
from asem.system.json_toml import parse_json, read_json
from asem.system.overwrite_policy import OutputKind, exists_error
from asem.volume import ngff
from asem.volume.zarr_groups import check_groups_above

TENSORSTORE_LOCK_SUFFIX = ".__lock"
"""Suffix of the temporary files of tensorstore."""
LOCK_FILE_PATTERN = r"(\.[\w.]+|lock)(\.owner)?"
ARRAY_FILE_PATTERN = rf"(zarr\.json|(c[/.])?\d+([/.]\d+)*)({re.escape(TENSORSTORE_LOCK_SUFFIX)})?"
JOURNAL_FILE_PATTERN = (
    rf"({re.escape(JOURNAL_FOLDER)}|\*)/"
    rf"({LOCK_FILE_PATTERN}|journal\.jsonl|beside\.json|[^/*]+/([\d_]+\.(npz|bin)|{ARRAY_FILE_PATTERN}))"
)
IMAGE_FILE_PATTERN = (
    rf"zarr\.json|\d+/{ARRAY_FILE_PATTERN}|{JOURNAL_FILE_PATTERN}|{LOCK_FILE_PATTERN}"
)
"""The files of an image, finished or not, as regular expressions of paths in its folder."""


def check_destination(path: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Raise an error if an image cannot be written to `path`.

    Raises
    ------
    FileExistsError
        `overwrite` is False and `path` exists and is not an unfinished output; or `path` is not an
        image, contains one of the sources or foreign files, or is a symbolic link.
    BlockingIOError
        Another process is writing the image.
    """
    check_utf8_path(path)
    if overwrite:
        check_not_link(path)
    check_groups_above(path)
    if check_replaces_image(path, sources, overwrite=overwrite):
        check_not_locked(path)
        IMAGE.check_deletable(path)


def check_replaces_image(path: Path, sources: Sequence[Path], *, overwrite: bool) -> bool:
    """Return whether an image must be deleted before another is written.

    Raises the errors of `check_destination`, but where True is returned, `IMAGE.check_deletable` is
    to be called with the lock.
    """
    check_not_within_output(path)
    if is_empty_destination(path):
        return False
    if overwrite:
        _check_no_sources_within(path, sources)
    unfinished = is_unfinished_output(path)
    if unfinished and not overwrite:
        return False
    finished = ngff.is_image(path)
    if not unfinished and not (is_asem_image(path) if finished else _is_damaged(path)):
        raise IMAGE.foreign_error(path)
    if not overwrite:
        check_not_link(path)
        IMAGE.check_deletable(path)
        raise exists_error(path, "" if finished else " without its journal or metadata, damaged")
    return True


def _find_foreign(path: Path) -> Path | None:
    """Return an entry that is not of an image, or a file at any depth."""
    for name in list_names(path):
        if not (is_image_entry(name) or re.fullmatch(LOCK_FILE_PATTERN, name)):
            return Path(name)
    return find_foreign_file(path, re.compile(IMAGE_FILE_PATTERN))


IMAGE = OutputKind("an image", _find_foreign)


def _check_no_sources_within(path: Path, sources: Sequence[Path]) -> None:
    for source in sources:
        if source.resolve() == path.resolve() or path.resolve() in source.resolve().parents:
            raise FileExistsError(f"{path} holds the input {source}; give another path")


def is_image_entry(name: str) -> bool:
    """Return whether an entry of an image group is a level, its metadata or its journal."""
    is_temporary = name.startswith(JOURNAL_FOLDER)  # journal, lock, leftovers of killed processes
    return is_temporary or name.isdigit() or name == METADATA_FILE


def _is_damaged(path: Path) -> bool:
    """Return whether `path` is an image that lost its journal or metadata, without other files.

    Its metadata is missing or truncated. If it has no journal, its levels must be Zarr arrays as
    `asem.volume.zarr_arrays` writes them.
    """
    if not path.is_dir() or path.is_symlink():
        return False
    names = {name for name in list_names(path) if not is_temporary_name(name)}
    levels = {name for name in names if name.isdigit()}
    has_journal = (path / JOURNAL_FOLDER / JOURNAL_FILE).is_file()
    if names - levels - {METADATA_FILE, JOURNAL_FOLDER} or not (
        levels or METADATA_FILE in names or has_journal
    ):
        return False
    if METADATA_FILE in names and not _is_truncated(path / METADATA_FILE):
        return False
    return all(_is_level_folder(path / name, has_journal=has_journal) for name in levels)


def _is_truncated(file: Path) -> bool:
    """Return whether a metadata file is empty, or was cut off."""
    if file.is_symlink() or not file.is_file():
        return False
    text = file.read_bytes()[: 2**20].rstrip(b"\0")
    try:
        parse_json(text, source=str(file))
    except ValueError:
        return text[:1] in (b"", b"{")
    return False


def _is_level_folder(folder: Path, *, has_journal: bool) -> bool:
    """Return whether a folder contains a Zarr array, complete or not, and no other files."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if find_foreign_file(folder, re.compile(ARRAY_FILE_PATTERN)) is not None:
        return False
    return has_journal or not any(folder.iterdir()) or _is_level_metadata(folder / METADATA_FILE)


def _is_level_metadata(metadata: Path) -> bool:
    """Return whether the metadata of an array is that of a level."""
    try:
        array = read_json(metadata)
    except (OSError, ValueError):
        return False
    codecs = array.get("codecs")
    codec = codecs[0] if isinstance(codecs, list) and codecs else None
    return (
        array.get("node_type") == "array"
        and array.get("dimension_names") == ["z", "y", "x"]
        and isinstance(codec, dict)
        and codec.get("name") == "sharding_indexed"
    )
