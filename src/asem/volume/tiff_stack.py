"""Make a stack of equal planes from TIFF pages: channel, inversion, checks."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asem.system.resources import check_free_memory
from asem.volume.channel_selection import select_channel
from asem.volume.plane_stack import PlaneStack, check_equal_planes
from asem.volume.tiff_headers import WHITE_IS_ZERO, TiffFileInfo, TiffPageInfo
from asem.volume.tiff_metadata import StackMetadata
from asem.volume.tiff_page_checks import find_page_error
from asem.volume.tiff_planes import TIFF_READER, TiffPlane

LOG = logging.getLogger(__name__)
PIXEL_DTYPES = tuple(np.dtype(name) for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16",
    "float32", "float64",
))  # fmt: skip
FilePage = tuple[TiffFileInfo, TiffPageInfo]


@dataclass(frozen=True)
class TiffOptions:
    """Options of reading a TIFF stack.

    Parameters
    ----------
    as_labels
        Whether pixels are ids: the indices of a palette then are ids, too.
    channel
        Number or name of the channel to read; required where there are several.
    invert
        True: white (the largest value of the pixels' bits) minus the stored values; False: the
        stored values; None: by the tag WhiteIsZero for 1 bit, else the stored values.
    """

    as_labels: bool = False
    channel: str | None = None
    invert: bool | None = None


DEFAULT_TIFF_OPTIONS = TiffOptions()


def make_plane_stack(
    pages: Sequence[FilePage], options: TiffOptions, metadata: StackMetadata | None
) -> PlaneStack:
    """Check all pages and make a stack of them.

    Raises
    ------
    ValueError
        A page is no plane of grey values or ids, or differs from the others in shape or dtype.
    """
    samples = pages[0][1].samples_per_pixel
    sample = None
    if samples > 1 and options.channel is not None:
        sample = select_channel(range(samples), (), options.channel, str(pages[0][0].path))
    elif options.channel is not None:
        names = metadata.channel_names if metadata is not None else ()
        select_channel([0], names, options.channel, str(pages[0][0].path))
    for file, page in pages:
        if error := find_page_error(
            page, as_labels=options.as_labels, has_selected_channel=sample is not None
        ):
            raise ValueError(f"{file.path}, page {page.index + 1} of {len(file.pages)}, {error}")
    planes = [_make_plane(file, page, sample) for file, page in pages]
    check_equal_planes(planes)
    if planes[0].byte_offset is None:  # a plane is decoded as a whole
        check_free_memory(pages[0][1].nbytes, f"a plane of {pages[0][0].path}")
    whites = find_white_values(pages, options.invert)
    planes = [
        replace(plane, white_value=white) for plane, white in zip(planes, whites, strict=True)
    ]
    _warn_of_orientation(pages)
    voxel_size = metadata.voxel_size if metadata is not None else (None,) * 3
    return PlaneStack(tuple(planes), TIFF_READER, voxel_size)


def _make_plane(file: TiffFileInfo, page: TiffPageInfo, sample: int | None) -> TiffPlane:
    if page.dtype is None or page.dtype not in PIXEL_DTYPES:
        allowed = ", ".join(dtype.name for dtype in PIXEL_DTYPES)
        raise ValueError(f"{file.path} has pixels of {page.dtype}; allowed: {allowed}")
    height, width = (page.shape[page.axes.index(axis)] for axis in "YX")
    return TiffPlane(
        file.path,
        page.index,
        (height, width),
        page.dtype.newbyteorder(">" if file.big_endian else "<"),
        page.byte_offset if page.samples_per_pixel == 1 else None,
        file.file_state,
        sample,
        page.axes.startswith("S"),
    )


def find_white_values(pages: Sequence[FilePage], invert: bool | None) -> list[int | None]:
    """Return for each page the value from which stored values are subtracted; None: as stored.

    Images of 1 bit with the tag WhiteIsZero are inverted, so that white is 1; but not those of
    tifffile, which stores True as 1 with this tag. For grey values programs differ: some store
    inverted values with the tag (Pillow), others store the values themselves and display them
    inverted (ImageJ). There only `invert` inverts; if it is None, a warning names tag and file.

    Raises
    ------
    ValueError
        Only some pages of grey values are WhiteIsZero, or the pixels to invert are floats.
    """
    tagged = [
        page.photometric == WHITE_IS_ZERO
        and not (page.bits_per_sample == 1 and _writes_true_as_one(file))
        for file, page in pages
    ]
    first = pages[tagged.index(True)][0] if any(tagged) else pages[0][0]
    bits = pages[0][1].bits_per_sample
    if invert is None and bits == 1:
        return [1 if white_is_zero else None for white_is_zero in tagged]
    if invert is None and any(tagged):
        if not all(tagged):
            other = pages[tagged.index(False)][0]
            raise ValueError(
                f"{first.path} is WhiteIsZero (tag PhotometricInterpretation), {other.path} is "
                "not; give --no-invert to use the stored values, or save all planes the same way"
            )
        LOG.warning(
            "%s: the tag PhotometricInterpretation is WhiteIsZero. The stored values are used as "
            "they are, so that 0 is black; if the image comes out inverted, give --invert "
            "(--no-invert: no warning)",
            first.path,
        )
    if not invert:
        return [None] * len(pages)
    dtype = pages[0][1].dtype
    if dtype is not None and dtype.kind == "f":
        raise ValueError(f"{first.path} is {dtype}, which has no white; --invert takes integers")
    white = -1 if dtype is not None and dtype.kind == "i" else 2**bits - 1
    return [white] * len(pages)


def _writes_true_as_one(file: TiffFileInfo) -> bool:
    """Whether the writer of a file stores True as 1 in images of 1 bit with WhiteIsZero."""
    return file.software.startswith("tifffile")


def _warn_of_orientation(sources: Sequence[FilePage]) -> None:
    rotated = next(((file, page) for file, page in sources if page.orientation != 1), None)
    if rotated is not None:
        LOG.warning(
            "%s: the tag Orientation is %d. Rows and columns are read as they are stored; labels "
            "made in a program that rotates or flips such images do not fit",
            rotated[0].path,
            rotated[1].orientation,
        )
