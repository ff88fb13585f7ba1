"""PNG planes of every colour type, as images and as labels; damage is one line."""

import pickle
import struct
import time
import zlib

import imagecodecs
import matplotlib.image
import numpy as np
import pytest

from asem.cli import main
from asem.volume.png_file import read_png_header, read_png_samples
from asem.volume.png_planes import open_png, write_png_plane
from asem.volume.sources import open_source

SHAPE = (3, 6, 11)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", checksum)


def encode(rows, width, bits, colour_type, *, interlace=0, extra=b""):
    """Return a PNG file made by hand from packed rows."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, interlace)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def write_planes(folder, voxels, name="p_{:02d}.png"):
    folder.mkdir()
    for number, plane in enumerate(voxels):
        (folder / name.format(number)).write_bytes(imagecodecs.png_encode(plane))
    return folder


def read(path, **options):
    stack = open_png(path, **options)
    return stack[(slice(None),) * 3]


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 250, SHAPE).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_planes(tmp_path, rng, dtype):
    voxels = rng.integers(0, np.iinfo(dtype).max, (12, 5, 7), dtype, endpoint=True)
    folder = write_planes(tmp_path / "s", voxels, "p_{}.png")  # p_10 after p_9
    volume = open_source(folder, voxel_size=(5.24, 4.0, 4.0))
    assert (volume.dtype, volume.kind) == (dtype, "image")
    np.testing.assert_array_equal(volume.read(volume.roi), voxels)
    part = (slice(3, 9), slice(1, 4), slice(2, 6))
    stack = pickle.loads(pickle.dumps(open_png(folder)))
    np.testing.assert_array_equal(stack[part], voxels[part])
    assert main(["import", str(folder), str(tmp_path / "raw"), "--voxel-size", "5"]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "raw"), voxels)


def read_image(path):
    volume = open_source(path)
    return volume.read(volume.roi)


def test_a_single_file_is_a_plane(tmp_path, voxels):
    (tmp_path / "p.PNG").write_bytes(imagecodecs.png_encode(voxels[0]))
    np.testing.assert_array_equal(read(tmp_path / "p.PNG"), voxels[:1])
    assert open_source(tmp_path / "p.PNG", voxel_size=(1.0,) * 3).shape == (1, 6, 11)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("colour_type", [0, 3])
def test_bits_are_stored_values(tmp_path, rng, bits, colour_type):
    values = rng.integers(0, 2**bits, (5, 9), np.uint8)
    unpacked = (values[..., np.newaxis] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(unpacked.reshape(5, -1), axis=1)
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits))) if colour_type == 3 else b""
    (tmp_path / "p.png").write_bytes(encode(rows, 9, bits, colour_type, extra=palette))
    np.testing.assert_array_equal(read(tmp_path / "p.png", as_labels=True)[0], values)


def test_a_palette_is_no_image(tmp_path):
    palette = chunk(b"PLTE", bytes(30)) + chunk(b"tRNS", bytes(3))
    (tmp_path / "p.png").write_bytes(encode([[0, 9], [3, 2]], 2, 8, 3, extra=palette))
    with pytest.raises(ValueError, match=r"p\.png has a colour palette; .* give --kind labels"):
        read(tmp_path / "p.png")
    assert read(tmp_path / "p.png", as_labels=True).tolist() == [[[0, 9], [3, 2]]]


def test_a_transparent_grey_value_and_gamma_change_nothing(tmp_path):
    extra = chunk(b"gAMA", struct.pack(">I", 10000)) + chunk(b"tRNS", b"\0\7")
    (tmp_path / "p.png").write_bytes(encode([[7, 9], [3, 2]], 2, 8, 0, extra=extra))
    assert read(tmp_path / "p.png").tolist() == [[[7, 9], [3, 2]]]


def test_interlaced_rows(tmp_path):
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1)
    pixels = zlib.compress(b"\0\1\0\2\0\3\4")  # passes 1, 6 and 7 of Adam7
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    (tmp_path / "p.png").write_bytes(SIGNATURE + b"".join(parts))
    assert read(tmp_path / "p.png").tolist() == [[[1, 2], [3, 4]]]


@pytest.mark.parametrize("alpha", [[], [255]])
def test_colours_are_ids_of_labels(tmp_path, rng, alpha):
    """VAST exports ids as colours: 65536 R + 256 G + B."""
    ids = rng.integers(0, 2**24, SHAPE)
    colours = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=-1).astype(np.uint8)
    opacity = np.broadcast_to(np.array(alpha, np.uint8), (*SHAPE, len(alpha)))
    folder = write_planes(tmp_path / "s", np.concatenate([colours, opacity], axis=-1))
    volume = open_source(folder, voxel_size=(1.0,) * 3, kind="labels")
    assert volume.dtype == np.uint32
    np.testing.assert_array_equal(volume.read(volume.roi), ids)
    with pytest.raises(ValueError, match=r"has colours \(RGB\); choose one with --channel 0 to 2"):
        open_source(folder, voxel_size=(1.0,) * 3)
    np.testing.assert_array_equal(read(folder, channel="1"), colours[..., 1])
    with pytest.raises(ValueError, match="there is no channel 3"):
        read(folder, channel="3")


def test_colours_of_16_bits_are_no_ids(tmp_path):
    write_planes(tmp_path / "s", np.zeros((2, 3, 4, 3), np.uint16))
    with pytest.raises(ValueError, match="has colours of 16 bits"):
        read(tmp_path / "s", as_labels=True)


def test_opacity_must_be_constant(tmp_path, voxels):
    opaque = np.full(SHAPE, 200, np.uint8)
    folder = write_planes(tmp_path / "s", np.stack([voxels, opaque], axis=-1))
    np.testing.assert_array_equal(read(folder), voxels)
    opaque[1, 2, 3] = 0
    (folder / "p_01.png").write_bytes(imagecodecs.png_encode(np.stack([voxels, opaque], -1)[1]))
    with pytest.raises(ValueError, match=r"p_01\.png has an opacity \(alpha channel\)"):
        read(folder)


def test_what_matplotlib_writes(tmp_path, voxels):
    matplotlib.image.imsave(tmp_path / "p.png", voxels[0], cmap="gray", vmin=0, vmax=255)
    decoded = np.rint(matplotlib.image.imread(tmp_path / "p.png")[..., 0] * 255)
    np.testing.assert_array_equal(read(tmp_path / "p.png", channel="0")[0], decoded)


def test_channels_in_names(tmp_path, voxels):
    write_planes(tmp_path / "s", voxels, "c0_z{}.png")
    write_planes(tmp_path / "t", voxels + 1, "c1_z{}.png")
    for path in (tmp_path / "t").iterdir():
        path.rename(tmp_path / "s" / path.name)
    np.testing.assert_array_equal(read(tmp_path / "s", channel="1"), voxels + 1)


def test_a_missing_and_an_unequal_plane_are_named(tmp_path, voxels):
    folder = write_planes(tmp_path / "s", voxels)
    (folder / "p_01.png").write_bytes(imagecodecs.png_encode(voxels[0, 1:]))
    with pytest.raises(ValueError, match=r"p_01\.png has 5 x 11 pixels, but .*p_00\.png has 6"):
        read(folder)
    (folder / "p_01.png").write_bytes(imagecodecs.png_encode(voxels[0].astype(np.uint16)))
    with pytest.raises(ValueError, match=r"p_01\.png is uint16, but .*p_00\.png is uint8"):
        read(folder)
    (folder / "p_01.png").unlink()
    with pytest.raises(ValueError, match="lacks 1 of its planes: number 1"):
        read(folder)


def test_a_change_while_reading_is_named(tmp_path, voxels):
    folder = write_planes(tmp_path / "s", voxels)
    stack = open_png(folder)
    time.sleep(0.01)
    (folder / "p_02.png").write_bytes(imagecodecs.png_encode(voxels[0]))
    with pytest.raises(ValueError, match=r"p_02\.png changed while it was read"):
        stack[(slice(None),) * 3]


def test_a_plane_that_gets_another_shape_is_named(tmp_path, voxels):
    folder = write_planes(tmp_path / "s", voxels)
    header = read_png_header(folder / "p_02.png")
    (folder / "p_02.png").write_bytes(imagecodecs.png_encode(voxels[0, :4]))
    with pytest.raises(ValueError, match=r"p_02\.png is damaged .*; copy it again"):
        read_png_samples(header)


def assert_refused(path, capsys, message):
    out = path.parent / "out"
    assert main(["import", str(path), str(out), "--voxel-size", "5"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert str(path) in line
    assert not out.exists()


def test_an_absurd_size_is_one_line(tmp_path, capsys):
    header = struct.pack(">IIBBBBB", 10**9, 10**9, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(9)))
    path = tmp_path / "p.png"
    path.write_bytes(SIGNATURE + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    assert_refused(path, capsys, "states 1000000000 x 1000000000 pixels of 8 bits, but holds")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no PNG file"),
        (b"GIF89a" + bytes(99), "is no PNG file"),
        (SIGNATURE, "is truncated"),
        (SIGNATURE + bytes(99), "is truncated"),
        (encode([[1]], 1, 5, 0), "is damaged: its header is no PNG header"),
        (encode([[1]], 1, 8, 5), "is damaged: its header is no PNG header"),
        (encode([[1]], 1, 8, 0, interlace=2), "is damaged: its header is no PNG header"),
        (encode([[1]], 1, 8, 0).replace(b"IHDR", b"IHDX"), "is damaged"),
        (encode([[]], 0, 8, 0), "states 1 x 0 pixels"),
    ],
)
def test_a_damaged_header_is_one_line(tmp_path, capsys, content, message):
    (tmp_path / "p.png").write_bytes(content)
    assert_refused(tmp_path / "p.png", capsys, message)


def test_a_file_cut_anywhere_is_named(tmp_path, voxels):
    path = tmp_path / "p.png"
    content = imagecodecs.png_encode(voxels[0])
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"p\.png is (no PNG file|truncated)"):
            read(path)
    path.write_bytes(content + b"bytes of another program")
    np.testing.assert_array_equal(read(path), voxels[:1])


def test_a_corrupt_file_is_one_line_or_pixels(tmp_path, voxels):
    path, content = tmp_path / "p.png", bytearray(imagecodecs.png_encode(voxels[0]))
    messages = []
    for position in range(len(content)):
        content[position] ^= 0x41
        path.write_bytes(content)
        content[position] ^= 0x41
        try:
            read(path)
        except ValueError as error:
            messages.append(str(error))
    assert all(len(text.splitlines()) == 1 and "p.png" in text for text in messages)
    assert len(messages) > len(content) // 2


def test_a_written_plane_states_its_pixel_size(tmp_path, voxels):
    write_png_plane(tmp_path / "p.png", voxels[0], (5.24, 4.0))
    content = (tmp_path / "p.png").read_bytes()
    position = content.index(b"pHYs") + 4
    x, y, unit = struct.unpack(">IIB", content[position : position + 9])
    assert (x, y, unit) == (250_000_000, 190_839_695, 1)  # pixels per metre
    np.testing.assert_array_equal(read(tmp_path / "p.png"), voxels[:1])
    matplotlib.image.imread(tmp_path / "p.png")  # another decoder accepts the chunks


def test_inversion_is_for_tiff(tmp_path, voxels, capsys):
    write_planes(tmp_path / "s", voxels)
    words = ["import", str(tmp_path / "s"), str(tmp_path / "o"), "--voxel-size", "1", "--invert"]
    assert main(words) == 2
    assert "--invert is for TIFF" in capsys.readouterr().err
