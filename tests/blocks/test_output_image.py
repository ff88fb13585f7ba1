from pathlib import Path

import numpy as np
import pytest

from asem.blocks.output_image import create_image
from asem.blocks.output_lock import lock_output
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.blocks.run_blocks import run_blocks
from asem.volume import ngff, zarr_arrays
from asem.volume.block_grid import split_into_blocks
from asem.volume.downsample import downsample
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray

SHAPE = (30, 300, 270)


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 5, SHAPE).astype(np.uint8)


def write(path, voxels, *, kind="image", fail_at=None, calls=None, **options):
    template = Volume(ZeroArray(voxels.shape, voxels.dtype), (5.0, 5.0, 5.0), kind=kind)
    options = {"request": {"a": 1}, "sources": [], **options}
    with create_image(path, template, command="test", **options) as output:

        def work(block):
            if calls is not None:
                calls.append(block)
            if block == fail_at:
                raise OSError("disk lost")
            output.array.write(block.slices, voxels[block.slices]).result()

        run_blocks(work, output.write_blocks(), output.journal, stage="test")


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_the_pyramid_is_that_of_the_whole_array(tmp_path, voxels, kind):
    write(tmp_path / "a", voxels, kind=kind)
    stated = ngff.read_image_metadata(tmp_path / "a")
    ome, own = stated.ome, stated.asem_metadata
    expected = voxels
    paths = [dataset.path for dataset in ome.multiscales[0].datasets]
    assert paths == ["0", "1", "2", "3"]
    for path in paths:
        level = zarr_arrays.open_array(tmp_path / "a" / path).store.read().result()
        assert (level == expected).all()
        expected = downsample(expected, (2, 2, 2), kind)
    assert own.made_by["request"] == {"a": 1}


def test_an_interrupted_output_is_unfinished_and_resumed(tmp_path, voxels):
    calls = []
    template = Volume(ZeroArray(SHAPE, voxels.dtype), (5.0, 5.0, 5.0))
    last = list(ngff_blocks(template))[-1]
    with pytest.raises(OSError, match="disk lost"):
        write(tmp_path / "a", voxels, fail_at=last)
    with pytest.raises(ValueError, match="is unfinished; run the same command again"):
        ngff.open_image(tmp_path / "a")
    write(tmp_path / "a", voxels, calls=calls)
    assert calls == [last]
    volume = ngff.open_image(tmp_path / "a")
    assert (volume.read(volume.roi) == voxels).all()
    assert not (tmp_path / "a" / JOURNAL_FOLDER).exists()


def ngff_blocks(template):
    return split_into_blocks(template.roi, zarr_arrays.SHARD)


def test_an_unfinished_output_of_another_request_is_an_error(tmp_path, voxels):
    first = next(ngff_blocks(Volume(ZeroArray(SHAPE, voxels.dtype), (5.0, 5.0, 5.0))))
    with pytest.raises(OSError, match="disk lost"):
        write(tmp_path / "a", voxels, fail_at=first)
    with pytest.raises(ValueError, match="another request"):
        write(tmp_path / "a", voxels, request={"a": 2})
    write(tmp_path / "a", voxels, request={"a": 2}, overwrite=True)
    assert ngff.is_image(tmp_path / "a")


def test_an_existing_image_is_not_replaced_without_overwrite(tmp_path, voxels):
    write(tmp_path / "a", voxels)
    with pytest.raises(FileExistsError, match="exists already; give --overwrite"):
        write(tmp_path / "a", voxels)
    write(tmp_path / "a", voxels + 1, overwrite=True)
    volume = ngff.open_image(tmp_path / "a")
    assert (volume.read(volume.roi) == voxels + 1).all()


def test_overwriting_deletes_no_other_files_and_no_inputs(tmp_path, voxels):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    with pytest.raises(FileExistsError, match="is not an image of asem; it is not replaced"):
        write(tmp_path / "thesis", voxels, overwrite=True)
    write(tmp_path / "c.zarr/raw", voxels)
    with pytest.raises(FileExistsError, match="holds the input"):
        write(tmp_path / "c.zarr/raw", voxels, overwrite=True, sources=[tmp_path / "c.zarr/raw"])
    with pytest.raises(FileExistsError, match="holds the input"):
        write(tmp_path / "c.zarr", voxels, overwrite=True, sources=[tmp_path / "c.zarr/raw"])
    assert ngff.is_image(tmp_path / "c.zarr/raw")


def test_overwriting_deletes_no_nested_images_and_no_locked_folders(tmp_path, voxels):
    write(tmp_path / "b.zarr", voxels)
    write(tmp_path / "b.zarr/labels/mito", voxels, kind="labels")
    with pytest.raises(FileExistsError, match=r"holds more than an image \(labels\)"):
        write(tmp_path / "b.zarr", voxels, overwrite=True)
    (tmp_path / "run").mkdir()
    with lock_output(tmp_path / "run"):  # as a training does
        for overwrite in (False, True):
            with pytest.raises(BlockingIOError, match="another process is writing"):
                write(tmp_path / "run", voxels, overwrite=overwrite)
    write(tmp_path / "run", voxels)  # the lock of a killed process has no effect


def test_a_failed_deletion_leaves_nothing_that_looks_finished(tmp_path, voxels, monkeypatch):
    def fail(path, listed):
        raise OSError("busy")

    write(tmp_path / "a", voxels)
    monkeypatch.setattr("asem.system.folder_snapshot.delete_unchanged", fail)
    with pytest.raises(OSError, match="busy"):
        write(tmp_path / "a", voxels, overwrite=True)
    assert not (tmp_path / "a").exists()


def test_paths_with_two_dots_change_no_other_folder(tmp_path, voxels, monkeypatch):
    (tmp_path / "w/other.zarr").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "w/other.zarr")
    write(Path("../cell.zarr/raw"), voxels)
    assert not (tmp_path / "w/zarr.json").exists()
    assert not (tmp_path / "w/other.zarr/zarr.json").exists()
    assert (tmp_path / "w/cell.zarr/zarr.json").exists()
