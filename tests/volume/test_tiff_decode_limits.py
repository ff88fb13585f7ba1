"""Strips that are images of their own, larger than the page states."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from asem.volume import tiff_decode_limits
from asem.volume.tiff_sources import open_tiff_file
from asem.volume.tiff_stack import TiffOptions
from raw_tiff import grey, write

ENCODED = {
    "jpeg": (7, imagecodecs.jpeg8_encode, tiff_decode_limits.read_jpeg_size),
    "jpeg2000": (34712, imagecodecs.jpeg2k_encode, tiff_decode_limits.read_jpeg_2000_size),
    "png": (34933, imagecodecs.png_encode, tiff_decode_limits.read_png_size),
    "lerc": (34887, imagecodecs.lerc_encode, tiff_decode_limits.read_lerc_size),
}


@pytest.mark.parametrize("name", ENCODED)
def test_a_stream_states_its_size(name):
    _, encode, size_of = ENCODED[name]
    stream = encode(np.arange(30 * 50, dtype=np.uint8).reshape(30, 50))
    assert size_of(bytes(stream)) == (30, 50)
    for length in range(60):
        assert size_of(bytes(stream[:length])) in ((30, 50), (0, 0))


@pytest.mark.parametrize("name", ENCODED)
def test_a_stream_far_larger_than_its_strip_is_refused(name, tmp_path):
    compression, encode, _ = ENCODED[name]
    stream = bytes(encode(np.zeros((2000, 3000), np.uint8)))
    stream += bytes(len(stream) % 2)
    path = tmp_path / "s.tif"
    write(path, grey(16, 16, compression=compression, count=len(stream)), pixels=stream)
    with pytest.raises(
        ValueError, match=r"s.tif is .* damaged \(a strip or tile of 16 x 16 pixels states 2000 x"
    ):
        _ = open_tiff_file(path)[:, :, :]


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "png", "lerc", "zlib", "webp"])
def test_honest_streams_are_read(compression, tmp_path, rng):
    planes = rng.integers(0, 255, (3, 300, 200)).astype(np.uint8)
    for tile in (None, (64, 64)):
        if compression == "webp":
            planes = np.repeat(planes[..., None], 3, -1) if planes.ndim == 3 else planes
        tifffile.imwrite(
            tmp_path / "s.tif", planes, compression=compression, tile=tile, metadata=None,
            photometric="rgb" if planes.ndim == 4 else "minisblack",
        )  # fmt: skip
        expected = tifffile.imread(tmp_path / "s.tif")
        options = TiffOptions(channel="1" if planes.ndim == 4 else None)
        found = open_tiff_file(tmp_path / "s.tif", options)[:, :, :]
        assert (found == (expected[..., 1] if planes.ndim == 4 else expected)).all()
