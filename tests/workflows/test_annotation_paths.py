from pathlib import Path

import pytest

from asem.workflows.annotation_paths import default_labels_path, session_folder


@pytest.mark.parametrize(
    ("raw", "session", "labels"),
    [
        ("cell.zarr/raw", "cell.zarr/annotations", "cell.zarr/labels/mito"),
        ("cell.zarr/raw#2", "cell.zarr/annotations_level2", "cell.zarr/labels/mito"),
        ("data/stack.tif", "data/stack.tif.annotations", "data/labels/mito"),
        ("data/cell.h5:/em/raw", "data/cell.h5.em_raw.annotations", "data/labels/mito"),
        ("data/cell.n5/em/s0", "data/cell.n5.em_s0.annotations", "data/labels/mito"),
        ("s3://bucket/cell.n5/em/s0", "cell.n5.em_s0.annotations", "labels/mito"),
        ("https://host/raw#1", "raw.annotations_level1", "labels/mito"),
        ("gs://bucket", "bucket.annotations", "labels/mito"),
    ],
)
def test_folders_of_an_address(raw, session, labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert session_folder(raw).absolute() == tmp_path / session
    assert default_labels_path(raw, "mito").absolute() == tmp_path / labels


def test_nothing_is_written_into_zarr_2(tmp_path):
    (tmp_path / "cell.zarr").mkdir()
    (tmp_path / "cell.zarr/.zgroup").write_text('{"zarr_format": 2}')
    raw = tmp_path / "cell.zarr/em/raw"
    assert session_folder(raw) == tmp_path / "cell.zarr.em_raw.annotations"
    assert default_labels_path(raw, "mito") == tmp_path / "labels/mito"


def test_a_long_url_has_a_short_name():
    folder = session_folder("s3://bucket/" + "a" * 300)
    assert folder.parent == Path()
    assert len(folder.name) == 100 + len(".annotations")
