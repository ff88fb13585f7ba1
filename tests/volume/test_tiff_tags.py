"""Tags whose values no writer means: each is damage, and the message names the file."""

import itertools
import struct

import pytest

import raw_tiff
from asem.cli import main
from raw_tiff import grey, write

FLOAT, SIGNED, BYTES = 11, 9, 7
STATED = {
    "no value": (raw_tiff.SHORT, 0, 0),
    "two values": (raw_tiff.SHORT, 2, 0x00100010),
    "text": (raw_tiff.ASCII, 3, int.from_bytes(b"ab\0\0", "little")),
    "bytes": (BYTES, 3, int.from_bytes(b"ab\0\0", "little")),
    "nan": (FLOAT, 1, struct.unpack("<I", struct.pack("<f", float("nan")))[0]),
    "inf": (FLOAT, 1, struct.unpack("<I", struct.pack("<f", float("inf")))[0]),
    "fraction": (FLOAT, 1, struct.unpack("<I", struct.pack("<f", 2.5))[0]),
    "negative": (SIGNED, 1, 2**32 - 5),
    "huge": (raw_tiff.LONG, 1, 2**32 - 1),
}
CODES = [256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 339, 32997]
TILED = [322, 323, 324, 325, 32998]
MANY, LARGE = (258, 273, 278, 279, 339), (259, 262, 266, 274, 278, 284, 317)
UNSTATED = (279, 325)
"""Tags that may hold several values, or any value; and the number of bytes, which follows from
the rest of an uncompressed page."""


def of_tiles():
    tags = grey(16, 16)
    for code in (raw_tiff.ROWS, raw_tiff.OFFSETS, raw_tiff.COUNTS):
        del tags[code]
    return {**tags, 322: 16, 323: 16, 324: 8, 325: 256}


@pytest.mark.parametrize("stated", STATED)
@pytest.mark.parametrize("code", [*CODES, *TILED])
def test_a_tag_that_is_no_number_is_damage(tmp_path, monkeypatch, capsys, code, stated):
    monkeypatch.chdir(tmp_path)
    tags = of_tiles() if code in TILED else grey(16, 16)
    if code == 320:
        tags[raw_tiff.PHOTOMETRIC] = 3
    write(tmp_path / "x.tif", {**tags, code: STATED[stated]})
    ended = main(["import", "x.tif", "o", "--voxel-size", "5"])
    stderr = capsys.readouterr().err
    allowed = (stated, code) in [
        *itertools.product(["no value"], UNSTATED), *itertools.product(["two values"], MANY),
        *itertools.product(["huge"], LARGE),
    ]  # fmt: skip
    if not (allowed and ended == 0):
        assert ended == 2
        assert "x.tif" in stderr
        assert "allocate" not in stderr
        assert len(stderr.splitlines()) == 1
    assert not list(tmp_path.glob("asem-error-*"))


def test_whole_pages_of_strips_and_tiles_are_read(tmp_path):
    for number, tags in enumerate((grey(16, 16), of_tiles(), {**grey(16, 16), 274: 1})):
        write(tmp_path / f"{number}.tif", tags)
        words = ["import", str(tmp_path / f"{number}.tif"), str(tmp_path / f"{number}")]
        assert main([*words, "--voxel-size", "5"]) == 0
