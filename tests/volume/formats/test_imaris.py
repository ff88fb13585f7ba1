import h5py
import numpy as np
import pytest

from asem.cli import main
from asem.volume import ngff
from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from single_files import check_damaged, open_level


def characters(value):
    return np.frombuffer(str(value).encode(), "S1")


def write(path, levels, *, low=(10, 20, 30), high=(110, 120, 130), channels=1, times=1, unit="um"):
    """Write levels (z, y, x), each padded to whole chunks of 8 voxels; borders along x, y, z."""
    with h5py.File(path, "w") as file:
        image = file.create_group("DataSetInfo/Image").attrs
        image["Unit"] = characters(unit)
        for axis in range(3):
            image[f"ExtMin{axis}"] = characters(low[axis])
            image[f"ExtMax{axis}"] = characters(high[axis])
        for c in range(channels):
            file.create_group(f"DataSetInfo/Channel {c}").attrs["Name"] = characters(f"name {c}")
        for number, voxels in enumerate(levels):
            padded = np.pad(voxels, [(0, -n % 8) for n in voxels.shape])
            for t, c in np.ndindex(times, channels):
                group = file.create_group(
                    f"DataSet/ResolutionLevel {number}/TimePoint {t}/Channel {c}"
                )
                for axis, size in zip("ZYX", voxels.shape, strict=True):
                    group.attrs[f"ImageSize{axis}"] = characters(size)
                group.create_dataset("Data", data=padded + c, chunks=(8, 8, 8), compression="gzip")
    return path


@pytest.fixture
def levels(rng):
    return [rng.integers(0, 99, shape).astype("u2") for shape in ((10, 20, 25), (5, 10, 13))]


def test_levels_and_their_positions(tmp_path, levels):
    path = write(tmp_path / "a.ims", levels)
    image = open_source_image(Address.parse(str(path)))
    for level, voxels in zip(image.levels, levels, strict=True):
        assert (level.array[:, :, :] == voxels).all()
    assert image.levels[0].voxel_size == (10_000, 5000, 4000)
    assert image.levels[0].offset_nm == (35_000, 22_500, 12_000)
    assert image.levels[1].voxel_size == pytest.approx((20_000, 10_000, 100_000 / 13))
    assert image.levels[1].offset_nm == pytest.approx((40_000, 25_000, 10_000 + 50_000 / 13))
    assert (open_level(f"{path}#1").array[:, :, :] == levels[1]).all()


def test_unit_with_a_greek_letter(tmp_path, levels):
    path = write(tmp_path / "a.ims", levels[:1], unit="µm")
    assert open_level(path).voxel_size == (10_000, 5000, 4000)


def test_channels(tmp_path, levels):
    path = write(tmp_path / "a.ims", levels[:1], channels=2)
    with pytest.raises(ValueError, match=r"a.ims has the channels 0 \(name 0\), 1 \(name 1\)"):
        open_level(path)
    assert (open_level(path, channel="name 1").array[:, :, :] == levels[0] + 1).all()
    assert main(["import", str(path), str(tmp_path / "out"), "--channel", "1"]) == 0
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == levels[0] + 1).all()


def test_what_cannot_be_read(tmp_path, levels):
    path = write(tmp_path / "a.ims", levels[:1], times=3)
    with pytest.raises(ValueError, match=r"a.ims is a time series of 3 points"):
        open_level(path)
    write(path, [], times=1)
    with h5py.File(path, "a") as file:
        file.create_group("DataSet")
    with pytest.raises(ValueError, match=r"a.ims has no channels of Imaris"):
        open_level(path)
    write(path, levels[:1])
    with h5py.File(path, "a") as file:
        group = file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"]
        group.attrs["ImageSizeX"] = characters(1000)
    with pytest.raises(ValueError, match=r"states \(10, 20, 1000\) voxels"):
        open_level(path)
    with h5py.File(path, "a") as file:
        del file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data"]
    with pytest.raises(ValueError, match=r"a.ims is damaged: there is no .*/Data"):
        open_level(path)


@pytest.mark.parametrize("change", [{"unit": "pixels"}, {"high": (0, 0, 0)}, {"low": ("a",) * 3}])
def test_no_voxel_size(tmp_path, levels, change):
    level = open_level(write(tmp_path / "a.ims", levels[:1], **change))
    assert level.voxel_size == (None, None, None)
    assert level.offset_nm is None


def test_a_link_to_another_file_is_not_followed(tmp_path, levels):
    write(tmp_path / "b.ims", levels[:1])
    path = write(tmp_path / "a.ims", levels[:1])
    with h5py.File(path, "a") as file:
        data = "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data"
        del file[data]
        file[data] = h5py.ExternalLink("b.ims", data)
    with pytest.raises(ValueError, match=r"Data is a link to another file"):
        open_level(path)


def test_damage(tmp_path, levels):
    check_damaged(write(tmp_path / "a.ims", levels), count=150, header=4000)


def test_import(tmp_path, levels):
    path = write(tmp_path / "a.ims", levels, low=(0, 0, 0), high=(0.25, 0.2, 0.1))
    assert main(["import", str(path), str(tmp_path / "out")]) == 0
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == levels[0]).all()
    assert volume.voxel_size == pytest.approx((10, 10, 10))
    assert volume.offset_nm == pytest.approx((5, 5, 5))
