"""MRC: volumes of electron microscopy (MRC2014, CCP4, IMOD), one file, also compressed.

::

    header, 1024 bytes | extended header, nsymbt bytes | sections of rows of columns

The header is described at https://www.ccpem.ac.uk/mrc-format/mrc2014/, and that of IMOD at
https://bio3d.colorado.edu/imod/doc/mrc_format.txt. Lengths are in angstrom.
"""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from asem.config import NmZYX
from asem.provenance import identify_files
from asem.volume.address import Address
from asem.volume.channel_selection import select_channel
from asem.volume.formats.flat_array import FlatArray
from asem.volume.formats.single_file import SingleFile
from asem.volume.formats.source_image import (
    SourceImage,
    SourceLevel,
    SourceOptions,
    StatedVoxelSize,
)
from asem.volume.length_units import UNITS_NM, float32_in_nm
from asem.volume.roi import IntZYX, per_axis
from asem.volume.volume import VolumeKind

LOG = logging.getLogger(__name__)
NAME = "MRC"
DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}
"""By mode; 101 has 4 bits."""
OTHER_MODES = {3: "complex integers", 4: "complex numbers", 16: "RGB colours"}
BYTE_ORDERS = {0x44: "<", 0x11: ">"}
"""By the first byte of the machine stamp."""
ANGSTROM_NM = UNITS_NM["angstrom"]
IMOD_STAMP = 1146047817
IMOD_STAMP_OFFSET = 152
SIGNED_BYTES, INVERTED_ORIGIN, PACKED_BYTES = 1, 4, 16
"""Flags of IMOD."""
VOLUME_STACKS = range(401, 631)
"""Space groups of stacks of volumes."""
MAX_ANGLE_ERROR = 0.01
"""Degrees by which a cell angle may differ from 90."""


def open_path(path: Path, options: SourceOptions, kind: VolumeKind | None) -> SourceImage:
    """Open an MRC file.

    Parameters
    ----------
    path
        The file.
    options
        There is one channel.
    kind
        Not used: the file states none.

    Raises
    ------
    ValueError
        It is no MRC file, damaged, or its mode or axes are not supported.
    """
    if options.channel is not None:
        select_channel([0], (), options.channel, str(path))
    file = SingleFile.open(path)
    header, byte_order = _read_header(file)
    axes = _find_axes(header, path)
    _check_is_volume(header, path)
    array = FlatArray(
        file,
        HEADER_DTYPE.itemsize + int(header["nsymbt"]),
        _find_dtype(header, byte_order, path),
        (int(header["nz"]), int(header["ny"]), int(header["nx"])),
        axes,
        is_4_bit=int(header["mode"]) == 101,
    )
    array.check_file_size()
    _warn_of_excess(array)
    size = _find_voxel_size(header)
    level = SourceLevel(array, size, _find_offset(header, axes, size, path))
    return SourceImage(Address(str(path)), NAME, (level,), identify_files(path, [path]))


def _read_header(file: SingleFile) -> tuple[Any, str]:
    """Return the header as a record, and ``"<"`` or ``">"``."""
    content = file.read_start(HEADER_DTYPE.itemsize)
    if len(content) < HEADER_DTYPE.itemsize:
        raise ValueError(f"{file.path} ends within its MRC header; copy it again")
    header = np.frombuffer(content, HEADER_DTYPE.newbyteorder("<"))[0]
    if header["map"][:3] != b"MAP":
        raise ValueError(f"{file.path} is no MRC file: bytes 208 to 210 are not MAP")
    byte_order = BYTE_ORDERS.get(int(header["machst"][0]), "")
    if not byte_order:  # old programs leave the stamp empty
        byte_order = "<" if 0 <= int(header["mode"]) < 2**16 else ">"
    if byte_order == ">":
        header = np.frombuffer(content, HEADER_DTYPE.newbyteorder(">"))[0]
    if int(header["nsymbt"]) < 0:
        raise ValueError(f"{file.path} states an extended header of {header['nsymbt']} bytes")
    return header, byte_order


def _imod_flags(header: Any) -> int | None:
    """Return the flags of IMOD; None where another program wrote the file."""
    dtype = header["mode"].dtype
    stamp, flags = np.frombuffer(header.tobytes(), dtype, 2, IMOD_STAMP_OFFSET)
    return int(flags) if int(stamp) == IMOD_STAMP else None


def _find_dtype(header: Any, byte_order: str, path: Path) -> np.dtype[Any]:
    """Return the dtype of stored voxels.

    Bytes (mode 0) are signed in MRC2014. In files of IMOD a flag states it, and where the header
    states grey values above 127, they are unsigned.
    """
    mode = int(header["mode"])
    if mode in OTHER_MODES:
        raise ValueError(f"{path} holds {OTHER_MODES[mode]} (mode {mode}); save grey values")
    if mode not in DTYPES:
        allowed = ", ".join(map(str, DTYPES))
        raise ValueError(f"{path} has mode {mode}; modes {allowed} can be read")
    dtype: np.dtype[Any] = np.dtype(f"{byte_order}{DTYPES[mode]}")
    if mode != 0:
        return dtype
    flags = _imod_flags(header)
    if flags is not None and flags & PACKED_BYTES:
        raise ValueError(f"{path} packs two voxels into a byte of mode 0; save it as 8 bits")
    if flags is None:
        is_unsigned = 127 < float(header["dmax"]) <= 255 and float(header["dmin"]) >= 0
    else:
        is_unsigned = not flags & SIGNED_BYTES
    return np.dtype(np.uint8 if is_unsigned else np.int8)


def _find_axes(header: Any, path: Path) -> IntZYX:
    """Return the stored axes (section, row, column: 0, 1, 2) that are z, y and x."""
    stored = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    if stored == [0, 0, 0]:  # not set
        stored = [3, 2, 1]
    if sorted(stored) != [1, 2, 3]:
        raise ValueError(
            f"{path} states the axes {stored[::-1]} of columns, rows and sections (mapc, mapr, "
            "maps); they must be 1, 2 and 3 in any order"
        )
    return per_axis(stored.index, (3, 2, 1))


def _check_is_volume(header: Any, path: Path) -> None:
    """Raise ValueError for a stack of volumes, or a cell without right angles."""
    depth = int(header["mz"])
    if int(header["ispg"]) in VOLUME_STACKS and depth > 0 and int(header["nz"]) > depth:
        count = int(header["nz"]) // depth
        raise ValueError(f"{path} is a stack of {count} volumes; save one of them")
    angles = [float(header["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    if any(angles) and not all(abs(angle - 90) <= MAX_ANGLE_ERROR for angle in angles):
        listed = ", ".join(f"{angle:.6g}" for angle in angles)
        raise ValueError(f"{path} has the cell angles {listed}; only 90 degrees can be read")


def _find_voxel_size(header: Any) -> StatedVoxelSize:
    """Return the voxel size, nm; voxels of 1 angstrom are the default of programs: not stated."""

    def length_nm(axis: str) -> float | None:
        cell, intervals = float(header["cella"][axis]), int(header[f"m{axis}"])
        is_stated = math.isfinite(cell) and cell > 0 and intervals > 0
        return float32_in_nm(cell, ANGSTROM_NM, parts=intervals) if is_stated else None

    z, y, x = (length_nm(axis) for axis in "zyx")
    is_default = (z, y, x) == (ANGSTROM_NM,) * 3
    return (None, None, None) if is_default else (z, y, x)


def _find_offset(
    header: Any, axes: IntZYX, voxel_size: StatedVoxelSize, path: Path
) -> NmZYX | None:
    """Return the position of the first voxel, nm; None where origin and start are 0.

    The origin is the position of a part of a larger volume (MRC2014, note 10). In files of IMOD
    without the flag of inversion it is minus that. Elsewhere the start counts in voxels.
    """
    flags = _imod_flags(header)
    origin = per_axis(lambda axis: float(header["origin"][axis]), "zyx")
    if not all(map(math.isfinite, origin)):
        raise ValueError(f"{path} states the origin {origin}, which is not finite")
    if any(origin):
        sign = -1.0 if flags is not None and not flags & INVERTED_ORIGIN else 1.0
        return per_axis(lambda position: float32_in_nm(sign * position, ANGSTROM_NM), origin)
    starts = per_axis(lambda axis: int(header[("nzstart", "nystart", "nxstart")[axis]]), axes)
    if flags is not None or not any(starts) or None in voxel_size:
        return None
    return per_axis(lambda start, edge: start * (edge or 0.0), starts, voxel_size)


def _warn_of_excess(array: FlatArray) -> None:
    excess = array.file.size - array.byte_offset - array.nbytes
    if excess > 0 and not array.file.compression:
        LOG.warning("%s has %d bytes after its voxels; they are ignored", array.file.path, excess)
