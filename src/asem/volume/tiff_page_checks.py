"""Check that a TIFF page is a plane of grey values or ids, and that its stored size is possible."""

from math import prod

from asem.system.resources import format_bytes
from asem.volume.roi import format_shape
from asem.volume.tiff_headers import PALETTE, TiffPageInfo

UNCOMPRESSED = 1
MAX_COMPRESSION_RATIO = {
    UNCOMPRESSED: 1, 5: 2**12, 8: 1032, 32946: 1032, 32773: 64, 50000: 2**16, 34926: 2**16,
}  # fmt: skip
"""Decoded bytes per stored byte: LZW, deflate (two codes), PackBits, zstd (two codes)."""
MAX_OTHER_COMPRESSION_RATIO = 2**20
"""Of compressions that store a constant plane in a few bytes."""
MAX_SEGMENT_BYTES = 2**28
"""Decoded bytes of a strip or tile that is larger than its plane."""


def find_page_error(
    page: TiffPageInfo, *, as_labels: bool, has_selected_channel: bool
) -> str | None:
    """Return an error message if a page cannot be read as grey values or ids; else None.

    Parameters
    ----------
    page
        The page.
    as_labels
        Whether pixels are read as ids; the indices of a palette are allowed then.
    has_selected_channel
        Whether one of several samples is selected.
    """
    if 0 in page.shape:
        return f"has {format_shape(page.shape)} pixels; remove it"
    if page.is_truncated:
        return "is truncated: the file ends before the end of its pixels; copy it again"
    if not _can_hold_pixels(page):
        return (
            f"states {format_shape(page.shape)} pixels of {page.bits_per_sample} bits, but holds "
            f"{format_bytes(page.stored_bytes)} of them; copy it again"
        )
    if page.segment_bytes > max(MAX_SEGMENT_BYTES, page.nbytes):
        return f"has strips or tiles of {format_bytes(page.segment_bytes)}; save it in strips"
    if page.axes not in ("YX", "YXS", "SYX"):
        return f"has the axes {page.axes} of {page.shape}; save it as one plane per page"
    if page.samples_per_pixel > 1 and not has_selected_channel:
        samples = page.samples_per_pixel
        return (
            f"has colour or channels ({samples} samples per pixel); choose one with --channel 0 to "
            f"{samples - 1}, or convert it to one grey channel"
        )
    if page.photometric == PALETTE and not as_labels and not page.has_grey_palette:
        return (
            "has a colour palette; if its indices are labels, give --kind labels; else save it as "
            "grey values"
        )
    return None


def _can_hold_pixels(page: TiffPageInfo) -> bool:
    """Whether the stored bytes of a page can decode to all of its pixels."""
    ratio = MAX_COMPRESSION_RATIO.get(page.compression, MAX_OTHER_COMPRESSION_RATIO)
    return (
        page.is_sparse or prod(page.shape) * page.bits_per_sample <= 8 * ratio * page.stored_bytes
    )
