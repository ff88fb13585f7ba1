import gzip
import pickle
import struct

import mrcfile
import numpy as np
import pytest

from asem.cli import main
from asem.volume import ngff
from single_files import check_changed, check_damaged, open_level, read_all

SHAPE = (4, 5, 7)
NMODE, NSTART, MX, CELL, ANGLES, MAPC, DMIN = 12, 16, 28, 40, 52, 64, 76
ISPG, NSYMBT, STAMP, ORIGIN, MAP, MACHST = 88, 92, 152, 196, 208, 212


def write(path, voxels, *, voxel_size=40.0, **fields):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(voxels)
        file.voxel_size = voxel_size
        for name, value in fields.items():
            file.header[name] = value
    return path


def patch(path, offset, *values, form="i", order="<"):
    data = bytearray(path.read_bytes())
    struct.pack_into(f"{order}{len(values)}{form}", data, offset, *values)
    path.write_bytes(data)
    return path


def raw_mrc(path, voxels, mode, *, order="<"):
    """Write a header by hand: modes and byte orders that mrcfile does not write."""
    header = bytearray(1024)
    depth, height, width = SHAPE
    struct.pack_into(f"{order}10i", header, 0, width, height, depth, mode, 0, 0, 0, *SHAPE[::-1])
    struct.pack_into(f"{order}6f", header, CELL, 280, 250, 240, 90, 90, 90)
    struct.pack_into(f"{order}3i", header, MAPC, 1, 2, 3)
    header[MAP : MAP + 8] = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
    path.write_bytes(bytes(header) + voxels)
    return path


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "uint16", "float16"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_mode_and_byte_order(tmp_path, rng, dtype, order):
    voxels = rng.integers(-100 if dtype[0] != "u" else 0, 100, SHAPE).astype(dtype)
    mode = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}[dtype]
    stored = voxels.astype(voxels.dtype.newbyteorder(order)).tobytes()
    level = open_level(raw_mrc(tmp_path / "a.mrc", stored, mode, order=order))
    assert level.array.dtype == dtype
    assert level.array.dtype.isnative
    assert (level.array[:, :, :] == voxels).all()
    assert level.voxel_size == (6.0, 5.0, 4.0)


def test_four_bits(tmp_path):
    voxels = np.arange(140).reshape(SHAPE) % 16
    rows = np.concatenate([voxels, np.zeros((4, 5, 1), int)], -1)  # a row has whole bytes
    packed = (rows[..., ::2] | rows[..., 1::2] << 4).astype(np.uint8)
    array = open_level(raw_mrc(tmp_path / "a.mrc", packed.tobytes(), 101)).array
    assert (array[:, :, :] == voxels).all()
    assert (array[1:3, 2:4, 3:4] == voxels[1:3, 2:4, 3:4]).all()


def test_voxel_size_and_position(tmp_path):
    path = write(tmp_path / "a.rec", np.zeros(SHAPE, "i2"), voxel_size=(40, 50, 60))
    level = open_level(path)
    assert level.voxel_size == (6.0, 5.0, 4.0)
    assert level.offset_nm is None
    patch(path, NSTART, 10, 20, 30)
    assert open_level(path).offset_nm == (180.0, 100.0, 40.0)
    patch(path, ORIGIN, 100.0, 200.0, 300.0, form="f")
    assert open_level(path).offset_nm == pytest.approx((30.0, 20.0, 10.0))


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_an_empty_or_default_voxel_size_is_not_stated(tmp_path, size):
    path = write(tmp_path / "a.mrc", np.zeros(SHAPE, "i2"), voxel_size=size)
    assert open_level(path).voxel_size == (None, None, None)


@pytest.mark.parametrize(("flags", "offset"), [(0, -10.0), (4, 10.0)])
def test_the_sign_of_the_origin_of_imod(tmp_path, flags, offset):
    path = write(tmp_path / "a.mrc", np.zeros(SHAPE, "i2"), nxstart=5)
    patch(path, STAMP, 1146047817, flags)
    assert open_level(path).offset_nm is None  # IMOD does not use nxstart
    patch(path, ORIGIN, 100.0, 0.0, 0.0, form="f")
    assert open_level(path).offset_nm[2] == pytest.approx(offset)


@pytest.mark.parametrize(
    ("flags", "dmax", "dtype"),
    [(None, 100, "int8"), (None, 200, "uint8"), (0, 100, "uint8"), (1, 200, "int8")],
)
def test_signs_of_bytes(tmp_path, flags, dmax, dtype):
    path = write(tmp_path / "a.mrc", np.full(SHAPE, -56, "i1"), dmin=0, dmax=dmax)
    if flags is not None:
        patch(path, STAMP, 1146047817, flags)
    voxels = read_all(path)
    assert voxels.dtype == dtype
    assert (voxels == (200 if dtype == "uint8" else -56)).all()


def test_axes_in_another_order(tmp_path, rng):
    voxels = rng.integers(0, 99, SHAPE).astype("i2")  # sections along x, rows along z
    path = write(tmp_path / "a.map", voxels, mapc=2, mapr=3, maps=1)
    patch(path, MX, 4, 7, 5)  # along x, y, z
    patch(path, CELL, 160.0, 350.0, 300.0, form="f")
    patch(path, NSTART, 1, 2, 3)  # of columns, rows, sections
    level = open_level(path)
    expected = voxels.transpose(1, 2, 0)
    assert level.array.shape == (5, 7, 4)
    assert (level.array[:, :, :] == expected).all()
    assert (level.array[1:4, 2:7, 3:4] == expected[1:4, 2:7, 3:4]).all()
    assert level.voxel_size == (6.0, 5.0, 4.0)
    assert level.offset_nm == pytest.approx((12.0, 5.0, 12.0))


def test_an_extended_header_is_skipped(tmp_path, rng):
    voxels = rng.integers(0, 99, SHAPE).astype("i2")
    path = write(tmp_path / "a.mrc", voxels)
    with mrcfile.open(path, "r+") as file:
        file.set_extended_header(np.zeros(768, "V1"))
        file.header.exttyp = b"FEI1"
    assert (read_all(path) == voxels).all()


@pytest.mark.parametrize("compression", ["gzip", "bzip2"])
def test_compressed(tmp_path, rng, compression):
    voxels = rng.integers(0, 99, SHAPE).astype("i2")
    path = tmp_path / f"a.mrc.{'gz' if compression == 'gzip' else 'bz2'}"
    with mrcfile.new(path, compression=compression) as file:
        file.set_data(voxels)
    array = pickle.loads(pickle.dumps(open_level(path).array))
    assert (array[1:3, 2:5, 3:6] == voxels[1:3, 2:5, 3:6]).all()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises((OSError, ValueError), match=r"a.mrc.(gz|bz2) is damaged: "):
        read_all(path)


def test_a_narrow_box_reads_only_parts_of_rows(tmp_path, rng, monkeypatch):
    voxels = rng.integers(0, 99, (3, 4, 100)).astype("i2")
    array = open_level(write(tmp_path / "a.mrc", voxels)).array
    read, counts = array.file.read_into, []
    monkeypatch.setattr(
        type(array.file),
        "read_into",
        lambda self, out, *args: counts.append(out.nbytes) or read(out, *args),
    )
    assert (array[0:3, 1:3, 50:60] == voxels[0:3, 1:3, 50:60]).all()
    assert sum(counts) == 3 * 2 * 10 * 2
    counts.clear()
    assert (array[1:2, 1:3, :] == voxels[1:2, 1:3]).all()
    assert counts == [400]


@pytest.mark.parametrize(
    ("offset", "values", "form", "message"),
    [
        (NMODE, [4], "i", r"holds complex numbers \(mode 4\)"),
        (NMODE, [3], "i", r"holds complex integers \(mode 3\)"),
        (NMODE, [16], "i", r"holds RGB colours"),
        (NMODE, [9], "i", r"has mode 9; modes 0, 1, 2, 6, 12, 101 can be read"),
        (0, [2**30, 2**30, 2**30], "i", r"has .* but its header states .* truncated or damaged"),
        (0, [0], "i", r"states .* voxels, and thus none"),
        (0, [-5], "i", r"states .* voxels, and thus none"),
        (MAPC, [1, 1, 3], "i", r"states the axes \[1, 1, 3\]"),
        (ANGLES, [90, 90, 120], "f", r"has the cell angles 90, 90, 120; only 90"),
        (NSYMBT, [-1], "i", r"states an extended header of -1 bytes"),
        (NSYMBT, [2**31 - 1], "i", r"has .* truncated or damaged: copy it again"),
        (ORIGIN, [np.nan], "f", r"states the origin .* not finite"),
        (MAP, [0], "i", r"is no MRC file: bytes 208 to 210 are not MAP"),
        (ISPG, [401], "i", r"is a stack of 2 volumes; save one of them"),
    ],
)
def test_bad_headers(tmp_path, offset, values, form, message):
    path = write(tmp_path / "a.mrc", np.zeros(SHAPE, "i2"))
    patch(path, offset, *values, form=form)
    patch(path, MX + 8, 2)
    with pytest.raises(ValueError, match=rf"a.mrc {message}"):
        open_level(path)


def test_bad_options_and_packed_bytes(tmp_path):
    path = write(tmp_path / "a.mrc", np.zeros(SHAPE, "i1"))
    with pytest.raises(ValueError, match=r"a.mrc is MRC; --invert is for TIFF"):
        open_level(path, invert=True)
    with pytest.raises(ValueError, match="there is no channel 1"):
        open_level(path, channel="1")
    patch(path, STAMP, 1146047817, 16)
    with pytest.raises(ValueError, match="packs two voxels into a byte of mode 0"):
        open_level(path)


def test_bytes_after_the_voxels(tmp_path, caplog):
    path = write(tmp_path / "a.mrc", np.zeros(SHAPE, "i2"))
    path.write_bytes(path.read_bytes() + b"abc")
    open_level(path)
    assert "a.mrc has 3 bytes after its voxels; they are ignored" in caplog.text


def test_damage(tmp_path):
    path = write(tmp_path / "a.mrc", np.ones(SHAPE, "i2"))
    check_damaged(path, count=200, header=232)
    (tmp_path / "b.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
    check_damaged(tmp_path / "b.mrc.gz", count=100, header=60)
    check_changed(path)


def test_import(tmp_path, rng):
    voxels = rng.integers(0, 99, (30, 40, 50)).astype("u2")
    path = write(tmp_path / "a.mrc", voxels, voxel_size=(40, 50, 60))
    assert main(["import", str(path), str(tmp_path / "out")]) == 0
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == voxels).all()
    assert volume.voxel_size == (6.0, 5.0, 4.0)


def test_a_bad_file_gives_one_line(tmp_path, capsys):
    (tmp_path / "a.mrc").write_bytes(b"MAP " * 500)
    assert main(["import", str(tmp_path / "a.mrc"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_decimal_voxel_sizes_have_no_rounding_of_float32(tmp_path):
    path = write(tmp_path / "a.mrc", np.zeros((61, 4, 7), "i2"), voxel_size=(39.7, 41.0, 52.4))
    patch(path, ORIGIN, 3970.1, 0.1, -524.4, form="f")
    level = open_level(path)
    assert level.voxel_size == (5.24, 4.1, 3.97)
    assert level.offset_nm == (-52.44, 0.01, 397.01)
