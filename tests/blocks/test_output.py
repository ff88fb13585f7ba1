from pathlib import Path

import numpy as np
import pytest

from asem.blocks import journal
from asem.blocks.output import new_image
from asem.blocks.run import run_blocks
from asem.volume import arrays, ngff
from asem.volume.downsample import downsample
from asem.volume.grid import tile
from asem.volume.volume import Blank, Volume

SHAPE = (30, 300, 270)


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 5, SHAPE).astype(np.uint8)


def write(path, voxels, *, kind="image", fail_at=None, calls=None, **options):
    template = Volume(Blank(voxels.shape, voxels.dtype), (5.0, 5.0, 5.0), kind=kind)
    options = {"request": {"a": 1}, "sources": [], **options}
    with new_image(path, template, command="test", **options) as output:

        def work(block):
            if calls is not None:
                calls.append(block)
            if block == fail_at:
                raise OSError("gone")
            output.array.write(block.slices, voxels[block.slices]).result()

        run_blocks(work, output.shards(), output.journal, stage="test")


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_the_pyramid_is_that_of_the_whole_array(tmp_path, voxels, kind):
    write(tmp_path / "a", voxels, kind=kind)
    stated = ngff.read_metadata(tmp_path / "a")
    ome, own = stated.ome, stated.own
    expected = voxels
    paths = [dataset.path for dataset in ome.multiscales[0].datasets]
    assert paths == ["0", "1", "2", "3"]
    for path in paths:
        level = arrays.open_array(tmp_path / "a" / path).store.read().result()
        assert (level == expected).all()
        expected = downsample(expected, (2, 2, 2), kind)
    assert own.made_by["request"] == {"a": 1}


def test_an_interrupted_output_is_unfinished_and_gone_on_with(tmp_path, voxels):
    calls = []
    template = Volume(Blank(SHAPE, voxels.dtype), (5.0, 5.0, 5.0))
    last = list(ngff_blocks(template))[-1]
    with pytest.raises(OSError, match="gone"):
        write(tmp_path / "a", voxels, fail_at=last)
    with pytest.raises(ValueError, match="is not finished; run the command that made it again"):
        ngff.open_image(tmp_path / "a")
    write(tmp_path / "a", voxels, calls=calls)
    assert calls == [last]
    volume = ngff.open_image(tmp_path / "a")
    assert (volume.read(volume.roi) == voxels).all()
    assert not (tmp_path / "a" / journal.NAME).exists()


def ngff_blocks(template):
    return tile(template.roi, arrays.SHARD)


def test_an_unfinished_output_of_another_request_is_refused(tmp_path, voxels):
    first = next(ngff_blocks(Volume(Blank(SHAPE, voxels.dtype), (5.0, 5.0, 5.0))))
    with pytest.raises(OSError, match="gone"):
        write(tmp_path / "a", voxels, fail_at=first)
    with pytest.raises(ValueError, match="another request"):
        write(tmp_path / "a", voxels, request={"a": 2})
    write(tmp_path / "a", voxels, request={"a": 2}, overwrite=True)
    assert ngff.is_image(tmp_path / "a")


def test_what_exists_is_kept_unless_overwritten(tmp_path, voxels):
    write(tmp_path / "a", voxels)
    with pytest.raises(FileExistsError, match="exists already; give --overwrite"):
        write(tmp_path / "a", voxels)
    write(tmp_path / "a", voxels + 1, overwrite=True)
    volume = ngff.open_image(tmp_path / "a")
    assert (volume.read(volume.roi) == voxels + 1).all()


def test_overwriting_spares_what_is_no_image_and_what_is_read(tmp_path, voxels):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    with pytest.raises(FileExistsError, match="is no image; it is not replaced"):
        write(tmp_path / "thesis", voxels, overwrite=True)
    write(tmp_path / "c.zarr/raw", voxels)
    with pytest.raises(FileExistsError, match="holds the input"):
        write(tmp_path / "c.zarr/raw", voxels, overwrite=True, sources=[tmp_path / "c.zarr/raw"])
    with pytest.raises(FileExistsError, match="holds the input"):
        write(tmp_path / "c.zarr", voxels, overwrite=True, sources=[tmp_path / "c.zarr/raw"])
    assert ngff.is_image(tmp_path / "c.zarr/raw")


def test_overwriting_spares_images_inside_and_folders_that_are_locked(tmp_path, voxels):
    write(tmp_path / "b.zarr", voxels)
    write(tmp_path / "b.zarr/labels/mito", voxels, kind="labels")
    with pytest.raises(FileExistsError, match=r"holds more than an image \(labels\)"):
        write(tmp_path / "b.zarr", voxels, overwrite=True)
    (tmp_path / "run").mkdir()
    with journal.locked(tmp_path / "run"):  # as a training does
        for overwrite in (False, True):
            with pytest.raises(BlockingIOError, match="another process is writing"):
                write(tmp_path / "run", voxels, overwrite=overwrite)
    write(tmp_path / "run", voxels)  # the lock of a process that was killed stands for nothing


def test_a_failed_deletion_leaves_nothing_that_looks_finished(tmp_path, voxels, monkeypatch):
    def fail(path, listed):
        raise OSError("busy")

    write(tmp_path / "a", voxels)
    monkeypatch.setattr("asem.system.contents.delete_listed", fail)
    with pytest.raises(OSError, match="busy"):
        write(tmp_path / "a", voxels, overwrite=True)
    assert not (tmp_path / "a").exists()


def test_paths_with_two_dots_touch_no_other_folder(tmp_path, voxels, monkeypatch):
    (tmp_path / "w/other.zarr").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "w/other.zarr")
    write(Path("../cell.zarr/raw"), voxels)
    assert not (tmp_path / "w/zarr.json").exists()
    assert not (tmp_path / "w/other.zarr/zarr.json").exists()
    assert (tmp_path / "w/cell.zarr/zarr.json").exists()
