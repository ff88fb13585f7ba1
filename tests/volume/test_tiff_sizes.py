"""TIFF files that state more than they hold, more than fits, or no end."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

import raw_tiff
from limits import run_limited
from raw_tiff import grey, header, page, write

HUGE = 2**31 - 1
ROW = "<OME><Image><Pixels SizeX='4' SizeY='4' SizeC='1' SizeT='{t}' SizeZ='{z}' Type='uint8'>"
END = "</Pixels></Image></OME>"


def points_to_itself(path):
    write(path, grey(16, 16), following=264)


def goes_round(path):
    size, pages = len(page(grey(4, 4))), 150
    places = [264 + n * size for n in range(pages)]
    following = [*places[1:], places[7]]
    chain = b"".join(page(grey(16, 16), after) for after in following)
    path.write_bytes(header(264) + bytes(256) + chain)


def has_a_million_pages(path):
    """A page needs 6 bytes; they overlap."""
    number = 1_200_000
    offsets = 8 + 6 * np.arange(1, number + 1, dtype="<u4")
    chain = np.zeros(number, np.dtype([("tags", "<u2"), ("next", "<u4")]))
    chain["next"] = offsets
    path.write_bytes(header(8) + chain.tobytes())


def shares_its_strips_between_pages(path):
    """Each of 200 pages lists the same 500,000 strips."""
    strips, pages = 500_000, 200
    table = np.full(strips, 8, "<u4").tobytes()
    tags = {
        **grey(1, strips), raw_tiff.ROWS: 1, raw_tiff.OFFSETS: (raw_tiff.LONG, strips, 8),
        raw_tiff.COUNTS: (raw_tiff.LONG, strips, 8),
    }  # fmt: skip
    first, size = 8 + len(table), len(page(tags))
    after = [*(first + size * n for n in range(1, pages)), 0]
    path.write_bytes(header(first) + table + b"".join(page(tags, place) for place in after))


def counts_beyond_the_file(path):
    many = (raw_tiff.LONG, 2**31, 8)
    write(path, {**grey(HUGE, HUGE), raw_tiff.OFFSETS: many, raw_tiff.COUNTS: many})


def states_a_huge_strip(path):
    write(path, grey(HUGE, HUGE))


def states_huge_tiles(path):
    tiles = {raw_tiff.TILE_WIDTH: HUGE, raw_tiff.TILE_LENGTH: HUGE}
    tiles |= {raw_tiff.TILE_OFFSETS: 8, raw_tiff.TILE_COUNTS: 256}
    write(path, {**grey(HUGE, HUGE), **tiles})


def states_huge_tiles_of_a_small_plane(path):
    tiles = {raw_tiff.TILE_WIDTH: HUGE - 15, raw_tiff.TILE_LENGTH: 2**20}
    tiles |= {raw_tiff.TILE_OFFSETS: 8, raw_tiff.TILE_COUNTS: 256}
    tags = {**grey(16, 16, compression=8), **tiles}
    write(path, {c: v for c, v in tags.items() if c not in (raw_tiff.OFFSETS, raw_tiff.COUNTS)})


def compressed(codec):
    def state_a_trillion_pixels(path):
        pixels = zlib.compress(bytes(10**5))
        tags = grey(10**6, 10**6, compression=codec, count=len(pixels))
        write(path, tags, pixels=pixels)

    return state_a_trillion_pixels


def needs_more_than_there_is(path):
    """Compressed by no more than deflate can, and yet larger than any memory."""
    pixels = bytes(2 * 10**6)  # of each of 2,000 strips that share them
    strips = 2_000
    table = np.array([[8] * strips, [len(pixels)] * strips], "<u4").tobytes()
    tags = {
        **grey(2**20, 2**21, compression=8), raw_tiff.ROWS: 2**21 // strips + 1,
        raw_tiff.OFFSETS: (raw_tiff.LONG, strips, 8 + len(pixels)),
        raw_tiff.COUNTS: (raw_tiff.LONG, strips, 8 + len(pixels) + 4 * strips),
    }  # fmt: skip
    write(path, tags, pixels=pixels + table)


def has_pixels_beyond_its_end(path):
    write(path, grey(16, 16, count=10**9))


def has_fewer_bytes_than_pixels(path):
    write(path, grey(100, 100))


def has_no_pixels(path):
    write(path, grey(0, 0))


def described(text, pages=1):
    def has_a_description(path):
        planes = np.zeros((pages, 4, 4), np.uint8)
        plain = {"metadata": None, "photometric": "minisblack"}
        description = text() if callable(text) else text
        tifffile.imwrite(path, planes, description=description, **plain)

    return has_a_description


def listing(z, data, t=1):
    return ROW.format(z=z, t=t) + data + END


def attributes():
    return "<OME a='" + "' ".join(f"b{n}='" for n in range(3_000_000)) + "'/></OME>"


BOMB = (
    "<?xml version='1.0'?><!DOCTYPE OME [<!ENTITY a0 'aaaaaaaaaa'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
    + "]><OME>&a9;</OME>"
)
FAULTS = {
    "an IFD that points to itself": (points_to_itself, "page 1 follows page 1"),
    "a cycle of pages": (goes_round, "page 8 follows page 150"),
    "pages of six bytes": (has_a_million_pages, "has more than 65,536 pages"),
    "strips that all pages share": (shares_its_strips_between_pages, "tags that state"),
    "counts of 2^31": (counts_beyond_the_file, "tags that state 17.2 GB"),
    "a strip of (2^31-1)^2": (states_a_huge_strip, "2147483647 x 2147483647 pixels"),
    "tiles of (2^31-1)^2": (states_huge_tiles, "2147483647 x 2147483647 pixels"),
    "huge tiles of a small plane": (states_huge_tiles_of_a_small_plane, "tiles of"),
    "deflate": (compressed(8), "1000000 x 1000000 pixels"),
    "LZW": (compressed(5), "1000000 x 1000000 pixels"),
    "zstd": (compressed(50000), "1000000 x 1000000 pixels"),
    "packbits": (compressed(32773), "1000000 x 1000000 pixels"),
    "JPEG": (compressed(7), "1000000 x 1000000 pixels"),
    "a plane larger than memory": (needs_more_than_there_is, "of memory, of which"),
    "pixels beyond the end": (
        has_pixels_beyond_its_end,
        "the file ends before the end of its pixels",
    ),
    "fewer bytes than pixels": (has_fewer_bytes_than_pixels, "holds 256 B"),
    "no pixels": (has_no_pixels, "0 x 0 pixels"),
    "SizeZ 1e9": (described(listing(10**9, "")), "1,000,000,000 planes"),
    "SizeT 1e9": (described(listing(1, "", 10**9)), "1,000,000,000 planes"),
    "SizeZ and SizeT": (described(listing(10**5, "<TiffData/>", 10**5)), "10,000,000,000 planes"),
    "SizeZ of 5,000 digits": (described(listing("9" * 5000, "")), "cannot be used"),
    "many TiffData": (
        described(listing(10**5, "<TiffData/>" * 1000, 1)),
        "more than 2,097,152 planes",
    ),
    "TiffData of 1e9 planes": (
        described(listing(2, "<TiffData IFD='0' PlaneCount='1000000000'/>")),
        "declares 2 planes and holds 1 page",
    ),
    "entities": (described(BOMB), "cannot be used"),
    "depth": (described("<OME>" * 500_000 + "</OME>" * 500_000), None),
    "elements": (described("<OME>" + "<a/>" * 5_000_000 + "</OME>"), "cannot be used"),
    "attributes": (
        described(attributes),
        "cannot be used",
    ),
    "40 of 100 pages": (described(listing(100, ""), 40), "declares 100 planes and holds 40 pages"),
    "40 of 100 pages listed": (
        described(listing(100, "<TiffData IFD='0' PlaneCount='40'/>"), 40),
        "declares 100 planes and holds 40 pages",
    ),
    "40 of 100 pages, one by one": (
        described(
            listing(100, "".join(f"<TiffData IFD='{n}' FirstZ='{n}'/>" for n in range(40))), 40
        ),
        "declares 100 planes and holds 40 pages",
    ),
    "images=1e9": (described("ImageJ=1.53\nimages=1000000000\n"), "1,000,000,000 planes"),
    "shape of 1e9": (described(json.dumps({"shape": [10**9, 4, 4]})), "1,000,000,000 planes"),
    "shape of 1e400": (described('{"shape": [1e400, 4, 4]}'), "states the shape"),
    "shape of text": (described('{"shape": "abc"}'), "states the shape"),
    "shape of nothing": (described('{"shape": null}'), "states the shape"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_file_can_hold_is_one_line(fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_it, message = FAULTS[fault]
    Path("in").mkdir()
    write_it(Path("in/s.tif"))
    code, lines = run_limited(["import", "in/s.tif", "out", "--voxel-size", "5"], tmp_path / "log")
    assert code == (2 if message else 0), lines
    if message:
        assert len(lines) == 1, lines
        assert message in lines[0]
        assert lines[0].startswith("asem: ")
        assert "s.tif" in lines[0]
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "log"]
