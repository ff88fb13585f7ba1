"""BigDataViewer files: HDF5 with a fixed layout, and an XML file of the same name beside it.

::

    t00000/s00/0/cells     time point, setup (channel), level; axes (z, y, x)
    s00/resolutions        steps of each level along (x, y, z), in voxels of the finest level
    cell.xml               SpimData: voxel size and unit of each setup, affine of each view

Grey values of 16 bits are unsigned, but stored with a signed dtype. Positions are of voxel centres.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np

from asem.config import NmZYX
from asem.provenance import identify_files
from asem.system.files import open_regular_file
from asem.volume.address import Address
from asem.volume.channel_selection import select_channel
from asem.volume.formats.hdf5_array import make_array
from asem.volume.formats.hdf5_file import DatasetInfo, find_object, open_hdf5, read_info
from asem.volume.formats.single_file import SingleFile
from asem.volume.formats.source_image import (
    SourceImage,
    SourceLevel,
    SourceOptions,
    StatedVoxelSize,
)
from asem.volume.length_units import unit_nm
from asem.volume.roi import per_axis

NAME = "BigDataViewer HDF5"
CELLS = re.compile(r"/t\d{5,}/s\d{2,}/\d+/cells")
MAX_LEVELS = 32
MAX_XML_BYTES = 2**26


@dataclass
class _Layout:
    """Names of time points and setups at the root; levels of one setup, and their steps (z, y, x).

    Steps are empty where they are not stated.
    """

    times: list[str] = field(default_factory=list)
    setups: list[str] = field(default_factory=list)
    levels: list[DatasetInfo] = field(default_factory=list)
    steps: list[list[float]] = field(default_factory=list)


def is_format(file: SingleFile) -> bool:
    """Return whether an HDF5 file has the layout of BigDataViewer."""
    layout = _read_layout(file, None)
    return bool(layout.times and layout.setups)


def unsigned_dtype(info: DatasetInfo) -> np.dtype[Any] | None:
    """Return uint16 for cells of BigDataViewer of 16 bits; else None: as stored."""
    is_signed = info.dtype is not None and info.dtype.newbyteorder("=") == np.int16
    return np.dtype(np.uint16) if is_signed and CELLS.fullmatch(info.name) else None


def open_file(file: SingleFile, options: SourceOptions) -> SourceImage:
    """Open a BigDataViewer file with its pyramid.

    Raises
    ------
    ValueError
        It or the XML file is damaged, it is a time series, or has several setups and none is
        selected.
    """
    names = _read_layout(file, None)
    if (points := len(names.times)) > 1:
        raise ValueError(f"{file.path} is a time series of {points} points; save one of them")
    setups = sorted(int(name[1:]) for name in names.setups)
    xml_path = file.path.with_suffix(".xml")
    root = _read_xml(xml_path) if xml_path.exists() else None
    titles = {n: _find_text(root, f".//ViewSetup[id='{n}']/name") for n in setups}
    ordered = [titles.get(n) or str(n) for n in range(max(setups) + 1)]
    setup = select_channel(setups, ordered, options.channel, str(file.path))
    layout = _read_layout(file, setup)
    if not layout.levels:
        raise ValueError(f"{file.path} has no cells of setup {setup}; copy it again")
    size, offset_nm = _find_placement(root, setup)
    levels = []
    for number, info in enumerate(layout.levels):
        array = make_array(file, info, (0, 1, 2), {}, dtype=unsigned_dtype(info))
        steps = layout.steps[number] if number < len(layout.steps) else []
        levels.append(SourceLevel(array, *_place_level(size, offset_nm, number, steps)))
    files = [file.path, xml_path] if root is not None else [file.path]
    identity = identify_files(file.path, files)
    return SourceImage(Address(str(file.path)), NAME, tuple(levels), identity)


def _read_layout(file: SingleFile, setup: int | None) -> _Layout:
    layout = _Layout()
    with open_hdf5(file) as opened:
        names = list(opened)
        layout.times = sorted(name for name in names if re.fullmatch(r"t\d{5,9}", name))
        layout.setups = sorted(name for name in names if re.fullmatch(r"s\d{2,4}", name))
        for level in range(MAX_LEVELS if setup is not None and layout.times else 0):
            path = f"{layout.times[0]}/s{setup:02d}/{level}/cells"
            name, reason = find_object(opened, path)
            if reason:
                break
            layout.levels.append(read_info(opened, name))
        if setup is not None:
            layout.steps = _read_steps(opened, f"s{setup:02d}/resolutions")
    return layout


def _read_steps(file: h5py.File, path: str) -> list[list[float]]:
    """Return the steps of the levels, (z, y, x); empty where they are not stated."""
    name, reason = find_object(file, path)
    info = DatasetInfo(path) if reason else read_info(file, name)
    if len(info.shape) != 2 or info.shape[0] > MAX_LEVELS or info.shape[1] != 3:
        return []
    if info.dtype is None or info.dtype.kind not in "uif":
        return []
    values: list[list[float]] = np.asarray(file[name], np.float64)[:, ::-1].tolist()
    return values


def _place_level(
    size: StatedVoxelSize, offset_nm: NmZYX | None, number: int, steps: list[float]
) -> tuple[StatedVoxelSize, NmZYX | None]:
    """Return voxel size and position of a level from those of the finest one."""
    if number == 0:
        return size, offset_nm
    z, y, x = size
    is_stated = bool(steps) and all(0 < step < math.inf for step in steps)
    if z is None or y is None or x is None or not is_stated:
        return (None, None, None), None
    edges = per_axis(lambda edge, step: edge * step, (z, y, x), steps)
    if offset_nm is None:
        return edges, None
    shift = per_axis(lambda edge, step: edge * (step - 1) / 2, (z, y, x), steps)
    return edges, per_axis(lambda a, b: a + b, offset_nm, shift)


def _read_xml(path: Path) -> ElementTree.Element:
    with open_regular_file(path) as file:
        content = file.read(MAX_XML_BYTES + 1)
    if len(content) > MAX_XML_BYTES:
        raise ValueError(f"{path} has more than {MAX_XML_BYTES >> 20} MiB")
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"{path} is damaged: {error}; copy it again") from error


def _find_text(root: ElementTree.Element | None, path: str) -> str:
    return "" if root is None else (root.findtext(path) or "").strip()


def _find_placement(
    root: ElementTree.Element | None, setup: int
) -> tuple[StatedVoxelSize, NmZYX | None]:
    """Return voxel size and position of a setup; the position where no axis is rotated."""
    where = f".//ViewSetup[id='{setup}']/voxelSize"
    factor = unit_nm(_find_text(root, f"{where}/unit"))
    edges = _numbers(_find_text(root, f"{where}/size"))
    if root is None or factor is None or len(edges) != 3 or not min(edges) > 0:
        return (None, None, None), None
    size = per_axis(lambda edge: edge * factor, reversed(edges))
    view = root.find(f".//ViewRegistration[@setup='{setup}']")
    transforms = [] if view is None else view.findall("ViewTransform/affine")
    affine = _numbers(transforms[0].text or "") if len(transforms) == 1 else []
    if len(affine) != 12:
        return size, None
    rows = np.array(affine).reshape(3, 4)
    if not np.allclose(rows[:, :3], np.diag(edges), rtol=1e-6, atol=0):
        return size, None
    return size, per_axis(lambda position: float(position) * factor, rows[::-1, 3].tolist())


def _numbers(text: str) -> list[float]:
    """Return finite numbers of a text; empty where it is not all of that."""
    try:
        values = [float(part) for part in text.split()]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []
