import numpy as np
import pytest
import tifffile

from asem.volume.sources import open_volume
from asem.workflows.describe import describe_volume
from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume

SIZE = (5.24, 4.0, 4.0)


def read_back(folder):
    paths = sorted(folder.iterdir())
    return np.stack([tifffile.imread(path) for path in paths]), paths


@pytest.fixture
def stack(tmp_path, rng):
    def make(dtype):
        voxels = (rng.random((9, 14, 11)) * 250).astype(dtype)
        folder = tmp_path / "planes"
        folder.mkdir()
        for number, plane in enumerate(voxels, 7):
            tifffile.imwrite(folder / f"s{number}.tif", plane)
        return folder, voxels

    return make


def test_a_small_budget_changes_nothing(tmp_path, rng, monkeypatch):
    voxels = rng.integers(0, 60_000, (70, 600, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", voxels, photometric="minisblack")
    monkeypatch.setattr("asem.workflows.import_copy.MAX_BAND_BYTES", 5_000)
    slabs = []
    import_volume(
        tmp_path / "s.tif",
        tmp_path / "raw",
        voxel_size=SIZE,
        progress=lambda *step: slabs.append(step),
    )
    # No slab shares a shard with another: rows are cut at multiples of 256 at the finest.
    steps = [done for stage, done, _ in slabs if stage == "import"]
    assert steps == [0, 70 * 256 * 3, 70 * 512 * 3, 70 * 600 * 3]
    export_volume(tmp_path / "raw", tmp_path / "out")
    assert (read_back(tmp_path / "out")[0] == voxels).all()


def test_a_crop_has_the_contrast_of_the_whole(tmp_path, rng):
    voxels = rng.integers(0, 1000, (6, 30, 40)).astype(np.uint16)
    voxels[:3] *= 20
    tifffile.imwrite(tmp_path / "s.tif", voxels)
    whole = import_volume(tmp_path / "s.tif", tmp_path / "a", voxel_size=SIZE)
    crop = import_volume(tmp_path / "s.tif", tmp_path / "b", voxel_size=SIZE, roi="4:,:,:")
    assert crop.window == whole.window


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiff_to_tiff_keeps_every_pixel(tmp_path, stack, dtype):
    folder, voxels = stack(dtype)
    import_volume(folder, tmp_path / "c.zarr/raw", voxel_size=SIZE)
    assert export_volume(tmp_path / "c.zarr/raw", tmp_path / "out") == 9
    planes, paths = read_back(tmp_path / "out")
    assert planes.dtype == np.dtype(dtype)
    assert (planes == voxels).all()
    assert paths[0].name == "raw_0000.tif"
    assert open_volume(tmp_path / "c.zarr/raw").voxel_size == SIZE


def test_a_crop_lands_where_it_was(tmp_path, stack):
    folder, voxels = stack("uint8")
    import_volume(
        folder, tmp_path / "crop", voxel_size=SIZE, offset_nm=(1.0, 2.0, 3.0), roi="2:7,3:12,1:9"
    )
    crop = open_volume(tmp_path / "crop")
    assert crop.shape == (5, 9, 8)
    assert crop.offset_nm == pytest.approx((1 + 2 * 5.24, 2 + 3 * 4.0, 3 + 4.0))
    export_volume(tmp_path / "crop", tmp_path / "out")
    expected = np.zeros_like(voxels)
    expected[2:7, 3:12, 1:9] = voxels[2:7, 3:12, 1:9]
    assert (read_back(tmp_path / "out")[0] == expected).all()
    # A crop of the crop still stores the grid of the first stack.
    import_volume(tmp_path / "crop", tmp_path / "inner", roi="1:3,:,2:4")
    export_volume(tmp_path / "inner", tmp_path / "out2")
    expected[:3], expected[5:], expected[:, :, :3], expected[:, :, 5:] = 0, 0, 0, 0
    assert (read_back(tmp_path / "out2")[0] == expected).all()


def test_export_like_another_volume(tmp_path, stack):
    folder, voxels = stack("uint8")
    import_volume(folder, tmp_path / "raw", voxel_size=SIZE)
    part = tmp_path / "part"
    part.mkdir()
    tifffile.imwrite(part / "a_1.tif", voxels[4, 2:5, 3:8])
    offset = (4 * 5.24, 2 * 4.0, 3 * 4.0)
    import_volume(part, tmp_path / "labels", voxel_size=SIZE, offset_nm=offset, kind="labels")
    export_volume(tmp_path / "labels", tmp_path / "out", like=tmp_path / "raw")
    expected = np.zeros_like(voxels)
    expected[4, 2:5, 3:8] = voxels[4, 2:5, 3:8]
    assert (read_back(tmp_path / "out")[0] == expected).all()


def test_16_bit_gets_a_contrast_window(tmp_path, rng):
    voxels = rng.normal(20_000, 1_000, (20, 60, 70)).astype(np.uint16)
    voxels[0, 0, :3] = 65_535, 0, 65_535  # hot and dead pixels
    tifffile.imwrite(tmp_path / "s.tif", voxels)
    import_volume(tmp_path / "s.tif", tmp_path / "raw", voxel_size=SIZE)
    window = open_volume(tmp_path / "raw").window
    expected = np.percentile(voxels, [0.1, 99.9], method="inverted_cdf")
    assert window == tuple(expected)


def test_info_has_the_fields_of_the_design(tmp_path, stack):
    folder, _ = stack("uint8")
    import_volume(folder, tmp_path / "raw", voxel_size=SIZE, roi="1:,:,:")
    fields = describe_volume(tmp_path / "raw")
    assert fields["shape"] == [8, 14, 11]
    assert fields["dtype"] == "uint8"
    assert fields["voxel_size"] == list(SIZE)
    assert fields["offset_nm"] == [5.24, 0.0, 0.0]
    assert (fields["levels"], fields["chunk"], fields["shard"]) == (
        [[8, 14, 11]],
        [64] * 3,
        [256] * 3,
    )
    assert fields["original"] == {"shape": [9, 14, 11], "origin_nm": [0.0, 0.0, 0.0]}
    assert fields["made_by"]["command"] == "import"


def test_labels_that_are_none(tmp_path, stack):
    folder, _ = stack("float32")
    with pytest.raises(
        ValueError, match=r"is float32 and holds .* labels are whole numbers from 0"
    ):
        import_volume(folder, tmp_path / "a", voxel_size=SIZE, kind="labels")
    tifffile.imwrite(
        tmp_path / "mask.tif", np.full((2, 3, 4), 255, np.uint8), photometric="minisblack"
    )
    with pytest.raises(
        ValueError, match=r"holds only 255, .* means unlabelled; write foreground as 1"
    ):
        import_volume(tmp_path / "mask.tif", tmp_path / "a", voxel_size=SIZE, kind="labels")
    assert not (tmp_path / "a").exists()


def test_not_a_number_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", np.full((2, 3, 7), np.nan, np.float32))
    with pytest.raises(ValueError, match="holds NaN or infinite"):
        import_volume(tmp_path / "s.tif", tmp_path / "a", voxel_size=SIZE)


def test_export_spares_the_microscopes_planes(tmp_path, stack):
    folder, _ = stack("uint8")
    import_volume(folder, tmp_path / "raw", voxel_size=SIZE, roi="2:,:,:")
    with pytest.raises(FileExistsError, match="is not a TIFF export of asem; it is not"):
        export_volume(tmp_path / "raw", folder, overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path)
    for place in (tmp_path / "link", folder / "s7.tif"):
        with pytest.raises(
            FileExistsError,
            match=r"is a symbolic link|is not a BigTIFF export|is not a TIFF export",
        ):
            export_volume(tmp_path / "raw", place, overwrite=True)


def test_export_like_a_grid_that_misses(tmp_path, stack):
    folder, _ = stack("uint8")
    import_volume(folder, tmp_path / "raw", voxel_size=SIZE)
    import_volume(folder, tmp_path / "far", voxel_size=SIZE, offset_nm=(524.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"the original grid of .*far and .*raw have no voxel"):
        export_volume(tmp_path / "raw", tmp_path / "out", like=tmp_path / "far")


def test_export_makes_no_half_folder_and_spares_others(tmp_path, stack):
    folder, _ = stack("uint8")
    import_volume(folder, tmp_path / "raw", voxel_size=SIZE)
    export_volume(tmp_path / "raw", tmp_path / "out")
    with pytest.raises(FileExistsError, match="exists already; give --overwrite"):
        export_volume(tmp_path / "raw", tmp_path / "out")
    export_volume(tmp_path / "raw", tmp_path / "out", overwrite=True)
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds more than a TIFF export \(notes.txt\)"):
        export_volume(tmp_path / "raw", tmp_path / "out", overwrite=True)
    with pytest.raises(RuntimeError, match="stop"):
        export_volume(tmp_path / "raw", tmp_path / "new", progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"planes", "raw", "out"}


def stop(stage, done, total):
    raise RuntimeError("stop")
