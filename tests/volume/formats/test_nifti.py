import pickle
import struct

import nibabel as nib
import numpy as np
import pytest

from asem.cli import main
from asem.volume import ngff
from asem.volume.formats import single_file
from single_files import check_changed, check_damaged, open_level, read_all

SHAPE = (4, 5, 7)
MM = 1e-6
DIM, DATATYPE, PIXDIM, VOX_OFFSET, UNITS, QFORM, SFORM_ROWS = 40, 70, 76, 108, 123, 252, 280


def write(path, voxels, *, affine=(4, 5, 6), unit="mm", cls=nib.Nifti1Image, header=None):
    """Write voxels (z, y, x); `affine`: voxel size (x, y, z) in nm, or a whole affine in nm."""
    matrix = np.diag([*affine, 1]) if len(affine) == 3 else np.array(affine)
    matrix = np.vstack([matrix[:3] * MM, [0, 0, 0, 1]])
    image = cls(voxels.T, matrix, header)
    if unit:
        image.header.set_xyzt_units(unit)
    image.to_filename(path)
    return path


def patch(path, offset, *values, form="h"):
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{len(values)}{form}", data, offset, *values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int16", "int32", "float32", "float64", "int8", "uint16", "uint32", "int64",
     "uint64"],
)  # fmt: skip
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_dtype_and_byte_order(tmp_path, rng, dtype, order):
    voxels = rng.integers(0, 100, SHAPE).astype(dtype)
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(dtype)
    level = open_level(write(tmp_path / "a.nii", voxels, header=header))
    assert level.array.dtype == dtype
    assert level.array.dtype.isnative
    assert (level.array[:, :, :] == voxels).all()
    assert (level.array[1:3, 2:5, 3:4] == voxels[1:3, 2:5, 3:4]).all()
    assert level.voxel_size == pytest.approx((6.0, 5.0, 4.0))


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (nib.Nifti1Image, "a.nii.gz"),
        (nib.Nifti2Image, "a.nii"),
        (nib.Nifti1Pair, "a.img"),
        (nib.Nifti1Pair, "a.hdr"),
        (nib.Nifti2Pair, "a.hdr"),
        (nib.Nifti1Pair, "a.img.gz"),
    ],
)
def test_each_kind_of_file(tmp_path, rng, cls, name):
    voxels = rng.integers(0, 100, SHAPE).astype("u2")
    level = open_level(write(tmp_path / name, voxels, cls=cls))
    array = pickle.loads(pickle.dumps(level.array))
    assert (array[1:3, 2:5, 3:7] == voxels[1:3, 2:5, 3:7]).all()
    assert level.voxel_size == pytest.approx((6.0, 5.0, 4.0))


@pytest.mark.parametrize("slope", [1, 2])
def test_decompressed_voxels_are_not_changed_by_scaling_or_a_reader(tmp_path, rng, slope):
    voxels = rng.random(SHAPE).astype("f4")
    image = nib.Nifti1Image(voxels.T, np.diag([4 * MM, 5 * MM, 6 * MM, 1]))
    image.header.set_slope_inter(slope, 0)
    image.to_filename(tmp_path / "a.nii.gz")
    array = open_level(tmp_path / "a.nii.gz").array
    expected = nib.load(tmp_path / "a.nii.gz").get_fdata().T.astype("f4")
    for _ in range(2):
        read = array[:, :, :]
        assert np.array_equal(read, expected)
        read[:] = -1


@pytest.mark.parametrize(
    ("unit", "size"),
    [("meter", 4e9 * MM), ("mm", 4.0), ("micron", 4e3 * MM), ("", None)],
)
def test_units(tmp_path, unit, size):
    level = open_level(write(tmp_path / "a.nii", np.zeros(SHAPE, "u1"), unit=unit))
    assert level.voxel_size[2] == (None if size is None else pytest.approx(size))
    assert (level.offset_nm is None) == (size is None)


def test_positions_are_counted_along_the_index(tmp_path):
    affine = [[-4, 0, 0, -40], [0, 5, 0, 50], [0, 0, 6, -60], [0, 0, 0, 1]]
    level = open_level(write(tmp_path / "a.nii", np.zeros(SHAPE, "u1"), affine=affine))
    assert level.voxel_size == pytest.approx((6.0, 5.0, 4.0))
    assert level.offset_nm == pytest.approx((-60.0, 50.0, 40.0))


def test_axes_in_another_order(tmp_path, rng):
    voxels = rng.integers(0, 100, SHAPE).astype("u1")  # stored x is along z, y along x, z along y
    affine = [[0, 4, 0, 1], [0, 0, 5, 2], [6, 0, 0, 3], [0, 0, 0, 1]]
    level = open_level(write(tmp_path / "a.nii", voxels, affine=affine))
    assert (level.array[:, :, :] == voxels.transpose(2, 0, 1)).all()
    assert level.voxel_size == pytest.approx((6.0, 5.0, 4.0))
    assert level.offset_nm == pytest.approx((3.0, 2.0, 1.0))


def test_the_qform_and_pixdim(tmp_path):
    path = write(tmp_path / "a.nii", np.zeros(SHAPE, "u1"))
    patch(path, QFORM, 1, 0)  # codes of qform and sform
    patch(path, 268, 10 * MM, 20 * MM, 30 * MM, form="f")  # qoffset
    assert open_level(path).offset_nm == pytest.approx((30.0, 20.0, 10.0))
    patch(path, PIXDIM, 0.0, form="f")  # means 1
    assert open_level(path).offset_nm == pytest.approx((30.0, 20.0, 10.0))
    patch(path, QFORM, 0, 0)
    level = open_level(path)
    assert level.voxel_size == pytest.approx((6.0, 5.0, 4.0))
    assert level.offset_nm is None
    patch(path, PIXDIM + 4, 0.0, form="f")
    assert open_level(path).voxel_size[2] is None


def test_scaled_voxels(tmp_path):
    voxels = np.arange(140, dtype="i2").reshape(SHAPE)
    path = write(tmp_path / "a.nii", voxels)
    patch(path, 112, 0.5, -3.0, form="f")
    assert read_all(path).dtype == np.float32
    assert (read_all(path) == voxels * 0.5 - 3).all()
    with pytest.raises(ValueError, match=r"scales its voxels by 0.5 and adds -3; labels are ids"):
        open_level(path, kind="labels")
    patch(path, 112, np.nan, np.nan, form="f")
    assert (read_all(path) == voxels).all()


def test_channels_and_time(tmp_path, rng):
    voxels = rng.integers(0, 100, (3, 1, *SHAPE)).astype("u2")
    path = write(tmp_path / "a.nii", voxels)
    assert (open_level(path, channel="2").array[:, :, :] == voxels[2, 0]).all()
    with pytest.raises(ValueError, match=r"a.nii has the channels 0, 1, 2; choose one"):
        open_level(path)
    write(path, voxels[:, 0])
    with pytest.raises(ValueError, match=r"a.nii is a time series of 3 points; save one"):
        open_level(path)
    write(path, voxels[:1, 0])
    assert (read_all(path) == voxels[0, 0]).all()


def test_a_rotated_volume(tmp_path):
    c, s = np.cos(0.1), np.sin(0.1)
    affine = [[4 * c, -4 * s, 0, 0], [4 * s, 4 * c, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]]
    path = write(tmp_path / "a.nii", np.zeros(SHAPE, "u1"), affine=affine)
    with pytest.raises(ValueError, match=r"a.nii is rotated or sheared"):
        open_level(path)
    patch(path, SFORM_ROWS, np.inf, form="f")
    with pytest.raises(ValueError, match=r"a.nii has a damaged header: its affine is not finite"):
        open_level(path)


@pytest.mark.parametrize(
    ("offset", "values", "form", "message"),
    [
        (DATATYPE, [128], "h", "holds RGB colours; save grey values or ids"),
        (DATATYPE, [32], "h", "holds complex numbers"),
        (DATATYPE, [3], "h", "has the datatype 3; 2, 4, 8"),
        (DIM, [9], "h", "has a damaged header: its dim is"),
        (DIM, [3, -7], "h", "has a damaged header: its dim is"),
        (DIM, [3, 32767, 32767, 32767], "h", r"has .* header states .* truncated or damaged"),
        (DIM, [6, 1, 1, 1, 1, 1, 2], "h", r"has 6 axes \[1, 1, 1, 1, 1, 2\]"),
        (VOX_OFFSET, [10.0], "f", "has a damaged header: its voxels start at byte 10"),
        (VOX_OFFSET, [np.nan], "f", "has a damaged header: its voxels start at byte nan"),
        (344, [0], "h", "has no magic bytes of NIfTI; convert Analyze 7.5"),
        (0, [5], "h", "is no NIfTI file: its header has neither 348 nor 540 bytes"),
    ],
)
def test_bad_headers(tmp_path, offset, values, form, message):
    path = patch(write(tmp_path / "a.nii", np.zeros(SHAPE, "u1")), offset, *values, form=form)
    with pytest.raises(ValueError, match=rf"a.nii {message}"):
        open_level(path)


def test_a_damaged_quaternion(tmp_path):
    path = patch(write(tmp_path / "a.nii", np.zeros(SHAPE, "u1")), QFORM, 1, 0)
    patch(path, 256, 5.0, form="f")
    with pytest.raises(ValueError, match=r"a.nii has a damaged affine: "):
        open_level(path)


def test_other_errors(tmp_path, monkeypatch):
    path = write(tmp_path / "a.nii", np.zeros(SHAPE, "u1"))
    with pytest.raises(ValueError, match=r"a.nii is NIfTI; --invert is for TIFF"):
        open_level(path, invert=False)
    pair = write(tmp_path / "b.img", np.zeros(SHAPE, "u1"), cls=nib.Nifti1Pair)
    pair.unlink()
    with pytest.raises(FileNotFoundError, match=r"b.hdr needs b.img in the same folder"):
        open_level(tmp_path / "b.hdr")
    compressed = write(tmp_path / "c.nii.gz", np.zeros(SHAPE, "u1"))
    monkeypatch.setattr(single_file, "check_free_memory", lambda size, *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # checked before voxels are read
        open_level(compressed)


def test_damage(tmp_path):
    voxels = np.ones(SHAPE, "u1")
    check_damaged(write(tmp_path / "a.nii", voxels), count=200, header=352)
    check_damaged(write(tmp_path / "b.nii.gz", voxels), count=100, header=60)
    check_changed(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_import(tmp_path, rng, name):
    voxels = rng.integers(0, 9, (30, 40, 50)).astype("u2")
    path = write(tmp_path / name, voxels)
    assert main(["import", str(path), str(tmp_path / "out"), "--kind", "labels"]) == 0
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == voxels).all()
    assert volume.voxel_size == pytest.approx((6.0, 5.0, 4.0))


def test_a_bad_file_gives_one_line(tmp_path, capsys):
    (tmp_path / "a.nii.gz").write_bytes(b"no gzip")
    assert main(["import", str(tmp_path / "a.nii.gz"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("cls", [nib.Nifti1Image, nib.Nifti2Image])
def test_decimal_lengths_have_no_rounding_of_float32(tmp_path, cls):
    affine = np.diag([3.97e-3, 4.1e-3, 5.24e-3, 1])
    affine[:3, 3] = 0.397, -0.0521, 123.456
    image = cls(np.zeros(SHAPE, "u1").T, affine)
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "a.nii")
    level = open_level(tmp_path / "a.nii")
    assert level.voxel_size == (5.24, 4.1, 3.97)
    assert level.offset_nm == (123456.0, -52.1, 397.0)
