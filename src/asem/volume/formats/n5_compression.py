"""Compression of N5 arrays: those that tensorstore reads, without options of other programs."""

from typing import Any

from asem.config import shorten
from asem.volume.address import Address

COMPRESSION_KEYS = {
    "raw": (), "gzip": ("level", "useZlib"), "bzip2": ("blockSize",), "xz": ("preset",),
    "blosc": ("cname", "clevel", "shuffle", "blocksize", "nthreads"), "zstd": ("level",),
}  # fmt: skip
"""Compressions that are read, and their options; zarr-python 2 writes others, too."""


def read_compression(compression: Any, address: Address) -> Any:
    """Return the compression of an array with the options that tensorstore reads.

    Parameters
    ----------
    compression
        As ``attributes.json`` states it.
    address
        Of the array, for messages.

    Raises
    ------
    ValueError
        It cannot be read; the message names those that can.
    """
    kind = compression.get("type") if isinstance(compression, dict) else None
    if not isinstance(kind, str):  # tensorstore raises the error
        return compression
    if kind not in COMPRESSION_KEYS:
        raise ValueError(
            f"{address} is compressed with {shorten(kind)}; {', '.join(COMPRESSION_KEYS)} can be "
            "read: write it again with one of them"
        )
    allowed = ("type", *COMPRESSION_KEYS[kind])
    return {key: value for key, value in compression.items() if key in allowed}
