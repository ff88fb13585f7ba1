"""Annotation workflow: sessions next to the data, windows, cached regions, saved labels."""

import shutil

import numpy as np
import pytest
import tifffile

from asem.annotate.edits import Stroke
from asem.annotate.graphcut import GraphCutConfig, cut_region
from asem.annotate.membrane_energy import PreparedMembraneRegion
from asem.model.checkpoint import find_checkpoint, hash_weights
from asem.structures import find_preset
from asem.volume.roi import Roi, parse_roi
from asem.volume.sources import open_volume
from asem.workflows.annotation import (
    open_session,
    predict_window,
    prepare_window,
    save_labels,
    window_grid_of,
)
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.importing import import_volume
from asem.workflows.labels import label_volume
from asem.workflows.predict import predict_volume
from asem.workflows.train import train_model

SHAPE = (30, 40, 50)


@pytest.fixture
def raw(tmp_path, rng):
    """16 bits, noise."""
    tifffile.imwrite(tmp_path / "raw.tif", rng.integers(0, 50_000, SHAPE, np.uint16))
    import_volume(tmp_path / "raw.tif", tmp_path / "c.zarr/raw", voxel_size=(5.0,) * 3)
    return tmp_path / "c.zarr/raw"


def draw(annotation):
    annotation.add_edit(Stroke(1, 0, 2.0, False, ((5, 10, 5), (5, 10, 15))))
    annotation.add_edit(Stroke(2, 0, 2.0, False, ((5, 30, 5), (5, 30, 15))))


def test_the_session_is_next_to_the_data_and_opens_again(raw):
    volume, session = open_session(raw)
    with session:
        draw(session.open_structure("mito"))
    assert (raw.parent / "annotations/mito/log.jsonl").is_file()
    _, session = open_session(raw)
    with session:
        assert len(session.open_structure("mito").edits) == 2
    assert open_volume(raw).shape == volume.shape  # the cell is still an image


def test_windows_cover_the_volume_once(raw):
    volume, session = open_session(raw)
    session.close()
    count = np.zeros(SHAPE, int)
    for window in window_grid_of(volume, 16):
        assert max(window.shape) <= 16
        count[window.slices] += 1
    assert (count == 1).all()
    assert list(window_grid_of(volume)) == [volume.roi]
    with pytest.raises(ValueError, match="an edge of at least 1 voxel, not 0"):
        window_grid_of(volume, 0)


def test_a_window_is_prepared_once(raw, monkeypatch):
    volume, session = open_session(raw)
    window, config = Roi((0, 0, 0), (30, 40, 25)), GraphCutConfig()
    with session:
        first = prepare_window(volume, window, config, session.folder)
        monkeypatch.setattr("asem.workflows.annotation.prepare_region", pytest.fail)
        again = prepare_window(volume, window, config, session.folder)
        draw(annotation := session.open_structure("mito"))
        strokes = annotation.stroke_labels(window)
        one, two = cut_region(first, strokes), cut_region(again, strokes)
    assert isinstance(again, PreparedMembraneRegion)
    assert np.array_equal(one.foreground, two.foreground)
    assert one.energy == two.energy


def test_another_configuration_or_window_is_prepared_again(raw):
    volume, session = open_session(raw)
    window = Roi((0, 0, 0), (30, 40, 25))
    with session:
        for config in (
            GraphCutConfig(),
            GraphCutConfig.from_dict(
                {"membranes": {"fragments": {"seed_spacing_bins": 6}}}, source="x"
            ),
        ):
            assert prepare_window(volume, window, config, session.folder).config == config.membranes
        one, other = (
            prepare_window(volume, here, GraphCutConfig(), session.folder)
            for here in (window, window.shift((0, 0, 25)))
        )
        assert not np.array_equal(one.features, other.features)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip", None])
def test_a_damaged_file_is_replaced(raw, damage):
    volume, session = open_session(raw)
    with session:
        config = GraphCutConfig()
        first = prepare_window(volume, volume.roi, config, session.folder)
        (path,) = (session.folder / ".asem/regions").iterdir()
        path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
        again = prepare_window(volume, volume.roi, config, session.folder)
        assert np.array_equal(first.features, again.features)


def test_regions_of_the_papers_energy_are_not_cached(raw):
    volume, session = open_session(raw)
    with session:
        region = prepare_window(volume, volume.roi, GraphCutConfig(energy="paper"), session.folder)
        assert region.shape == SHAPE
        assert not (session.folder / ".asem/regions").exists()


def test_accepted_windows_become_labels_and_the_rest_is_unlabelled(raw, rng):
    volume, session = open_session(raw)
    one, two = Roi((2, 4, 6), (10, 12, 14)), Roi((20, 4, 6), (10, 36, 20))
    found = {window: rng.random(window.shape) < 0.5 for window in (two, one)}
    with session:
        annotation = session.open_structure("mito")
        with pytest.raises(ValueError, match="no window of mito is accepted"):
            save_labels(volume, session, "mito", raw.parent / "labels/mito")
        for window, foreground in found.items():
            annotation.accept_window(window, foreground)
        labels = save_labels(volume, session, "mito", raw.parent / "labels/mito")
        whole = np.full(SHAPE, 255, np.uint8)
        for window, foreground in found.items():
            whole[window.slices] = foreground
        place = volume.roi_of(labels)
        assert place == Roi((2, 4, 6), (28, 36, 20))
        assert np.array_equal(labels.read(labels.roi), whole[place.slices])
        annotation.accept_window(one, ~found[one])
        with pytest.raises(FileExistsError, match="overwrite"):
            save_labels(volume, session, "mito", raw.parent / "labels/mito")
        again = save_labels(volume, session, "mito", raw.parent / "labels/mito", overwrite=True)
        whole[one.slices] = ~found[one]
        assert np.array_equal(again.read(again.roi), whole[place.slices])


def test_labels_for_training_are_those_of_asem_labels(raw):
    volume, session = open_session(raw)
    foreground = np.zeros(SHAPE, bool)
    foreground[10:20, 10:30, 10:30] = True
    with session:
        session.open_structure("mito").accept_window(volume.roi, foreground)
        path = raw.parent / "labels/mito"
        labels = save_labels(volume, session, "mito", path, preset=find_preset("mito"))
        with pytest.raises(FileExistsError, match="overwrite"):
            save_labels(volume, session, "mito", path, preset=find_preset("mito"))
    drawn = open_volume(raw.parent / "labels/mito_drawn")
    assert np.array_equal(drawn.read(drawn.roi) > 0, foreground)
    same = label_volume(raw.parent / "labels/mito_drawn", raw.parent / "m", find_preset("mito"))
    assert np.array_equal(labels.read(labels.roi), same.read(same.roi))
    assert (labels.read(labels.roi) > 0).sum() > foreground.sum()


@pytest.mark.parametrize("preset", [None, find_preset("mito")])
def test_raw_is_not_replaced_by_its_labels(raw, preset):
    volume, session = open_session(raw)
    with session:
        session.open_structure("mito").accept_window(volume.roi, np.zeros(SHAPE, bool))
        with pytest.raises(FileExistsError, match="holds the input"):
            save_labels(volume, session, "mito", raw, preset=preset, overwrite=True)
    assert open_volume(raw).kind == "image"


def test_labels_are_no_image_to_annotate(raw, tmp_path):
    tifffile.imwrite(tmp_path / "l.tif", np.zeros((2, 3, 4), np.uint8), photometric="minisblack")
    import_volume(tmp_path / "l.tif", tmp_path / "c.zarr/l", voxel_size=(5.0,) * 3, kind="labels")
    with pytest.raises(ValueError, match="labels"):
        open_session(tmp_path / "c.zarr/l")
    assert not (tmp_path / "c.zarr/annotations").exists()


def test_a_network_learns_from_accepted_windows(cell, tmp_path):
    """Training and scores ignore the unlabelled voxels between them."""
    shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    truth = open_volume(cell / "cell.zarr/labels/mito")
    volume, session = open_session(tmp_path / "cell.zarr/raw")
    windows = [parse_roi(text, volume.shape) for text in (":,:,:30", ":,:40,54:")]
    with session:
        for window in windows:
            session.open_structure("mito").accept_window(window, truth.read(window) > 0)
        save_labels(volume, session, "mito", tmp_path / "cell.zarr/labels/drawn")
    config = (cell / "train.toml").read_text().replace("labels/mito", "labels/drawn")
    (tmp_path / "train.toml").write_text(config)
    done = train_model(tmp_path / "train.toml", out=tmp_path / "run")
    assert done["iteration"] == 6
    scores = evaluate_volume(
        tmp_path / "cell.zarr/labels/mito", tmp_path / "cell.zarr/labels/drawn"
    )
    assert scores["all"]["voxels"] == sum(window.size for window in windows)
    assert scores["all"]["f1"] == 1


def test_a_network_predicts_a_window(cell, run, tmp_path):
    """The prediction of a window equals that of the whole volume there."""
    shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    raw = tmp_path / "cell.zarr/raw"
    volume, session = open_session(raw)
    window = Roi((8, 8, 16), (24, 32, 40))
    with session:
        prediction = predict_window(volume, window, run, session)
        region = prepare_window(volume, window, GraphCutConfig(), session.folder)
        found = cut_region(
            region, session.open_structure("mito").stroke_labels(window), prediction.probability
        )
    whole = predict_volume(run, raw, tmp_path / "cell.zarr/p")
    assert np.abs(whole.read(window).astype(int) - prediction.probability).max() <= 1
    assert prediction.model == {
        "network": str(run.resolve()),
        "weights": hash_weights(find_checkpoint(run)),
    }
    assert found.foreground.shape == window.shape


@pytest.mark.parametrize("change", ["labels", "first", "second", "features", "scale", "lengths"])
def test_a_region_with_inconsistent_arrays_is_prepared_again(raw, change):
    """Kernels do not check their indices: they would access memory out of bounds."""
    volume, session = open_session(raw)
    with session:
        config = GraphCutConfig()
        first = prepare_window(volume, volume.roi, config, session.folder)
        (path,) = (session.folder / ".asem/regions").iterdir()
        with np.load(path) as stored:
            arrays = dict(stored)
        if change == "lengths":
            arrays["faces"] = arrays["faces"][:-1]
        elif change == "features":
            arrays["features"] = arrays["features"][:-1]
        else:
            arrays[change].flat[-1] = np.nan if change == "scale" else 10**9
        np.savez(path, **arrays)
        again = prepare_window(volume, volume.roi, config, session.folder)
        assert np.array_equal(first.fragments.labels, again.fragments.labels)
        assert np.array_equal(first.features, again.features)
        assert again.fragments.adjacency.second.max() < len(again.features)
