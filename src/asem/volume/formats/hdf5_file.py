"""Read-only access to HDF5 files from untrusted sources: no other file is opened through them.

A file may name others: external links, datasets with external storage, and virtual datasets. All of
them are reported instead of followed, before the library opens anything.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from asem.config import shorten
from asem.volume.formats.hdf5_heaps import check_global_heaps
from asem.volume.formats.single_file import SingleFile

HDF5_ERRORS = (
    OSError, RuntimeError, KeyError, IndexError, ValueError, TypeError, AttributeError,
    ArithmeticError, SystemError,
)  # fmt: skip
"""Exceptions of h5py on damaged files (found by truncating and corrupting files)."""
MAX_REASON_CHARACTERS = 200
MAX_SOFT_LINKS = 16
"""Soft links of one path that are followed."""
MAX_OBJECTS, MAX_DEPTH = 20_000, 16
"""Groups and datasets that are listed, and levels of groups."""
MAX_ATTRIBUTE_BYTES = 2**20
ATTRIBUTES = (
    "axistags", "axis_units", "axes", "axis_names", "units", "element_size_um", "resolution",
    "voxel_size", "offset",
)  # fmt: skip
"""Attributes of datasets that are read (`asem.volume.formats.hdf5_metadata`)."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset states about itself, as plain values.

    Parameters
    ----------
    name
        Absolute path in the file, without links.
    shape, dtype
        Of the stored array; None for a dtype that numpy lacks.
    chunk
        Shape of a chunk; None: contiguous.
    filters
        Number and name of each filter of the chunks.
    storage_bytes
        Bytes in the file.
    attributes
        Those of `ATTRIBUTES` that exist, by name.
    axis_labels
        Labels of the axes; empty where none is set.
    other_files
        How it uses other files, as text; empty: it does not.
    """

    name: str
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None
    chunk: tuple[int, ...] | None = None
    filters: tuple[tuple[int, str], ...] = ()
    storage_bytes: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    axis_labels: tuple[str, ...] = ()
    other_files: str = ""


@contextmanager
def open_hdf5(file: SingleFile) -> Iterator[h5py.File]:
    """Open an HDF5 file to read.

    Use the body only for calls of h5py: errors of other code are converted, too.

    Raises
    ------
    OSError
        The file changed after it was opened, or the system denies access.
    ValueError
        It is no HDF5 file, or damaged.
    """
    file.check_unchanged()
    try:
        if not h5py.is_hdf5(file.path):
            raise ValueError("it is no HDF5 file")
        # Opened for each read: handles do not survive pickling and forks, and an open file hides
        # that it is replaced.
        with h5py.File(file.path, "r", locking="best-effort") as opened:
            yield opened
    except HDF5_ERRORS as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # an error of the system, not of the file
        reason = " ".join(str(error).split())[:MAX_REASON_CHARACTERS]
        if "truncated file" in reason:
            raise ValueError(f"{file.path} is truncated; copy it again") from error
        raise ValueError(f"{file.path} cannot be read, or is damaged: {reason}") from error


def find_object(file: h5py.File, path: str) -> tuple[str, str]:
    """Follow a path through hard and soft links.

    Returns
    -------
    tuple
        The path without links, and why it cannot be followed, as text; empty where it can.
    """
    parts, names, links = _split(path), list[str](), 0
    group = file
    while parts:
        part = parts.pop(0)
        if not isinstance(group, h5py.Group):
            return "", f"{'/'.join(['', *names])} is no group"
        link = group.get(part, getlink=True)
        if link is None:
            return "", f"there is no {'/'.join(['', *names, part])}"
        if isinstance(link, h5py.ExternalLink):
            name, target = "/".join(["", *names, part]), f"{link.filename}:{link.path}"
            return "", f"{name} is a link to another file: name {shorten(target, str)}"
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > MAX_SOFT_LINKS:
                return "", "it has too many soft links"
            parts = [*_split(link.path), *parts]
            if link.path.startswith("/"):
                group, names = file, []
            continue
        names.append(part)
        group = _open_hard_link(group, part)
    return "/".join(["", *names]), ""


def read_info(file: h5py.File, name: str) -> DatasetInfo:
    """Return what a dataset states; `name` is a path without links (`find_object`)."""
    identifier = h5py.h5o.open(file.id, name.encode(errors="surrogateescape"))
    if not isinstance(identifier, h5py.h5d.DatasetID):
        return DatasetInfo(name)
    layout = identifier.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL:  # its shape may depend on other files
        return DatasetInfo(name, other_files="a virtual dataset, which shows other files")
    if layout.get_external_count():
        return DatasetInfo(name, other_files="stored in another file (external storage)")
    dataset = h5py.Dataset(identifier)
    filters = (layout.get_filter(number) for number in range(layout.get_nfilters()))
    return DatasetInfo(
        name,
        dataset.shape or (),
        _read_dtype(identifier),
        dataset.chunks,
        tuple((code, label.decode("ascii", "replace")) for code, _, _, label in filters),
        identifier.get_storage_size(),
        read_attributes(dataset, ATTRIBUTES),
        _read_axis_labels(dataset),
    )


def read_attributes(item: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return those of some small attributes that exist, except those of types that numpy lacks.

    Raises
    ------
    ValueError
        Texts of variable length are damaged (`asem.volume.formats.hdf5_heaps`).
    """
    attributes = {}
    for name in names:
        if name not in item.attrs:
            continue
        identifier = item.attrs.get_id(name)
        if identifier.get_storage_size() > MAX_ATTRIBUTE_BYTES:
            continue
        if identifier.get_type().detect_class(h5py.h5t.VLEN) or _is_variable_text(identifier):
            _check_heaps(item.file)
        try:
            attributes[name] = item.attrs[name]
        except (TypeError, OSError):  # for instance references
            continue
    return attributes


def _read_axis_labels(dataset: h5py.Dataset) -> tuple[str, ...]:
    if not dataset.shape or "DIMENSION_LABELS" not in dataset.attrs:
        return ()
    _check_heaps(dataset.file)
    return tuple(dimension.label for dimension in dataset.dims)


def _is_variable_text(identifier: Any) -> bool:
    dtype = identifier.get_type()
    return isinstance(dtype, h5py.h5t.TypeStringID) and bool(dtype.is_variable_str())


def _check_heaps(file: h5py.File) -> None:
    check_global_heaps(SingleFile.open(Path(file.filename)))


def list_datasets(file: h5py.File) -> list[str]:
    """Return paths of datasets, in alphabetical order of each group; links are not followed."""
    found: list[str] = []
    seen: set[int] = set()
    groups = [("", file, 0)]
    count = 0
    while groups and count < MAX_OBJECTS:
        name, group, depth = groups.pop()
        for child in islice(group, MAX_OBJECTS - count):
            count += 1
            if not isinstance(group.get(child, getlink=True), h5py.HardLink):
                continue
            path = f"{name}/{child}"
            identifier = h5py.h5o.open(group.id, child.encode(errors="surrogateescape"))
            address = h5py.h5o.get_info(identifier).addr
            if isinstance(identifier, h5py.h5d.DatasetID):
                found.append(path)
            elif isinstance(identifier, h5py.h5g.GroupID) and address not in seen:
                seen.add(address)
                if depth < MAX_DEPTH:
                    groups.append((path, h5py.Group(identifier), depth + 1))
    return sorted(found)


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _open_hard_link(group: h5py.Group, name: str) -> Any:
    """Return a group; None for a dataset or a named type, which is not opened."""
    identifier = h5py.h5o.open(group.id, name.encode(errors="surrogateescape"))
    return h5py.Group(identifier) if isinstance(identifier, h5py.h5g.GroupID) else None


def _read_dtype(identifier: Any) -> np.dtype[Any] | None:
    try:
        dtype: np.dtype[Any] = np.dtype(identifier.dtype)
    except (TypeError, ValueError):
        return None
    return dtype
