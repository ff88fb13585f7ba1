"""Pages that are no plane of grey values or ids, or state more pixels than they hold."""

from math import prod

from asem.system.resources import in_bytes
from asem.volume.roi import extent
from asem.volume.tiff_pages import PALETTE, Page

UNCOMPRESSED = 1
MOST_RATIO = {
    UNCOMPRESSED: 1, 5: 2**12, 8: 1032, 32946: 1032, 32773: 64, 50000: 2**16, 34926: 2**16,
}  # fmt: skip
"""Bytes that one byte can become, by compression: LZW, deflate (twice), PackBits, zstd (twice)."""
OTHER_RATIO = 2**20
"""Of compressions in which a constant plane is a few bytes."""
MOST_SEGMENT = 2**28
"""Bytes of a strip or tile that reaches beyond its plane."""


def page_fault(page: Page, *, labels: bool, channel: bool) -> str | None:
    """Return why the pixels of a page are no grey values or ids, if so.

    Parameters
    ----------
    page
        The page.
    labels
        Whether its pixels are to be ids, for which the indices of a palette do.
    channel
        Whether one of several samples is chosen.
    """
    if 0 in page.shape:
        return f"has {extent(page.shape)} pixels; remove it"
    if page.truncated:
        return "is truncated: its pixels end after the file's end; copy it again"
    if not _is_possible(page):
        return (
            f"states {extent(page.shape)} pixels of {page.bits} bits, but holds "
            f"{in_bytes(page.stored)} of them; copy it again"
        )
    if page.segment > max(MOST_SEGMENT, page.nbytes):
        return f"has strips or tiles of {in_bytes(page.segment)}; save it in strips"
    if page.axes not in ("YX", "YXS", "SYX"):
        return f"has the axes {page.axes} of {page.shape}; save it as one plane a page"
    if page.samples > 1 and not channel:
        return (
            f"has colour or channels ({page.samples} samples a pixel); choose one with --channel "
            f"0 to {page.samples - 1}, or convert it to one grey channel"
        )
    if page.photometric == PALETTE and not labels and not page.grey_palette:
        return (
            "has a colour palette; if its indices are labels, give --kind labels; else save it as "
            "grey values"
        )
    return None


def _is_possible(page: Page) -> bool:
    """Whether the bytes of a page can be all of its pixels."""
    ratio = MOST_RATIO.get(page.compression, OTHER_RATIO)
    return page.sparse or prod(page.shape) * page.bits <= 8 * ratio * page.stored
