"""Export one MRC file (MRC2014): lengths in angstrom, origin at the centre of the first voxel."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt

from asem.system.files import name_path_in_errors
from asem.volume.label_views import convert_to_ids, unlabelled_id
from asem.volume.length_units import UNITS_NM
from asem.volume.roi import per_axis
from asem.workflows.export_request import ExportFormat, ExportRequest, check_dtype, create_file

LOG = logging.getLogger(__name__)
DTYPES = {
    "int8": "int8", "int16": "int16", "uint16": "uint16", "float32": "float32",
    "uint8": "uint16",
}  # fmt: skip
"""Stored dtype of each dtype that can be stored; bytes of MRC are signed."""
LABEL = "asem export"
MAX_EDGE = 2**31 - 1
MAX_SHIFT_VOXELS = 1e-3
"""Error of the offset that is stored without a warning, voxels."""


def write_mrc(path: Path, request: ExportRequest) -> None:
    """Write the header, then a plane at a time, then the header with the statistics of voxels."""
    dtype = np.dtype(DTYPES[request.canvas.dtype.name])
    is_labels = request.volume.kind == "labels"
    unlabelled = unlabelled_id(request.canvas.dtype) if is_labels else None
    stored = dtype.newbyteorder("<")
    header = _make_header(path, request, stored)
    statistics = _Statistics()
    with name_path_in_errors(path, path), path.open("wb") as file:
        file.write(header.tobytes())
        for plane in request.iterate_planes():
            if unlabelled is not None:
                plane = convert_to_ids(plane, dtype, unlabelled=(unlabelled,))
            statistics.add(plane)
            file.write(np.ascontiguousarray(plane, stored).data)
        statistics.write_to(header)
        file.seek(0)
        file.write(header.tobytes())


@dataclass
class _Statistics:
    """Minimum, maximum, mean and standard deviation of planes (Chan et al., 1983)."""

    count: int = 0
    low: float = np.inf
    high: float = -np.inf
    mean: float = 0.0
    squares: float = 0.0

    def add(self, plane: npt.NDArray[Any]) -> None:
        """Add the voxels of a plane."""
        mean = float(plane.mean(dtype=np.float64))
        squares = float(plane.var(dtype=np.float64)) * plane.size
        total, shift = self.count + plane.size, mean - self.mean
        self.squares += squares + shift**2 * self.count * plane.size / total
        self.mean += shift * plane.size / total
        self.low, self.high = min(self.low, plane.min()), max(self.high, plane.max())
        self.count = total

    def write_to(self, header: Any) -> None:
        """Set the statistics of a header, by which programs choose the contrast."""
        header["dmin"], header["dmax"], header["dmean"] = self.low, self.high, self.mean
        header["rms"] = np.sqrt(self.squares / self.count)


def _make_header(path: Path, request: ExportRequest, dtype: np.dtype[Any]) -> Any:
    """Return the header that mrcfile writes for one voxel, with the shape of the canvas."""
    canvas = request.canvas
    with mrcfile.new(path, overwrite=True) as template:
        template.set_data(np.zeros((1, 1, 1), dtype))
        template.add_label(LABEL)
        header = template.header.copy()
    angstrom = UNITS_NM["angstrom"]
    values = zip("zyx", canvas.shape, canvas.voxel_size, canvas.offset_nm, strict=True)
    for axis, voxels, size, offset in values:
        header[f"n{axis}"] = header[f"m{axis}"] = voxels
        header["cella"][axis] = voxels * size / angstrom
        header["origin"][axis] = offset / angstrom
    header["ispg"] = 1  # a volume, also where it has one plane
    return header


def _check(request: ExportRequest) -> None:
    check_dtype(request, "MRC", tuple(DTYPES))
    canvas, name = request.canvas, request.volume.name
    if max(canvas.shape) > MAX_EDGE:
        raise ValueError(f"{name} has more than {MAX_EDGE} voxels along an axis, the most of MRC")
    if canvas.dtype == np.uint8:
        LOG.warning(
            "%s: MRC has no uint8; the same values are stored as uint16%s",
            name,
            ", unlabelled voxels as 65535" if request.volume.kind == "labels" else "",
        )
    error = per_axis(
        lambda offset, size: abs(float(np.float32(offset * 10)) / 10 - offset) / size,
        canvas.offset_nm,
        canvas.voxel_size,
    )
    if max(error) > MAX_SHIFT_VOXELS:
        LOG.warning(
            "%s: MRC stores the offset with 7 digits; it is wrong by %.2g voxels", name, max(error)
        )


def _find_foreign(path: Path) -> Path | None:
    if path.is_symlink() or not path.is_file():
        return Path()
    with path.open("rb") as file:
        header = file.read(1024)
    return None if header[208:211] == b"MAP" and LABEL.encode() in header[224:] else Path()


MRC = ExportFormat(
    "mrc",
    (".mrc", ".map", ".rec"),
    create_file("an MRC export", write_mrc, _find_foreign),
    check=_check,
    stores_position=True,
)
