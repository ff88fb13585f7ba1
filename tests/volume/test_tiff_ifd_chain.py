"""Pages that have no end, in each form of TIFF."""

import numpy as np
import pytest
import tifffile

from asem.volume.tiff_ifd_chain import check_ifd_chain


def closed(path, page):
    """Let the last page of a file be followed by another."""
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        order = file.byteorder
        place, size = pages[-1].offset, file.tiff.offsetsize
        entries = file.tiff.tagnosize + len(pages[-1].tags) * file.tiff.tagsize
    data = bytearray(path.read_bytes())
    link = slice(place + entries, place + entries + size)
    data[link] = pages[page].offset.to_bytes(size, "little" if order == "<" else "big")
    path.write_bytes(data)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_every_form_of_tiff_is_walked(tmp_path, order, big):
    path = tmp_path / "s.tif"
    planes = np.zeros((5, 20, 30), np.uint16)
    tifffile.imwrite(path, planes, byteorder=order, bigtiff=big, metadata=None)
    with path.open("rb") as file:
        check_ifd_chain(file, "s.tif")
    closed(path, 1)
    with (
        path.open("rb") as file,
        pytest.raises(ValueError, match=r"s.tif has no end: page 2 follows page 5; it is damaged"),
    ):
        check_ifd_chain(file, "s.tif")


@pytest.mark.parametrize("data", [b"", b"II", b"MM\0*", b"II*\0\x08\0\0\0", b"no TIFF file at all"])
def test_other_damage_is_left_to_the_library(tmp_path, data):
    path = tmp_path / "s.tif"
    path.write_bytes(data)
    with path.open("rb") as file:
        check_ifd_chain(file, "s.tif")
