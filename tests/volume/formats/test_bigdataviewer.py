import h5py
import numpy as np
import pytest

from asem.cli import main
from asem.volume import ngff
from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from single_files import check_damaged, open_level

SETUP = (
    "<ViewSetup><id>{0}</id><name>name {0}</name><voxelSize><unit>{1}</unit>"
    "<size>{2}</size></voxelSize></ViewSetup>"
)
VIEW = (
    '<ViewRegistration timepoint="0" setup="{0}"><ViewTransform type="affine">'
    "<affine>{1}</affine></ViewTransform></ViewRegistration>"
)
AFFINE = "0.004 0 0 0.1 0 0.005 0 0.2 0 0 0.006 0.3"


@pytest.fixture
def levels(rng):
    return [rng.integers(0, 60_000, shape).astype("u2") for shape in ((10, 20, 24), (10, 10, 12))]


def write(path, levels, *, times=1, setups=1, unit="µm", size="0.004 0.005 0.006", affine=AFFINE):
    with h5py.File(path, "w") as file:
        for s in range(setups):
            file[f"s{s:02d}/resolutions"] = np.array([[1, 1, 1], [2, 2, 1]], "f8")  # x, y, z
            for t in range(times):
                for number, voxels in enumerate(levels):
                    name = f"t{t:05d}/s{s:02d}/{number}/cells"
                    stored = (voxels + s).view("i2")
                    file.create_dataset(name, data=stored, chunks=(8, 8, 8), compression="gzip")
    ids = range(setups)
    text = "".join(SETUP.format(s, unit, size) for s in ids)
    views = "".join(VIEW.format(s, affine) for s in ids)
    path.with_suffix(".xml").write_text(f"<SpimData>{text}{views}</SpimData>")
    return path


def test_levels_and_their_positions(tmp_path, levels):
    path = write(tmp_path / "a.h5", levels)
    image = open_source_image(Address.parse(str(path)))
    assert image.format == "BigDataViewer HDF5"
    for level, voxels in zip(image.levels, levels, strict=True):
        assert level.array.dtype == np.uint16
        assert (level.array[:, :, :] == voxels).all()
    assert image.levels[0].voxel_size == pytest.approx((6, 5, 4))
    assert image.levels[0].offset_nm == pytest.approx((300, 200, 100))
    assert image.levels[1].voxel_size == pytest.approx((6, 10, 8))
    assert image.levels[1].offset_nm == pytest.approx((300, 202.5, 102))
    named = open_level(f"{path}:/t00000/s00/1/cells")
    assert (named.array[:, :, :] == levels[1]).all()


def test_setups_and_time_points(tmp_path, levels):
    path = write(tmp_path / "a.h5", levels, setups=2)
    with pytest.raises(ValueError, match=r"has the channels 0 \(name 0\), 1 \(name 1\)"):
        open_level(path)
    assert (open_level(path, channel="name 1").array[:, :, :] == levels[0] + 1).all()
    assert main(["import", str(path), str(tmp_path / "out"), "--channel", "1"]) == 0
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == levels[0] + 1).all()
    with h5py.File(path, "a") as file:  # the first that is left is no channel 0
        del file["t00000/s00"], file["s00"]
    words = ["import", str(path), str(tmp_path / "again"), "--channel", "1"]
    assert main(words) == 0
    write(path, levels, times=2)
    with pytest.raises(ValueError, match=r"a.h5 is a time series of 2 points; save one of them"):
        open_level(path)


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({"unit": "pixel"}, (None, None, None)),
        ({"size": "1 2"}, (None, None, None)),
        ({"size": "0 1 2"}, (None, None, None)),
        ({"affine": "0 1 0 0 1 0 0 0 0 0 1 0"}, (6, 5, 4)),
        ({"affine": "a b"}, (6, 5, 4)),
    ],
)
def test_what_is_not_stated(tmp_path, levels, change, size):
    level = open_level(write(tmp_path / "a.h5", levels, **change))
    assert level.voxel_size == pytest.approx(size)
    assert level.offset_nm is None


@pytest.mark.parametrize("step", [0, -2, np.nan, np.inf])
def test_a_level_with_steps_that_are_no_factors_has_no_voxel_size(tmp_path, levels, step):
    path = write(tmp_path / "a.h5", levels)
    with h5py.File(path, "a") as file:
        file["s00/resolutions"][1, 1] = step
    first, second = open_source_image(Address.parse(str(path))).levels
    assert first.voxel_size == pytest.approx((6, 5, 4))
    assert second.voxel_size == (None, None, None)
    assert second.offset_nm is None


def test_a_missing_and_a_damaged_xml_file(tmp_path, levels):
    path = write(tmp_path / "a.h5", levels)
    path.with_suffix(".xml").write_text("<SpimData>")
    with pytest.raises(ValueError, match=r"a.xml is damaged: no element found.*; copy it again"):
        open_level(path)
    path.with_suffix(".xml").unlink()
    assert open_level(path).voxel_size == (None, None, None)
    with h5py.File(path, "a") as file:
        del file["t00000/s00"]
    with pytest.raises(ValueError, match=r"a.h5 has no cells of setup 0; copy it again"):
        open_level(path)


def test_damage(tmp_path, levels):
    check_damaged(write(tmp_path / "a.h5", levels), count=100, header=4000)


def test_import(tmp_path, levels):
    path = write(tmp_path / "a.h5", levels)
    assert main(["import", str(path), str(tmp_path / "out")]) == 0
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == levels[0]).all()
    assert volume.voxel_size == pytest.approx((6, 5, 4))
