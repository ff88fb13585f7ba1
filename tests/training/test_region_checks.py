"""Errors and warnings about regions before the first iteration."""

import h5py
import numpy as np
import pytest
import tifffile

from asem.model.config import ModelConfig
from asem.training.config import TrainConfig
from asem.training.labelled_regions import load_region
from asem.training.region_checks import check_regions, count_shared_voxels
from asem.training.region_config import TrainingRegion
from asem.workflows.importing import import_volume
from asem.workflows.train import train_model

SHAPE = (20, 24, 28)
CONFIG = TrainConfig(
    structure="mito",
    voxel_size=(10, 10, 10),
    train=[TrainingRegion(raw="r", labels="l")],
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
    """Two cells on the same grid, labels of each, and crops and copies."""
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
def load(cells):
    def load_cell(raw, labels, roi=None, **changes):
        config = CONFIG.model_copy(update=changes)
        return load_region(TrainingRegion(raw=cells[raw], labels=cells[labels], roi=roi), config)

    return load_cell


def test_training_without_foreground_is_an_error(load):
    empty = [load("raw", "none"), load("other", "beyond", ":,:,:14")]
    with pytest.raises(ValueError, match=r"no \[\[train\]\] region has foreground.*none.*beyond"):
        check_regions(empty, [])


def test_it_is_an_error_before_anything_is_created(cells, tmp_path):
    (tmp_path / "t.toml").write_text(
        'structure = "mito"\nvoxel_size = [10, 10, 10]\npatch = 28\niterations = 1\n'
        "model = { features = 2, levels = 2 }\n"
        f'[[train]]\nraw = "{cells["raw"]}"\nlabels = "{cells["none"]}"\n'
    )
    with pytest.raises(ValueError, match="the network cannot learn"):
        train_model(tmp_path / "t.toml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("labels", "missing"), [("none", "foreground"), ("all", "background")])
def test_single_regions_of_one_class_are_warned_of(load, caplog, labels, missing):
    good, bad = load("raw", "raw_labels"), load("other", labels, "5:,:,:")
    check_regions([good, bad], [])
    (record,) = caplog.records
    assert record.message.startswith("[[train]]")
    assert (
        f"{labels} within 5:,:,: has no {missing}: from it, the network learns only one class"
        in record.message
    )
    caplog.clear()
    check_regions([good], [bad])
    assert f"[[validation]] {bad.name} has no {missing}: its F1" in caplog.records[0].message
    assert ("no [[validation]] region has foreground" in caplog.text) == (labels == "none")


def test_good_regions_are_not_warned_of(load, caplog):
    halves = [load("raw", "raw_labels", roi) for roi in (":,:,:14", ":,:,14:")]
    check_regions([halves[0], load("other", "other_labels")], [halves[1]])
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
def test_voxels_in_training_and_validation_are_counted(load, caplog, raw, labels):
    trained = load("raw", "raw_labels", ":,:,:16")
    held_out = load(raw, labels)
    first = (2, 3, 4) if raw in ("crop", "cut") else (0, 0, 0)
    number = np.prod(np.array((20, 24, 16)) - first)
    assert (
        count_shared_voxels(trained, held_out) == count_shared_voxels(held_out, trained) == number
    )
    check_regions([trained], [held_out])
    (record,) = caplog.records
    percentage = 100 * number / held_out.labelled_voxels
    assert f"share {number} labelled voxels, {percentage:.3g} % of the" in record.message
    assert trained.name in record.message
    assert held_out.name in record.message


def test_voxels_in_two_validation_regions_are_warned_of(load, caplog):
    trained = load("raw", "raw_labels", ":,:,:10")
    first, second = (load("raw", "raw_labels", roi) for roi in (":,:,10:22", ":,:,20:"))
    check_regions([trained], [first, load("other", "other_labels"), second])
    (line,) = caplog.messages
    assert f"{first.name} and {second.name} share {20 * 24 * 2} labelled voxels, which" in line


def test_two_cells_at_one_position_share_nothing(load):
    assert count_shared_voxels(load("raw", "raw_labels"), load("other", "other_labels")) == 0


def test_unlabelled_voxels_are_not_shared(load, store, cells):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:10] = 255
    labels[12] = 1
    cells["half"] = store("half", labels, kind="labels")
    trained, held_out = load("raw", "raw_labels", ":11,:,:"), load("raw", "half")
    assert count_shared_voxels(trained, held_out) == 24 * 28


def test_overlap_at_the_voxels_of_the_model(load):
    coarse = {"voxel_size": (20.0, 20.0, 20.0)}
    trained = load("raw", "raw_labels", ":,:,:16", **coarse)
    assert count_shared_voxels(trained, load("crop", "raw_labels", **coarse)) == 9 * 11 * 6


def test_labels_of_another_shape_are_warned_of_and_a_part_is_not(load, store, cells, caplog):
    voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint8) % 2
    cells["exchanged"] = store("exchanged", voxels.swapaxes(1, 2), kind="labels")
    cells["short"] = store("short", voxels[1:], kind="labels")
    cells["part"] = store("part", voxels[1:], kind="labels", offset_nm=(10.0, 0.0, 0.0))
    cells["cropped"] = store("cropped", voxels, kind="labels", roi=":5,:,:")
    load("raw", "part")
    load("raw", "cropped")
    assert not caplog.records
    load("raw", "exchanged")
    load("raw", "short")
    exchanged, short = caplog.messages
    assert "axes y and x exchanged?" in exchanged
    assert "20 x 24 x 28 voxels (200 x 240 x 280 nm, from 0, 0, 0 nm)" in exchanged
    assert "19 x 24 x 28 voxels (190 x 240 x 280 nm, from 0, 0, 0 nm)" in short
    assert "exchanged?" not in short


def test_grey_values_as_labels_get_a_warning(cells, tmp_path, rng, caplog):
    with h5py.File(tmp_path / "cell.h5", "w") as file:
        file["raw"] = rng.integers(1, 250, SHAPE).astype(np.uint8)
        file["raw"].attrs["resolution"], file["raw"].attrs["offset"] = [10.0] * 3, [-5.0] * 3
    region = TrainingRegion(raw=cells["raw"], labels=f"{tmp_path}/cell.h5:/raw")
    load_region(region, CONFIG)
    assert "cell.h5:/raw: most neighbouring voxels differ; are these grey values" in caplog.text
