"""NIfTI-1 and NIfTI-2: ``.nii``, ``.nii.gz``, and pairs ``.hdr`` with ``.img``.

::

    file     x fastest, then y, z, time, channel
    affine   position = affine x (index along x, y, z), in the unit of the header

An axis along which positions decrease is not reversed: its positions are negated instead, so that
voxels keep their indices. Programs that use left and posterior as positive axes (ITK) write such
affines for volumes of microscopes; this restores their positions.
"""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

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
NAME = "NIfTI"
HEADERS = {
    (348, b"n+1"): nib.Nifti1Header,
    (348, b"ni1"): nib.Nifti1Header,
    (540, b"n+2"): nib.Nifti2Header,
    (540, b"ni2"): nib.Nifti2Header,
}
"""Class of the header by its size and its magic bytes."""
MAGIC_OFFSETS = {348: 344, 540: 4}
DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8",
    1280: "u8",
}  # fmt: skip
"""By code of the datatype."""
OTHER_DATATYPES = {
    1: "1-bit voxels", 32: "complex numbers", 128: "RGB colours", 1536: "floats of 128 bits",
    1792: "complex numbers", 2048: "complex numbers", 2304: "RGBA colours",
}  # fmt: skip
UNITS = {1: "meter", 2: "millimeter", 3: "micrometer"}
"""By code of the unit of length."""
MAX_SKEW = 1e-5
"""Part of a step along one axis that may go along another one: rounding."""


@dataclass(frozen=True)
class _Placement:
    """Geometry of a header: stored axes (x, y, z: 2, 1, 0) that are z, y, x, and lengths in nm."""

    axes: IntZYX
    voxel_size: StatedVoxelSize
    offset_nm: NmZYX | None


def open_path(path: Path, options: SourceOptions, kind: VolumeKind | None) -> SourceImage:
    """Open a NIfTI file, or the pair of a header and an image.

    Parameters
    ----------
    path
        The file; of a pair, either one.
    options
        Channel, for files with several.
    kind
        Labels must not be scaled.

    Raises
    ------
    ValueError
        It is no NIfTI file, damaged, a time series, rotated, or of a datatype that is not
        supported.
    """
    header_file, image_file = _find_files(path)
    header = _read_header(header_file)
    placement = _find_placement(header, path)
    array = _make_array(header, (header_file, image_file), options.channel, placement.axes, path)
    array = replace(array, scale=_find_scale(header, kind, path))
    files = dict.fromkeys((header_file.path, image_file.path))
    level = SourceLevel(array, placement.voxel_size, placement.offset_nm)
    return SourceImage(Address(str(path)), NAME, (level,), identify_files(path, files))


def _make_array(
    header: Any,
    files: tuple[SingleFile, SingleFile],
    channel: str | None,
    axes: IntZYX,
    path: Path,
) -> FlatArray:
    """Return the array of one channel, without scaling; `files`: of the header, of the voxels."""
    dtype = _find_dtype(header, path)
    (width, height, depth), channels = _find_shape(header, path)
    number = select_channel(range(channels), (), channel, str(path))
    offset = _find_byte_offset(header, files[0] != files[1], path)
    volume_bytes = width * height * depth * dtype.itemsize
    start = offset + number * volume_bytes
    array = FlatArray(files[1], start, dtype, (depth, height, width), axes)
    array.check_file_size()
    files[1].check_holds(offset + channels * volume_bytes)
    return array


def _find_files(path: Path) -> tuple[SingleFile, SingleFile]:
    """Return the files of the header and of the voxels."""
    names = []
    for own, other in ((".hdr", ".img"), (".img", ".hdr")):
        stem, suffix, rest = path.name.rpartition(own)
        if suffix and rest in ("", ".gz"):
            partner = next(
                (
                    candidate
                    for ending in (rest, "", ".gz")
                    if (candidate := path.with_name(stem + other + ending)).exists()
                ),
                None,
            )
            if partner is None:
                raise FileNotFoundError(f"{path} needs {stem + other} in the same folder")
            names = [path, partner] if own == ".hdr" else [partner, path]
    header, image = (SingleFile.open(name) for name in names or [path, path])
    return header, image


def _read_header(file: SingleFile) -> Any:
    """Read a header of nibabel, without its extensions."""
    content = file.read_start(540)
    size = next(
        (n for n in MAGIC_OFFSETS for order in ("little", "big")
         if int.from_bytes(content[:4], order) == n), 0,
    )  # fmt: skip
    if not size or len(content) < size:
        raise ValueError(f"{file.path} is no NIfTI file: its header has neither 348 nor 540 bytes")
    start = MAGIC_OFFSETS[size]
    make_header = HEADERS.get((size, content[start : start + 3]))
    if make_header is None:
        raise ValueError(
            f"{file.path} has no magic bytes of NIfTI; convert Analyze 7.5 files to NIfTI"
        )
    try:
        return make_header(content[:size], check=False)  # type: ignore[no-untyped-call]
    except nib.spatialimages.HeaderDataError as error:
        raise ValueError(f"{file.path} has a damaged header: {error}") from error


def _find_dtype(header: Any, path: Path) -> np.dtype[Any]:
    code = int(header["datatype"])
    if code in OTHER_DATATYPES:
        raise ValueError(f"{path} holds {OTHER_DATATYPES[code]}; save grey values or ids")
    if code not in DTYPES:
        allowed = ", ".join(map(str, DTYPES))
        raise ValueError(f"{path} has the datatype {code}; {allowed} can be read")
    return np.dtype(DTYPES[code]).newbyteorder(header.endianness)


def _find_shape(header: Any, path: Path) -> tuple[tuple[int, int, int], int]:
    """Return voxels along (x, y, z), and the number of channels."""
    rank, *sizes = (int(size) for size in header["dim"])
    if not 1 <= rank <= 7 or min(sizes[:rank]) < 1:
        raise ValueError(f"{path} has a damaged header: its dim is {[rank, *sizes]}")
    x, y, z, times, channels, *others = [*sizes[:rank], 1, 1, 1, 1, 1, 1][:7]
    if times > 1:
        raise ValueError(f"{path} is a time series of {times} points; save one of them")
    if max(others) > 1:
        raise ValueError(f"{path} has {rank} axes {sizes[:rank]}; a volume has three")
    return (x, y, z), channels


def _find_scale(header: Any, kind: VolumeKind | None, path: Path) -> tuple[float, float] | None:
    """Return slope and intercept; None where voxels are not scaled (slope 0 or not finite, too)."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        return None
    intercept = intercept if math.isfinite(intercept) else 0.0
    if (slope, intercept) == (1.0, 0.0):
        return None
    if kind == "labels":
        raise ValueError(
            f"{path} scales its voxels by {slope:g} and adds {intercept:g}; labels are ids, save "
            "them without scaling"
        )
    return slope, intercept


def _find_byte_offset(header: Any, is_pair: bool, path: Path) -> int:
    offset = float(header["vox_offset"])
    first = 0 if is_pair else int(header["sizeof_hdr"]) + 4
    if offset == 0:
        return first
    if not math.isfinite(offset) or offset != int(offset) or offset < first:
        raise ValueError(f"{path} has a damaged header: its voxels start at byte {offset:g}")
    return int(offset)


def _find_placement(header: Any, path: Path) -> _Placement:
    """Return axes, voxel size and offset, of the sform, else the qform, else of pixdim."""
    unit_nm = UNITS_NM.get(UNITS.get(int(header["xyzt_units"]) & 7, ""))
    edges = [float(edge) for edge in header["pixdim"][1:4]]
    affine = _find_affine(header, path)
    if affine is None:
        z, y, x = (abs(edge) for edge in reversed(edges))
        return _Placement((0, 1, 2), _to_nm((z, y, x), unit_nm), None)
    steps = affine[:3, :3]
    with np.errstate(all="ignore"):
        edges_of = np.abs(steps).max(0)  # along the index axes
        is_skewed = (np.abs(steps) > MAX_SKEW * edges_of).sum(0) != 1
    world = np.abs(steps).argmax(0).tolist()  # axis of positions of each index axis
    if not np.isfinite(affine).all():
        raise ValueError(f"{path} has a damaged header: its affine is not finite")
    if is_skewed.any() or sorted(world) != [0, 1, 2]:
        raise ValueError(
            f"{path} is rotated or sheared: its affine does not map axes to axes; resample it to "
            "a grid along x, y and z"
        )
    index_axes = [world.index(axis) for axis in (2, 1, 0)]  # that are z, y, x
    axes = per_axis(lambda axis: 2 - axis, index_axes)
    z, y, x = (float(edges_of[axis]) for axis in index_axes)
    size = _to_nm((z, y, x), unit_nm)
    if unit_nm is None or None in size:
        return _Placement(axes, size, None)
    signs = [
        math.copysign(1.0, steps[row, axis])
        for row, axis in zip((2, 1, 0), index_axes, strict=True)
    ]
    positions = [float(affine[row, 3]) for row in (2, 1, 0)]
    offset = per_axis(
        lambda sign, position: float32_in_nm(sign * position, unit_nm) + 0.0, signs, positions
    )
    return _Placement(axes, size, offset)


def _find_affine(header: Any, path: Path) -> npt.NDArray[np.float64] | None:
    """Return the affine that a header states; None where both its codes are 0."""
    try:
        with np.errstate(all="ignore"):
            if int(header["sform_code"]) > 0:
                return np.asarray(header.get_sform(), np.float64)
            if int(header["qform_code"]) > 0:
                header["pixdim"][0] = header["pixdim"][0] or 1  # 0 means 1
                return np.asarray(header.get_qform(), np.float64)
    except (ValueError, ArithmeticError, nib.spatialimages.HeaderDataError) as error:
        raise ValueError(f"{path} has a damaged affine: {error}") from error
    return None


def _to_nm(size: NmZYX, unit_nm: float | None) -> StatedVoxelSize:
    """Return lengths in nm; None where there is no unit, or the length is not positive."""
    z, y, x = (
        float32_in_nm(edge, unit_nm)
        if unit_nm is not None and math.isfinite(edge) and edge > 0
        else None
        for edge in size
    )
    return z, y, x
