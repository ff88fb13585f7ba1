"""What a TIFF file states about its pixels: bit order, WhiteIsZero, palettes, samples, damage."""

import logging
import os
import resource
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from PIL import Image

from asem.volume import tiff_headers, tiff_planes, tiff_stack
from asem.volume.tiff_sources import open_tiff_file, open_tiff_folder
from asem.volume.tiff_stack import DEFAULT_TIFF_OPTIONS, TiffOptions

LABELS = TiffOptions(as_labels=True)
WHITE_IS_ZERO, BLACK_IS_ZERO = {262: 0}, {262: 1}
SQUARE = np.zeros((16, 16), bool)
SQUARE[2:6, 3:7] = True


def read(path, options=DEFAULT_TIFF_OPTIONS):
    opened = open_tiff_folder if path.is_dir() else open_tiff_file
    return opened(path, options)[:, :, :]


def save(path, voxels, tags=BLACK_IS_ZERO, *, bits=None, **options):
    image = Image.fromarray(voxels)
    image = image.convert("1") if bits == 1 else image
    image.save(path, "TIFF", tiffinfo=tags, **options)
    return path


def reversed_bits(voxels):
    """Return the same bytes, the first bit of each last."""
    flat = np.frombuffer(voxels.tobytes(), np.uint8)
    mirrored = np.packbits(np.unpackbits(flat).reshape(-1, 8)[:, ::-1])
    return np.frombuffer(mirrored.tobytes(), voxels.dtype).reshape(voxels.shape)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f4"])
def test_bits_in_reverse_order_are_reversed(tmp_path, rng, dtype, byteorder):
    grey = rng.integers(0, 200, (3, 5, 17)).astype(byteorder + dtype)
    stored = reversed_bits(grey)
    in_its_place = (65_000, 3, 1, 2, True)
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path, byteorder=byteorder) as writer:
        for plane in stored:
            writer.write(plane, photometric="minisblack", extratags=[in_its_place], metadata=None)
    order = "little" if byteorder == "<" else "big"
    data = path.read_bytes()
    path.write_bytes(data.replace((65_000).to_bytes(2, order), (266).to_bytes(2, order)))
    assert (stored != grey).any()
    assert (read(tmp_path / "s.tif") == grey).all()
    assert not open_tiff_file(tmp_path / "s.tif").can_read_rows


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "tiff_lzw", None])
@pytest.mark.parametrize("tags", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_white_in_one_bit_is_foreground(tmp_path, compression, tags):
    options = {} if compression is None else {"compression": compression}
    path = save(tmp_path / "p.tif", np.uint8(SQUARE) * 255, tags, bits=1, **options)
    voxels = read(path)
    assert voxels.dtype == np.uint8
    assert (voxels[0] == SQUARE).all()
    assert voxels.sum() == 16
    assert (read(path, TiffOptions(invert=False))[0] == (SQUARE ^ (tags == WHITE_IS_ZERO))).all()


def test_planes_of_one_bit_follow_their_own_tags(tmp_path):
    for number, tags in enumerate([WHITE_IS_ZERO, BLACK_IS_ZERO, WHITE_IS_ZERO]):
        save(tmp_path / f"p_{number}.tif", np.uint8(SQUARE) * 255, tags, bits=1)
    assert (read(tmp_path) == SQUARE).all()


def test_true_that_tifffile_wrote_is_one(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.stack([SQUARE] * 3))
    with tifffile.TiffFile(tmp_path / "p.tif") as file:
        assert file.pages[0].aspage().photometric == 0
    assert (read(tmp_path / "p.tif") == SQUARE).all()


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_white_is_zero_in_grey_is_the_users_to_decide(tmp_path, caplog, dtype, white):
    path = tmp_path / "p.tif"
    tifffile.imwrite(path, np.full((1, 4, 4), 215, dtype), photometric="miniswhite")
    assert read(path).min() == 215
    assert "PhotometricInterpretation is WhiteIsZero" in caplog.text
    assert str(path) in caplog.text
    caplog.clear()
    assert read(path, TiffOptions(invert=True)).max() == white - 215
    assert read(path, TiffOptions(invert=False)).max() == 215
    assert caplog.text == ""


def test_pillows_40_comes_back(tmp_path):
    path = save(tmp_path / "p.tif", np.full((4, 4), 40, np.uint8), WHITE_IS_ZERO)
    assert read(path, TiffOptions(invert=True)).tolist() == np.full((1, 4, 4), 40).tolist()


def test_inverting_takes_the_white_of_the_bits(tmp_path):
    tifffile.imwrite(tmp_path / "i.tif", np.array([[-5, 0, 7]], np.int16))
    invert = TiffOptions(invert=True)
    assert read(tmp_path / "i.tif", invert).tolist() == [[[4, -1, -8]]]
    tifffile.imwrite(tmp_path / "f.tif", np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"f.tif is float32, which has no white"):
        read(tmp_path / "f.tif", invert)


def test_some_planes_white_is_zero_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "p_1.tif", np.zeros((4, 4), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "p_2.tif", np.zeros((4, 4), np.uint8), photometric="miniswhite")
    with pytest.raises(ValueError, match=r"p_2.tif is WhiteIsZero .*p_1.tif is not; give --no-inv"):
        read(tmp_path)
    assert (read(tmp_path, TiffOptions(invert=False)) == 0).all()


def palette(path, indices, *, grey=False):
    ramp = np.arange(256) * 257
    colours = np.stack([ramp, ramp if grey else ramp[::-1], ramp]).astype(np.uint16)
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours)
    return path


def test_indices_of_a_palette_are_ids_of_labels(tmp_path):
    ids = np.array([[0, 1, 2], [2, 2, 0]], np.uint8)
    path = palette(tmp_path / "p.tif", ids)
    assert (read(path, LABELS)[0] == ids).all()
    with pytest.raises(ValueError, match="if its indices are labels, give --kind labels"):
        read(path)
    assert (read(palette(tmp_path / "g.tif", ids, grey=True))[0] == ids).all()


def test_a_pillow_palette_is_ids(tmp_path):
    ids = np.array([[0, 1, 2], [2, 2, 0]], np.uint8)
    image = Image.fromarray(ids, "L").convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "p.tif")
    stored = tifffile.imread(tmp_path / "p.tif")
    assert (read(tmp_path / "p.tif", LABELS)[0] == stored).all()


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_are_channels(tmp_path, rng, planar):
    colour = rng.integers(0, 255, (14, 15, 3)).astype(np.uint8)
    stored = colour if planar == "contig" else np.moveaxis(colour, 2, 0)
    path = tmp_path / "p.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar)
    with pytest.raises(
        ValueError, match=r"3 samples per pixel\); choose one with --channel 0 to 2"
    ):
        read(path)
    assert (read(path, TiffOptions(channel="1"))[0] == colour[..., 1]).all()
    with pytest.raises(ValueError, match="has the channels 0, 1, 2; there is no channel 3"):
        read(path, TiffOptions(channel="3"))


def test_a_page_without_a_photometric_tag_is_black_is_zero(tmp_path, caplog):
    path = tmp_path / "p.tif"
    tifffile.imwrite(path, np.full((4, 4), 9, np.uint8), metadata=None)
    data = bytearray(path.read_bytes())
    place = data.find((262).to_bytes(2, "little") + b"\x03\x00")
    data[place : place + 2] = (65_000).to_bytes(2, "little")
    path.write_bytes(data)
    assert read(path).max() == 9
    assert caplog.text == ""


def test_turned_pages_are_warned_of(tmp_path, caplog):
    voxels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    turned = [(274, 3, 1, 4, True)]
    tifffile.imwrite(tmp_path / "p.tif", voxels, extratags=turned)
    assert (read(tmp_path / "p.tif")[0] == voxels).all()
    assert "p.tif: the tag Orientation is 4" in caplog.text


def test_thumbnails_are_no_planes(tmp_path, rng):
    voxels = rng.integers(0, 255, (3, 8, 8)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        for plane in voxels:
            writer.write(plane, metadata=None)
            writer.write(plane[::2, ::2], metadata=None, subfiletype=1)
    assert (read(tmp_path / "s.tif") == voxels).all()


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint64, np.float16, np.float64])
def test_all_numbers_are_read(tmp_path, dtype):
    values = np.array([[0, 1, 100]]).astype(dtype)
    tifffile.imwrite(tmp_path / "s.tif", values)
    stack = open_tiff_file(tmp_path / "s.tif")
    assert stack.dtype == (np.float32 if dtype == np.float16 else dtype)
    assert stack[:, :, :].tolist() == [values.tolist()]


def test_a_fault_of_our_own_is_not_called_damage(tmp_path, monkeypatch):
    """A mistake in the program must not read "copy it again"."""
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((2, 14, 14), np.uint8), compression="zlib")
    stack = open_tiff_file(tmp_path / "s.tif")

    def broken(*_):
        raise KeyError("a mistake")

    monkeypatch.setattr(tiff_planes, "_select_sample", broken)
    with pytest.raises(KeyError, match="a mistake"):
        _ = stack[:, :, :]
    for module, name in (
        (tiff_stack, "_make_plane"),
        (tiff_headers, "_make_page_info"),
        (tiff_headers, "_parse_pixels_per_unit"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, broken)
            with pytest.raises(KeyError, match="a mistake"):
                open_tiff_file(tmp_path / "s.tif")


def test_what_the_system_refuses_is_not_called_damage(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((2, 14, 14), np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 64, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        with pytest.raises(OSError, match="Too many open files"):
            open_tiff_file(path)
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("kind", "value"), [("H", 250), ("f", 250.0), ("2I", (1000, 4))])
def test_resolutions_of_any_type_are_numbers(tmp_path, kind, value):
    path = tmp_path / "s.tif"
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 0.005}
    tags = [(60_000 + code, kind, 1, value, True) for code in (282, 283)]
    voxels = np.zeros((2, 14, 14), np.uint8)
    tifffile.imwrite(path, voxels, imagej=True, metadata=metadata, extratags=tags)
    data = path.read_bytes()
    for code in (282, 283):  # instead of those that the library writes, if any
        there = code.to_bytes(2, "little" if data[:2] == b"II" else "big")
        own = (60_000 + code).to_bytes(2, "little" if data[:2] == b"II" else "big")
        data = data.replace(there + b"\x05\x00", b"\x01\xff\x05\x00").replace(own, there)
    path.write_bytes(data)
    assert open_tiff_file(path).voxel_size == pytest.approx((5, 4, 4))


def test_the_librarys_own_log_is_heard_again(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((2, 14, 14), np.uint8))
    read(tmp_path / "s.tif")
    assert not logging.getLogger("tifffile").disabled
