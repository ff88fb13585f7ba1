"""What OME-XML, ImageJ and tifffile state about a stack: order of its planes, channels, voxel size.

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

from asem.volume.tiff_pages import File

LOG = logging.getLogger(__name__)
Length = float | None
Place = tuple[int, int, int]
"""Channel, plane along z, time point: (c, z, t)."""
UNITS_NM = {
    "pm": 1e-3, "å": 0.1, "angstrom": 0.1, "nm": 1.0, "nanometer": 1.0, "nanometers": 1.0,
    "um": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "micrometers": 1e3, "mm": 1e6,
    "millimeter": 1e6, "cm": 1e7, "centimeter": 1e7, "m": 1e9, "meter": 1e9,
}  # fmt: skip
"""Units of length in nm. An inch is left out: it is the unit of print resolutions."""
AXES = ("C", "Z", "T")
MOST_PLANES, MOST_LISTED = 2**18, 2**21
"""Planes of all channels and time points that a file may state, and list one by one."""
MOST_ELEMENTS, MOST_ATTRIBUTES = 2**21, 2**22
"""Of OME-XML; of 100,000 planes it has fewer."""


@dataclass(frozen=True)
class Stated:
    """What a file states about the stack that its pages make, or are a part of.

    Parameters
    ----------
    by
        Who states it: ``"OME-XML"``, ``"ImageJ"``, ``"tifffile"``.
    sizes
        Channels, planes along z, time points.
    order
        These three axes, the one that changes first from page to page first.
    channels
        Names, in order; fewer than channels where they have none.
    voxel_size
        Along (z, y, x), nm; None where it is not stated.
    planes
        Where each (c, z, t) lies: name of the file (None: this one) and number of the page in it.
        None: page after page in `order`.
    """

    by: str
    sizes: Mapping[str, int]
    order: str = "CZT"
    channels: tuple[str, ...] = ()
    voxel_size: tuple[Length, Length, Length] = (None, None, None)
    planes: Mapping[Place, tuple[str | None, int]] | None = field(default=None, repr=False)

    @property
    def number(self) -> int:
        """Planes of all channels and time points."""
        return prod(self.sizes[axis] for axis in AXES)

    def with_channels_along_z(self, name: str) -> "Stated":
        """Return it with channels of one plane each as planes along z.

        Python programs often write a stack so, since they name the first of three axes C; a single
        plane of several channels is no stack.
        """
        if self.number != self.sizes["C"] or self.number == 1:
            return self
        LOG.warning(
            "%s: its %d channels of one plane each are taken as planes along z; give --channel to "
            "take one of them",
            name,
            self.number,
        )
        planes = self.planes
        if planes is not None:
            planes = {(0, c, t): place for (c, _, t), place in planes.items()}
        return replace(self, sizes={"C": 1, "Z": self.number, "T": 1}, channels=(), planes=planes)

    def places(self) -> Iterator[Place]:
        """Yield (c, z, t) in `order`."""
        slowest_first = self.order[::-1]
        for place in product(*(range(self.sizes[axis]) for axis in slowest_first)):
            of = dict(zip(slowest_first, place, strict=True))
            yield of["C"], of["Z"], of["T"]


def stated_by(file: File) -> Stated | None:
    """Return what a file states about its stack; None where it states nothing.

    Raises
    ------
    ValueError
        Its OME-XML or ImageJ's lines cannot be read, or describe more than one image.
    """
    if is_ome(file):
        return from_ome(file.description, samples=file.pages[0].samples)
    if file.imagej is not None:
        return _from_imagej(file.imagej, file.per_unit)
    if file.shaped is not None:
        return _from_shaped(file.shaped, len(file.pages[0].shape))
    return None


def is_ome(file: File) -> bool:
    """Whether its description is OME-XML."""
    return file.description.rstrip().endswith("OME>")


def from_ome(text: str, *, samples: int = 1) -> Stated | None:
    """Read OME-XML (OME data model 2003 to 2016).

    Parameters
    ----------
    text
        The document.
    samples
        Of a pixel: a page then holds so many channels.

    Returns
    -------
    Stated
        None where it only names the file in which the description lies (``BinaryOnly``).
    """
    try:
        if text.count("<") > MOST_ELEMENTS or text.count("=") > MOST_ATTRIBUTES:
            raise ValueError("has millions of elements")
        root = ElementTree.fromstring(text.strip())
        images = [element for element in root.iter() if _tag(element) == "Pixels"]
        if not images:
            return None
        if len(images) > 1:
            raise ValueError(f"describes {len(images)} images; save one of them")
        pixels = images[0]
        sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in AXES}
        if min(sizes.values()) < 1:
            raise ValueError(f"states the sizes {sizes}")
        sizes["C"] = max(1, sizes["C"] // samples)
        refuse_many(prod(sizes.values()))
        order = pixels.get("DimensionOrder", "XYCZT").removeprefix("XY")
        if sorted(order) != sorted(AXES):
            raise ValueError(f"states the order XY{order}")
        channels = (e for e in pixels if _tag(e) == "Channel")
        stated = Stated(
            "OME-XML",
            sizes,
            order,
            tuple(e.get("Name") or str(n) for n, e in enumerate(channels)),
            _ome_voxel_size(pixels),
        )
        return _with_places(stated, pixels)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"its OME-XML cannot be used ({error}); save it as plain TIFF") from error


def refuse_many(planes: int) -> None:
    """Raise ValueError where a file states more planes than any has."""
    if planes > MOST_PLANES:
        raise ValueError(f"states {planes:,} planes; at most {MOST_PLANES:,} can be read")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _ome_voxel_size(pixels: ElementTree.Element) -> tuple[Length, Length, Length]:
    sizes = []
    for axis in "ZYX":
        size = pixels.get(f"PhysicalSize{axis}")
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        sizes.append(_nm(float(size), unit) if size else None)
    return sizes[0], sizes[1], sizes[2]


def _with_places(stated: Stated, pixels: ElementTree.Element) -> Stated:
    """Add where planes lie, if its elements TiffData state that."""
    every = list(stated.places())
    number_of = {place: n for n, place in enumerate(every)}
    planes: dict[Place, tuple[str | None, int]] = {}
    listed = 0
    for data in (e for e in pixels if _tag(e) == "TiffData"):
        first = tuple(int(data.get(f"First{axis}", 0)) for axis in AXES)
        begin = number_of.get((first[0], first[1], first[2]))
        if begin is None:
            raise ValueError(f"states a plane (c, z, t) of {first}, beyond its sizes")
        ifd = data.get("IFD")
        count = int(data.get("PlaneCount", len(every) if ifd is None else 1))
        uuid = next((e for e in data if _tag(e) == "UUID"), None)
        file = uuid.get("FileName") if uuid is not None else None
        own = every[begin : begin + max(0, count)]
        listed += len(own)
        if listed > MOST_LISTED:
            raise ValueError(f"lists more than {MOST_LISTED:,} planes")
        for n, place in enumerate(own):
            planes[place] = file, int(ifd or 0) + n
    if len({file for file, _ in planes.values()}) == 1:  # this one, which may have been renamed
        planes = {place: (None, page) for place, (_, page) in planes.items()}
    return replace(stated, planes=planes or None)


def _from_imagej(lines: Mapping[str, Any], per_unit: tuple[float, float] | None) -> Stated:
    images, c, z, t = (_count(lines, key) for key in ("images", "channels", "slices", "frames"))
    if c * z * t != images:  # as ImageJ does
        c, z, t = 1, images, 1
    refuse_many(images)
    order = str(lines.get("order", "czt")).upper().removeprefix("XY")
    unit = str(lines.get("unit", ""))
    units = [str(lines.get(key, unit)) for key in ("zunit", "yunit")]
    spacing = lines.get("spacing")
    thickness = abs(float(spacing)) if isinstance(spacing, (int, float)) else 0.0
    height, width = (1 / n if n > 0 else 0.0 for n in per_unit or (0.0, 0.0))
    return Stated(
        "ImageJ",
        {"C": c, "Z": z, "T": t},
        order if sorted(order) == sorted(AXES) else "CZT",
        voxel_size=(_nm(thickness, units[0]), _nm(height, units[1]), _nm(width, unit)),
    )


def _count(lines: Mapping[str, Any], key: str) -> int:
    value = lines.get(key, 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"states {key}={value}; save it as plain TIFF")
    return value


def _from_shaped(metadata: Mapping[str, Any], page_axes: int) -> Stated | None:
    """Read the shape, and the axes if there are any, that tifffile writes as JSON.

    The last `page_axes` are those of a page.
    """
    shape = metadata.get("shape", ())
    if not isinstance(shape, list | tuple) or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"states the shape {shape!s:.100}; save it as plain TIFF")
    refuse_many(prod(shape[:-page_axes]))
    axes = str(metadata.get("axes", ""))
    if len(axes) != len(shape):
        axes = "".join("Z" if size > 1 else "T" for size in shape[:-page_axes]) + "P" * page_axes
        if axes.count("Z") > 1:
            raise ValueError(
                f"has the shape {tuple(shape)}; save one channel and one time point, or name the "
                "axes (ImageJ, OME-TIFF)"
            )
    planes = list(zip(axes, shape, strict=False))[:-page_axes]
    sizes = dict.fromkeys(AXES, 1)
    for axis, size in planes:
        of = axis if axis in sizes else "Z"
        if size > 1 and sizes[of] > 1:
            raise ValueError(f"has the axes {axes} of {tuple(shape)}; save one stack of planes")
        sizes[of] *= size
    named = [axis for axis, size in planes if axis in AXES and size > 1]
    order = "".join(reversed(named)) + "".join(axis for axis in AXES if axis not in named)
    return Stated("tifffile", sizes, order)


def _nm(size: float, unit: str) -> Length:
    """Return a length in nm; None where the unit is none of length, or the length not positive."""
    known = unit.strip().replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u").lower()
    factor = UNITS_NM.get(known)
    return size * factor if factor is not None and 0 < size < float("inf") else None
