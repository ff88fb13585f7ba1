"""Parse stack metadata of TIFF files (OME-XML, ImageJ, tifffile): axis order, channels, voxel size.

::

    pages        0    1    2    3    4    5
    XYCZT        c0z0 c1z0 c0z1 c1z1 c0z2 c1z2        channel 1: pages 1, 3, 5
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any
from xml.etree import ElementTree

from asem.volume.length_units import UNITS_NM
from asem.volume.roi import per_axis
from asem.volume.tiff_headers import TiffFileInfo

LOG = logging.getLogger(__name__)
OptionalNm = float | None
PlaneIndex = tuple[int, int, int]
"""Channel, plane along z, time point: (c, z, t)."""
STACK_AXES = ("C", "Z", "T")
MAX_PLANES, MAX_LISTED_PLANES = 2**18, 2**21
"""Planes of all channels and time points that a file may declare, and list one by one."""
MAX_XML_ELEMENTS, MAX_XML_ATTRIBUTES = 2**21, 2**22
"""OME-XML of 100,000 planes has fewer."""


@dataclass(frozen=True)
class StackMetadata:
    """Metadata of the stack that the pages of a file are, or belong to.

    Parameters
    ----------
    metadata_format
        ``"OME-XML"``, ``"ImageJ"`` or ``"tifffile"``.
    sizes
        Channels, planes along z, time points.
    axis_order
        These three axes, fastest first: the one that changes from page to page.
    channel_names
        Names, in order; fewer than channels where some have no name.
    voxel_size
        Along (z, y, x), nm; None where it is not stated.
    plane_locations
        Location of each (c, z, t): name of the file (None: this one) and number of the page in it.
        None: page after page in `axis_order`.
    """

    metadata_format: str
    sizes: Mapping[str, int]
    axis_order: str = "CZT"
    channel_names: tuple[str, ...] = ()
    voxel_size: tuple[OptionalNm, OptionalNm, OptionalNm] = (None, None, None)
    plane_locations: Mapping[PlaneIndex, tuple[str | None, int]] | None = field(
        default=None, repr=False
    )

    @property
    def plane_count(self) -> int:
        """Planes of all channels and time points."""
        return prod(self.sizes[axis] for axis in STACK_AXES)

    def with_channels_along_z(self, source_name: str) -> "StackMetadata":
        """Return the metadata with channels of one plane each as planes along z.

        Python programs often write stacks with channels, since C is the default name of the first
        of three axes; a single plane of several channels is no stack.
        """
        if self.plane_count != self.sizes["C"] or self.plane_count == 1:
            return self
        LOG.warning(
            "%s: its %d channels of one plane each are taken as planes along z; give --channel to "
            "import one of them",
            source_name,
            self.plane_count,
        )
        planes = self.plane_locations
        if planes is not None:
            planes = {(0, c, t): location for (c, _, t), location in planes.items()}
        return replace(
            self,
            sizes={"C": 1, "Z": self.plane_count, "T": 1},
            channel_names=(),
            plane_locations=planes,
        )

    def plane_indices(self) -> Iterator[PlaneIndex]:
        """Yield (c, z, t) in `axis_order`."""
        slowest_first = self.axis_order[::-1]
        for indices in product(*(range(self.sizes[axis]) for axis in slowest_first)):
            index_along = dict(zip(slowest_first, indices, strict=True))
            yield index_along["C"], index_along["Z"], index_along["T"]


def read_stack_metadata(file: TiffFileInfo) -> StackMetadata | None:
    """Return the stack metadata of a file; None where there is none.

    Raises
    ------
    ValueError
        The metadata cannot be parsed, or describe more than one image.
    """
    if has_ome_xml(file):
        return parse_ome_xml(file.description, samples_per_pixel=file.pages[0].samples_per_pixel)
    if file.imagej_metadata is not None:
        return _parse_imagej(file.imagej_metadata, file.pixels_per_unit)
    if file.tifffile_metadata is not None:
        return _parse_tifffile_shape(file.tifffile_metadata, len(file.pages[0].shape))
    return None


def has_ome_xml(file: TiffFileInfo) -> bool:
    """Whether the description of a file is OME-XML."""
    return file.description.rstrip().endswith("OME>")


def parse_ome_xml(text: str, *, samples_per_pixel: int = 1) -> StackMetadata | None:
    """Parse OME-XML (OME data model 2003 to 2016).

    Parameters
    ----------
    text
        The document.
    samples_per_pixel
        Channels that one page contains.

    Returns
    -------
    StackMetadata
        None where the document only names the file with the metadata (``BinaryOnly``).
    """
    try:
        if text.count("<") > MAX_XML_ELEMENTS or text.count("=") > MAX_XML_ATTRIBUTES:
            raise ValueError("has millions of elements")
        root = ElementTree.fromstring(text.strip())
        images = [element for element in root.iter() if _local_name(element) == "Pixels"]
        if not images:
            return None
        if len(images) > 1:
            raise ValueError(f"describes {len(images)} images; save one of them")
        pixels = images[0]
        sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in STACK_AXES}
        if min(sizes.values()) < 1:
            raise ValueError(f"states the sizes {sizes}")
        sizes["C"] = max(1, sizes["C"] // samples_per_pixel)
        check_plane_count(prod(sizes.values()))
        order = pixels.get("DimensionOrder", "XYCZT").removeprefix("XY")
        if sorted(order) != sorted(STACK_AXES):
            raise ValueError(f"states the order XY{order}")
        channels = (e for e in pixels if _local_name(e) == "Channel")
        metadata = StackMetadata(
            "OME-XML",
            sizes,
            order,
            tuple(e.get("Name") or str(n) for n, e in enumerate(channels)),
            per_axis(lambda axis: _parse_ome_voxel_size(pixels, axis), "ZYX"),
        )
        return _add_plane_locations(metadata, pixels)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"its OME-XML cannot be used ({error}); save it as plain TIFF") from error


def check_plane_count(planes: int) -> None:
    """Raise ValueError where a file declares more than `MAX_PLANES` planes."""
    if planes > MAX_PLANES:
        raise ValueError(f"states {planes:,} planes; at most {MAX_PLANES:,} can be read")


def _local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _parse_ome_voxel_size(pixels: ElementTree.Element, axis: str) -> OptionalNm:
    size = pixels.get(f"PhysicalSize{axis}")
    return _to_nm(float(size), pixels.get(f"PhysicalSize{axis}Unit", "µm")) if size else None


def _add_plane_locations(metadata: StackMetadata, pixels: ElementTree.Element) -> StackMetadata:
    """Add the plane locations of the elements TiffData, if there are any."""
    indices = list(metadata.plane_indices())
    number_of = {index: n for n, index in enumerate(indices)}
    planes: dict[PlaneIndex, tuple[str | None, int]] = {}
    listed_count = 0
    for data in (e for e in pixels if _local_name(e) == "TiffData"):
        c, z, t = first = tuple(int(data.get(f"First{axis}", 0)) for axis in STACK_AXES)
        start = number_of.get((c, z, t))
        if start is None:
            raise ValueError(f"states a plane (c, z, t) of {first}, beyond its sizes")
        ifd = data.get("IFD")
        count = int(data.get("PlaneCount", len(indices) if ifd is None else 1))
        uuid = next((e for e in data if _local_name(e) == "UUID"), None)
        file = uuid.get("FileName") if uuid is not None else None
        listed = indices[start : start + max(0, count)]
        listed_count += len(listed)
        if listed_count > MAX_LISTED_PLANES:
            raise ValueError(f"lists more than {MAX_LISTED_PLANES:,} planes")
        for n, index in enumerate(listed):
            planes[index] = file, int(ifd or 0) + n
    if len({file for file, _ in planes.values()}) == 1:  # this one, which may have been renamed
        planes = {index: (None, page) for index, (_, page) in planes.items()}
    return replace(metadata, plane_locations=planes or None)


def _parse_imagej(lines: Mapping[str, Any], per_unit: tuple[float, float] | None) -> StackMetadata:
    images, c, z, t = (
        _read_count(lines, key) for key in ("images", "channels", "slices", "frames")
    )
    if c * z * t != images:  # as ImageJ does
        c, z, t = 1, images, 1
    check_plane_count(images)
    order = str(lines.get("order", "czt")).upper().removeprefix("XY")
    unit = str(lines.get("unit", ""))
    units = [str(lines.get(key, unit)) for key in ("zunit", "yunit")]
    spacing = lines.get("spacing")
    thickness = abs(float(spacing)) if isinstance(spacing, (int, float)) else 0.0
    height, width = (1 / n if n > 0 else 0.0 for n in per_unit or (0.0, 0.0))
    return StackMetadata(
        "ImageJ",
        {"C": c, "Z": z, "T": t},
        order if sorted(order) == sorted(STACK_AXES) else "CZT",
        voxel_size=(_to_nm(thickness, units[0]), _to_nm(height, units[1]), _to_nm(width, unit)),
    )


def _read_count(lines: Mapping[str, Any], key: str) -> int:
    value = lines.get(key, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"states {key}={value}; save it as plain TIFF")
    return value


def _parse_tifffile_shape(metadata: Mapping[str, Any], page_axes: int) -> StackMetadata | None:
    """Parse the shape, and the axes if any, that tifffile writes as JSON.

    The last `page_axes` axes are those of a page.
    """
    shape = metadata.get("shape", ())
    if not isinstance(shape, list | tuple) or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"states the shape {shape!s:.100}; save it as plain TIFF")
    check_plane_count(prod(shape[:-page_axes]))
    axes = str(metadata.get("axes", ""))
    if len(axes) != len(shape):
        axes = "".join("Z" if size > 1 else "T" for size in shape[:-page_axes]) + "P" * page_axes
        if axes.count("Z") > 1:
            raise ValueError(
                f"has the shape {tuple(shape)}; save one channel and one time point, or name the "
                "axes (ImageJ, OME-TIFF)"
            )
    planes = list(zip(axes, shape, strict=False))[:-page_axes]
    sizes = dict.fromkeys(STACK_AXES, 1)
    for axis, size in planes:
        stack_axis = axis if axis in sizes else "Z"
        if size > 1 and sizes[stack_axis] > 1:
            raise ValueError(f"has the axes {axes} of {tuple(shape)}; save one stack of planes")
        sizes[stack_axis] *= size
    named = [axis for axis, size in planes if axis in STACK_AXES and size > 1]
    order = "".join(reversed(named)) + "".join(axis for axis in STACK_AXES if axis not in named)
    return StackMetadata("tifffile", sizes, order)


def _to_nm(size: float, unit: str) -> OptionalNm:
    """Return a length in nm; None where it is not positive or its unit is no unit of length."""
    name = unit.strip().replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u").lower()
    factor = UNITS_NM.get(name)
    return size * factor if factor is not None and 0 < size < float("inf") else None
