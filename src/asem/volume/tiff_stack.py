"""From pages of TIFF files to a stack of equal planes: sample, inversion, what is refused."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asem.system.resources import refuse_without_memory
from asem.volume.channels import choose_channel
from asem.volume.planes import Plane, PlaneStack
from asem.volume.tiff_axes import Stated
from asem.volume.tiff_faults import page_fault
from asem.volume.tiff_pages import WHITE_IS_ZERO, File, Page

LOG = logging.getLogger(__name__)
DTYPES = tuple(np.dtype(name) for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16",
    "float32", "float64",
))  # fmt: skip
Source = tuple[File, Page]


@dataclass(frozen=True)
class TiffOptions:
    """What a TIFF stack does not decide by itself.

    Parameters
    ----------
    labels
        Whether pixels are ids: the indices of a palette then are ids, too.
    channel
        Number or name of the channel to read; needed where there are several.
    invert
        True: white (the largest value of the pixels' bits) minus the stored values; False: the
        stored values; None: as the files state it for 1 bit (WhiteIsZero), else the stored values.
    """

    labels: bool = False
    channel: str | None = None
    invert: bool | None = None


AS_STORED = TiffOptions()


def stack_of(sources: Sequence[Source], options: TiffOptions, stated: Stated | None) -> PlaneStack:
    """Make equal planes of pages, all checked."""
    samples = sources[0][1].samples
    sample = None
    if samples > 1 and options.channel is not None:
        sample = choose_channel(range(samples), (), options.channel, str(sources[0][0].path))
    elif options.channel is not None:
        names = stated.channels if stated is not None else ()
        choose_channel([0], names, options.channel, str(sources[0][0].path))
    for file, page in sources:
        if fault := page_fault(page, labels=options.labels, channel=sample is not None):
            raise ValueError(f"{file.path}, page {page.index + 1} of {len(file.pages)}, {fault}")
    planes = [_plane(file, page, sample) for file, page in sources]
    _refuse_unequal(planes)
    if planes[0].offset is None:  # a plane is decoded as a whole
        refuse_without_memory(sources[0][1].nbytes, f"a plane of {sources[0][0].path}")
    whites = white_values(sources, options.invert)
    planes = [
        replace(plane, inverted_from=white) for plane, white in zip(planes, whites, strict=True)
    ]
    _warn_of_orientation(sources)
    return PlaneStack(tuple(planes), stated.voxel_size if stated is not None else (None,) * 3)


def _plane(file: File, page: Page, sample: int | None) -> Plane:
    if page.dtype is None or page.dtype not in DTYPES:
        allowed = ", ".join(known.name for known in DTYPES)
        raise ValueError(f"{file.path} has pixels of {page.dtype}; allowed: {allowed}")
    height, width = (page.shape[page.axes.index(axis)] for axis in "YX")
    return Plane(
        file.path,
        page.index,
        (height, width),
        page.dtype.newbyteorder(">" if file.big_endian else "<"),
        page.offset if page.samples == 1 else None,
        file.state,
        sample,
        page.axes.startswith("S"),
    )


def white_values(sources: Sequence[Source], invert: bool | None) -> list[int | None]:
    """Return for each page from what its stored values are subtracted; None: they stay.

    In 1 bit WhiteIsZero makes white 1, as in all programs but tifffile, which stores True as 1 with
    this tag; its files are taken as stored. In grey values programs differ: some store inverted
    numbers with the tag (Pillow), others the numbers themselves, and show them inverted (ImageJ).
    There `invert` decides, and a warning names tag and file where it does not.

    Raises
    ------
    ValueError
        Only some pages of grey values are WhiteIsZero, or floats are to be inverted.
    """
    tagged = [
        page.photometric == WHITE_IS_ZERO and not (page.bits == 1 and _stores_truth(file))
        for file, page in sources
    ]
    first = sources[tagged.index(True)][0] if any(tagged) else sources[0][0]
    bits = sources[0][1].bits
    if invert is None and bits == 1:
        return [1 if white_is_zero else None for white_is_zero in tagged]
    if invert is None and any(tagged):
        if not all(tagged):
            other = sources[tagged.index(False)][0]
            raise ValueError(
                f"{first.path} is WhiteIsZero (tag PhotometricInterpretation), {other.path} is "
                "not; give --no-invert to take the stored values, or save the planes alike"
            )
        LOG.warning(
            "%s: the tag PhotometricInterpretation is WhiteIsZero. The stored values are taken as "
            "they are, so that 0 is black; if the image comes out inverted, give --invert "
            "(--no-invert: no warning)",
            first.path,
        )
    if not invert:
        return [None] * len(sources)
    dtype = sources[0][1].dtype
    if dtype is not None and dtype.kind == "f":
        raise ValueError(f"{first.path} is {dtype}, which has no white; --invert takes integers")
    white = -1 if dtype is not None and dtype.kind == "i" else 2**bits - 1
    return [white] * len(sources)


def _stores_truth(file: File) -> bool:
    """Whether its writer stores True as 1 in 1 bit and yet states WhiteIsZero."""
    return file.software.startswith("tifffile")


def _warn_of_orientation(sources: Sequence[Source]) -> None:
    turned = next(((file, page) for file, page in sources if page.orientation != 1), None)
    if turned is not None:
        LOG.warning(
            "%s: the tag Orientation is %d. Rows and columns are taken as they are stored; labels "
            "made in a program that turns such images do not fit",
            turned[0].path,
            turned[1].orientation,
        )


def _refuse_unequal(planes: Sequence[Plane]) -> None:
    first = planes[0]
    for plane in planes:
        where = f"{plane.path}" + (f", page {plane.page + 1}" if plane.page else "")
        if plane.shape != first.shape:
            raise ValueError(
                f"{where} has {plane.shape[0]} x {plane.shape[1]} pixels, but {first.path} has "
                f"{first.shape[0]} x {first.shape[1]}; all planes must have one size"
            )
        if plane.dtype.newbyteorder("=") != first.dtype.newbyteorder("="):
            raise ValueError(
                f"{where} is {plane.dtype}, but {first.path} is {first.dtype}; all planes must "
                "have one dtype"
            )
