"""What is refused or warned of before the first iteration."""

import numpy as np
import pytest
import tifffile

from asem.model.config import ModelConfig, Region, TrainConfig
from asem.training.checks import check_regions, shared_voxels
from asem.training.regions import load_sample
from asem.workflows.importing import import_volume
from asem.workflows.train import train_model

SHAPE = (20, 24, 28)
CONFIG = TrainConfig(
    structure="mito",
    voxel_size=(10, 10, 10),
    train=[Region(raw="r", labels="l")],
    model=ModelConfig(features=2, levels=2),
)


@pytest.fixture
def store(tmp_path):
    def make(name, voxels, *, kind="image", **options):
        tifffile.imwrite(tmp_path / f"{name}.tif", voxels, photometric="minisblack")
        settings = {"voxel_size": (10.0, 10.0, 10.0), "kind": kind, **options}
        import_volume(tmp_path / f"{name}.tif", tmp_path / name, **settings)
        return tmp_path / name

    return make


@pytest.fixture
def cells(store, rng):
    """Two cells on grids of one shape and place, labels of each, and crops and copies."""
    grey = {name: rng.integers(0, 255, SHAPE).astype(np.uint8) for name in ("raw", "other")}
    stored = {name: store(name, voxels) for name, voxels in grey.items()}
    stored["crop"] = store("crop", grey["raw"], roi="2:,3:,4:")
    stored["cut"] = store("cut", grey["raw"][2:, 3:, 4:].copy(), offset_nm=(20.0, 30.0, 40.0))
    stored["equalized"] = store("equalized", 255 - grey["raw"])
    for name in ("raw", "other"):
        stored[f"{name}_labels"] = store(
            f"{name}_labels", (grey[name] > 99).astype(np.uint8), kind="labels"
        )
    for name, voxels in (
        ("none", np.zeros(SHAPE, np.uint8)),
        ("all", np.ones(SHAPE, np.uint8)),
        ("beyond", np.where(np.indices(SHAPE)[2] < 14, 0, 1).astype(np.uint8)),
    ):
        stored[name] = store(name, voxels, kind="labels")
    return stored


@pytest.fixture
def sample(cells):
    def load(raw, labels, roi=None, **changes):
        config = CONFIG.model_copy(update=changes)
        return load_sample(Region(raw=cells[raw], labels=cells[labels], roi=roi), config)

    return load


def test_training_without_foreground_is_refused(sample):
    empty = [sample("raw", "none"), sample("other", "beyond", ":,:,:14")]
    with pytest.raises(ValueError, match=r"no \[\[train\]\] region has foreground.*none.*beyond"):
        check_regions(empty, [])


def test_it_is_refused_before_anything_is_made(cells, tmp_path):
    (tmp_path / "t.toml").write_text(
        'structure = "mito"\nvoxel_size = [10, 10, 10]\npatch = 28\niterations = 1\n'
        "model = { features = 2, levels = 2 }\n"
        f'[[train]]\nraw = "{cells["raw"]}"\nlabels = "{cells["none"]}"\n'
    )
    with pytest.raises(ValueError, match="so that there is nothing to learn"):
        train_model(tmp_path / "t.toml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("labels", "missing"), [("none", "foreground"), ("all", "background")])
def test_single_regions_of_one_class_are_warned_of(sample, caplog, labels, missing):
    good, bad = sample("raw", "raw_labels"), sample("other", labels, "5:,:,:")
    check_regions([good, bad], [])
    (record,) = caplog.records
    assert record.message.startswith("[[train]]")
    assert f"{labels} within 5:,:,: has no {missing}: it teaches" in record.message
    caplog.clear()
    check_regions([good], [bad])
    assert f"[[validation]] {bad.name} has no {missing}: F1" in caplog.records[0].message
    assert ("no [[validation]] region has foreground" in caplog.text) == (labels == "none")


def test_good_regions_are_not_warned_of(sample, caplog):
    halves = [sample("raw", "raw_labels", roi) for roi in (":,:,:14", ":,:,14:")]
    check_regions([halves[0], sample("other", "other_labels")], [halves[1]])
    assert not caplog.records


@pytest.mark.parametrize(
    ("raw", "labels"),
    [
        ("raw", "raw_labels"),
        ("raw", "other_labels"),
        ("crop", "other_labels"),
        ("cut", "other_labels"),
        ("equalized", "raw_labels"),
    ],
)
def test_what_is_trained_and_validated_on_is_counted(sample, caplog, raw, labels):
    trained = sample("raw", "raw_labels", ":,:,:16")
    held_out = sample(raw, labels)
    first = (2, 3, 4) if raw in ("crop", "cut") else (0, 0, 0)
    number = np.prod(np.array((20, 24, 16)) - first)
    assert shared_voxels(trained, held_out) == shared_voxels(held_out, trained) == number
    check_regions([trained], [held_out])
    (record,) = caplog.records
    share = 100 * number / held_out.known
    assert f"share {number} labelled voxels, {share:.3g} % of the" in record.message
    assert trained.name in record.message
    assert held_out.name in record.message


def test_two_cells_in_one_place_share_nothing(sample):
    assert shared_voxels(sample("raw", "raw_labels"), sample("other", "other_labels")) == 0


def test_unlabelled_voxels_are_not_shared(sample, store, cells):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:10] = 255
    labels[12] = 1
    cells["half"] = store("half", labels, kind="labels")
    trained, held_out = sample("raw", "raw_labels", ":11,:,:"), sample("raw", "half")
    assert shared_voxels(trained, held_out) == 24 * 28


def test_overlap_at_the_voxels_of_the_model(sample):
    coarse = {"voxel_size": (20.0, 20.0, 20.0)}
    trained = sample("raw", "raw_labels", ":,:,:16", **coarse)
    assert shared_voxels(trained, sample("crop", "raw_labels", **coarse)) == 9 * 11 * 6
