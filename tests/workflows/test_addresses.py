"""Every verb reads images by their addresses: URLs, coarser levels, TIFF stacks."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.structures import PRESETS
from asem.training.config import TrainConfig
from asem.training.labelled_regions import load_region
from asem.training.region_config import TrainingRegion
from asem.training.targets import FOREGROUND
from asem.volume.id_selection import IdSelection
from asem.volume.sources import open_volume
from asem.workflows.annotation import open_session, predict_window, save_labels, window_grid_of
from asem.workflows.clahe import clahe_volume
from asem.workflows.describe import describe_volume
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.exporting import export_volume
from asem.workflows.graphcut import graphcut_volume
from asem.workflows.importing import ImportOptions, import_volume
from asem.workflows.instances import label_instances
from asem.workflows.labels import label_volume
from asem.workflows.mask import mask_volume
from asem.workflows.predict import predict_inputs, predict_volume
from asem.workflows.prediction_inputs import PredictionInputs
from asem.workflows.segment import segment_volume
from asem.workflows.train import train_model
from remote_servers import serve_files

SIZE = (10.0, 10.0, 10.0)
IDS = IdSelection.parse("3,5-6")
VERBS = {
    "import": lambda raw, labels, out: import_volume(raw, out),
    "clahe": lambda raw, labels, out: clahe_volume(raw, out),
    "mask": lambda raw, labels, out: mask_volume(raw, out),
    "segment": lambda raw, labels, out: segment_volume(raw, out, mask=labels),
    "labels": lambda raw, labels, out: label_volume(labels, out, PRESETS["mito"]),
    "instances": lambda raw, labels, out: label_instances(labels, out),
    "graphcut": lambda raw, labels, out: graphcut_volume(raw, labels, out),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with cell.zarr: raw, and labels of objects 1 and 2."""
    folder, rng = tmp_path_factory.mktemp("small"), np.random.default_rng(1)
    raw = rng.integers(20, 120, (16, 72, 80)).astype(np.uint8)
    labels = np.zeros(raw.shape, np.uint8)
    labels[4:12, 8:24, 8:24], labels[4:12, 28:38, 30:44] = 1, 2
    raw[labels == 1] += 100
    for name, voxels in (("raw", raw), ("labels", labels)):
        tifffile.imwrite(folder / f"{name}.tif", voxels)
    import_volume(folder / "raw.tif", folder / "cell.zarr/raw", voxel_size=SIZE)
    import_volume(
        folder / "labels.tif", folder / "cell.zarr/labels/mito", voxel_size=SIZE, kind="labels"
    )
    return folder


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("level", ["", "#1"])
def test_a_verb_computes_the_same_from_a_url(small, tmp_path, monkeypatch, verb, level):
    monkeypatch.chdir(tmp_path)
    names = [f"cell.zarr/raw{level}", f"cell.zarr/labels/mito{level}"]
    with serve_files(small) as server:
        remote = VERBS[verb](*(f"{server.url}/{name}" for name in names), tmp_path / "remote")
    local = VERBS[verb](*(f"{small}/{name}" for name in names), tmp_path / "local")
    assert (remote.read(remote.roi) == local.read(local.roi)).all()
    assert (remote.voxel_size, remote.offset_nm) == (local.voxel_size, local.offset_nm)
    assert local.voxel_size == ((20.0,) * 3 if level else SIZE)
    assert local.offset_nm == ((5.0,) * 3 if level else (0.0,) * 3)


def test_scores_and_planes_from_a_url(small, tmp_path):
    labels = small / "cell.zarr/labels/mito"
    with serve_files(small) as server:
        remote = f"{server.url}/cell.zarr/labels/mito"
        assert evaluate_volume(remote, remote) == evaluate_volume(labels, labels)
        export_volume(remote, tmp_path / "planes", like=f"{server.url}/cell.zarr/raw")
    planes = sorted((tmp_path / "planes").iterdir())
    assert (planes[0].name, len(planes)) == ("mito_0000.tif", 16)
    assert (tifffile.imread(planes) == tifffile.imread(small / "labels.tif")).all()


def test_a_coarser_level_overlays_the_finer_one_only_at_one_voxel_size(small, tmp_path):
    with pytest.raises(ValueError, match="both must have one voxel size"):
        evaluate_volume(small / "cell.zarr/labels/mito", f"{small}/cell.zarr/labels/mito#1")


def test_a_prediction_from_a_url(cell, run, tmp_path):
    options = {"roi": ":8,:16,8:24", "device": "cpu"}
    with serve_files(cell) as server:
        remote = predict_volume(
            run,
            f"{server.url}/cell.zarr/raw",
            tmp_path / "a",
            mask=f"{server.url}/cell.zarr/raw",
            **options,
        )
        raw = cell / "cell.zarr/raw"
        local = predict_volume(run, raw, tmp_path / "b", mask=raw, **options)
        assert (remote.read(remote.roi) == local.read(local.roi)).all()
        Path(tmp_path / "in.toml").write_text(
            f'device = "cpu"\n[[input]]\nraw = "{server.url}/cell.zarr/raw"\nroi = ":8,:16,8:24"\n'
            f'mask = "{server.url}/cell.zarr/raw"\n'
            f'[[input.model]]\ncheckpoint = "{run}"\nout = "a"\n'
        )
        (out,) = predict_inputs(PredictionInputs.from_toml(tmp_path / "in.toml"))  # is finished
    assert out == (tmp_path / "a").resolve()
    (tmp_path / "in.toml").write_text(
        '[[input]]\nraw = "r"\n[[input.model]]\ncheckpoint = "c"\nout = "s3://bucket/p"\n'
    )
    with pytest.raises(
        ValueError, match=r"'input.0.model.0.out': s3://\.\.\. is a URL, and outputs"
    ):
        PredictionInputs.from_toml(tmp_path / "in.toml")


def test_a_session_of_a_url_is_in_the_working_directory(cell, run, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    with serve_files(cell) as server:
        volume, session = open_session(f"{server.url}/cell.zarr/raw")
        with session:
            assert session.folder == Path("cell.zarr.raw.annotations")
            assert f"its annotations are in {tmp_path}/cell.zarr.raw.annotations" in caplog.text
            window = window_grid_of(volume, 24)[0]
            prediction = predict_window(volume, window, run, session)
            assert prediction.probability.shape == window.shape
            annotation = session.open_structure("mito")
            annotation.accept_window(window, prediction.probability > 127)
            labels = save_labels(volume, session, "mito", Path("labels/mito"))
    assert labels.shape == window.shape


@pytest.mark.parametrize("name", ["stack.tif", "cell.zarr/raw#1"])
def test_a_session_of_a_file_and_of_a_level(small, tmp_path, name):
    (tmp_path / "cell.zarr").symlink_to(small / "cell.zarr")
    tifffile.imwrite(
        tmp_path / "stack.tif", tifffile.imread(small / "raw.tif"), imagej=True,
        resolution=(100, 100), metadata={"axes": "ZYX", "spacing": 0.01, "unit": "um"},
    )  # fmt: skip
    volume, session = open_session(f"{tmp_path}/{name}", tmp_path / "session")
    with session:
        assert volume.voxel_size == pytest.approx((20.0,) * 3 if "#" in name else SIZE)
        window = window_grid_of(volume, 16)[0]
        session.open_structure("mito").accept_window(window, np.ones(window.shape, bool))
        saved = save_labels(volume, session, "mito", tmp_path / "labels")
        assert saved.offset_nm == volume.position_nm(window.offset)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A TIFF file of signed labels with the classes 1, 3, 5 and 6; 0 is background."""
    folder = tmp_path_factory.mktemp("classes")
    rows = np.random.default_rng(2).choice([0, 1, 3, 5, 6], (6, 8, 5)).astype(np.int16)
    voxels = rows.repeat(4, axis=2)
    voxels[0, 0, 0] = 32767
    path = folder / "classes.tif"
    tifffile.imwrite(path, voxels)
    import_volume(path, folder / "all", voxel_size=SIZE, kind="labels")
    return folder, voxels


def expected(voxels):
    return np.where(voxels == 32767, 255, np.isin(voxels, [3, 5, 6])).astype(np.uint8)


def test_import_stores_selected_ids_as_one(classes, tmp_path):
    folder, voxels = classes
    store = partial(import_volume, folder / "classes.tif", voxel_size=SIZE, kind="labels")
    labels = store(tmp_path / "l", options=ImportOptions(ids=IDS))
    assert (labels.read(labels.roi) == expected(voxels)).all()
    counts = describe_volume(tmp_path / "l")["voxels"]
    assert counts["foreground"] == np.isin(voxels, [3, 5, 6]).sum()
    assert counts["unlabelled"] == 1
    with pytest.raises(ValueError, match="no voxel with the ids 4,8-9"):
        store(tmp_path / "m", options=ImportOptions(ids=IdSelection.parse("3,4,8-9")))
    with pytest.raises(ValueError, match="is imported as an image; --ids is for labels"):
        import_volume(
            folder / "classes.tif", tmp_path / "m", voxel_size=SIZE, options=ImportOptions(ids=IDS)
        )
    assert not (tmp_path / "m").exists()


def test_other_ids_are_another_import(classes, tmp_path):
    folder, _ = classes
    store = partial(
        import_volume, folder / "classes.tif", tmp_path / "l", voxel_size=SIZE, kind="labels"
    )
    store(options=ImportOptions(ids=IDS))
    made = describe_volume(tmp_path / "l")["made_by"]["request"]
    assert made["ids"] == "3,5-6"
    store(overwrite=True)
    assert "ids" not in describe_volume(tmp_path / "l")["made_by"]["request"]


def test_scores_and_labels_of_selected_ids(classes, tmp_path, caplog):
    folder, _ = classes
    truth = folder / "all"
    selected = import_volume(
        folder / "classes.tif", tmp_path / "l", voxel_size=SIZE, kind="labels",
        options=ImportOptions(ids=IDS),
    )  # fmt: skip
    assert evaluate_volume(tmp_path / "l", truth, ids=IDS)["all"]["f1"] == 1
    assert evaluate_volume(tmp_path / "l", truth)["all"]["f1"] < 1
    assert caplog.messages == []
    evaluate_volume(tmp_path / "l", truth, ids=IdSelection.parse("7"))
    assert "has no scored voxel with the ids 7" in caplog.text
    preset = PRESETS["mito"].model_copy(
        update={"smallest_nm3": 0, "largest_hole_nm3": 0, "dilation_nm": 0}
    )
    labels = label_volume(truth, tmp_path / "m", preset, ids=IDS)
    assert (labels.read(labels.roi) == selected.read(selected.roi)).all()


def test_a_training_region_of_selected_ids(classes, tmp_path):
    folder, voxels = classes
    raw = import_volume(tifffile_of(tmp_path, voxels), tmp_path / "raw", voxel_size=SIZE)
    region = TrainingRegion(raw=raw.name, labels=folder / "all", ids=[3, "5-6"])
    config = TrainConfig(structure="mito", voxel_size=SIZE, train=[region])
    loaded = load_region(region, config)
    assert loaded.foreground_voxels == np.isin(voxels, [3, 5, 6]).sum()
    assert loaded.labelled_voxels == voxels.size - 1
    assert np.array_equal(np.asarray(loaded.target) == FOREGROUND, np.isin(voxels, [3, 5, 6]))
    assert "ids 3,5-6" in loaded.name
    stored = json.loads(config.model_dump_json())
    assert stored["train"][0]["ids"] == "3,5-6"
    assert TrainConfig.model_validate(stored).train == config.train


def test_other_ids_are_another_training(cell, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    text = (cell / "train.toml").read_text()
    settings = cell / "ids.toml"
    settings.write_text(text.replace("[[train]]", "[[train]]\nids = [1]"))
    with pytest.raises(FileExistsError, match=r"differs in train"):
        train_model(settings, out=tmp_path / "run", resume=True)
    settings.unlink()


def test_a_run_that_was_stored_without_ids_is_resumed(cell, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run/run.json"
    state = json.loads(file.read_text())
    for region in state["checkpoint"]["training"]["train"]:
        assert region.pop("ids") is None
        assert isinstance(region["raw"], str)
    file.write_text(json.dumps(state))
    result = train_model(cell / "train.toml", out=tmp_path / "run", resume=True)
    assert result["iteration"] == 6


def tifffile_of(folder, voxels):
    path = folder / "grey.tif"
    tifffile.imwrite(path, (voxels % 7).astype(np.uint8))
    return path


def test_paths_of_a_training_file_may_be_urls(tmp_path):
    (tmp_path / "train.toml").write_text(
        'structure = "mito"\nvoxel_size = [5, 5, 5]\n'
        '[[train]]\nraw = "s3://bucket/c.n5/em#1"\nlabels = "c.h5:/labels"\nids = "1-3"\n'
    )
    (region,) = TrainConfig.from_toml(tmp_path / "train.toml").train
    folder = tmp_path.resolve()
    assert [str(region.raw), str(region.labels)] == [
        "s3://bucket/c.n5/em#1", f"{folder}/c.h5:/labels",
    ]  # fmt: skip
    assert str(region.ids) == "1-3"


def test_info_counts_ids_and_lists_images(classes, small, capsys):
    folder, voxels = classes
    assert main(["info", f"{folder}/classes.tif", "--count", "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["ids"] == {str(n): int((voxels == n).sum()) for n in (1, 3, 5, 6)}
    assert fields["voxels"]["unlabelled"] == 1
    assert (fields["kind"], fields["voxel_size"]) == (None, [None, None, None])
    assert main(["info", f"{folder}/classes.tif"]) == 0
    lines = capsys.readouterr().out.splitlines()
    stated = dict(line.split("  ", 1) for line in lines if "not stated" in line)
    assert {"voxel size", "kind", "channels"} <= stated.keys()
    assert main(["info", f"{folder}/all"]) == 0
    assert "not counted; --count reads all voxels" in capsys.readouterr().out
    assert main(["info", f"{small}/cell.zarr", "--json"]) == 0
    images = json.loads(capsys.readouterr().out)["images"]
    assert {name: one["kind"] for name, one in images.items()} == {
        f"{small}/cell.zarr/labels/mito": "labels", f"{small}/cell.zarr/raw": "image",
    }  # fmt: skip
    assert main(["info", f"{small}/cell.zarr"]) == 0
    assert "OME-Zarr, 16 x 72 x 80 voxels, 10 x 10 x 10 nm, uint8, image" in capsys.readouterr().out


def test_no_ids_of_images_and_no_more_than_fit_into_memory(small, classes, monkeypatch, capsys):
    assert main(["info", f"{small}/cell.zarr/raw", "--count"]) == 2
    assert "is an image; --count is for labels" in capsys.readouterr().err
    monkeypatch.setattr("asem.workflows.id_counts.MAX_IDS", 3)
    assert main(["info", f"{classes[0]}/all", "--count"]) == 2
    assert "has more than 3 ids, too many to be listed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clahe", "raw", "s3://bucket/out"], "s3://... is a URL, and outputs are local paths"),
        (["instances", "raw", "out", "--sizes", "http://h/t.csv"], "outputs are local paths"),
        (["info", "ftp://host/raw"], "ftp:// is not a URL that can be read; use s3://"),
        (["info", "https://me:secret@host/raw"], "contains a user, a query or a fragment"),
        (["info", "raw.zarr#x"], "there is nothing at raw.zarr#x"),
        (["evaluate", "a", "b", "--ids", "0"], "ids 0: give ids of objects and ranges from 1 on"),
        (["mask", "http://127.0.0.1:9/raw", "out"], "the server cannot be reached"),
    ],
)
def test_errors_are_one_line(words, message, tmp_path, monkeypatch, quick_retries, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert message in line
    assert "secret" not in line
    assert list(tmp_path.iterdir()) == []


def test_ids_on_the_command_line(classes, tmp_path, capsys):
    folder, voxels = classes
    words = ["import", f"{folder}/classes.tif", f"{tmp_path}/l", "--voxel-size", "10"]
    assert main([*words, "--kind", "labels", "--ids", "3,5-6"]) == 0
    assert (
        main(["labels", f"{folder}/all", f"{tmp_path}/m", "--structure", "mito", "--ids", "3"]) == 0
    )
    assert main(["evaluate", f"{tmp_path}/l", f"{folder}/all", "--ids", "3,5-6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["all"]["f1"] == 1
    labels = open_volume(tmp_path / "l")
    assert (labels.read(labels.roi) == expected(voxels)).all()


def test_a_stated_offset_is_not_replaced(small, tmp_path, capsys):
    words = ["import", f"{small}/cell.zarr/raw", f"{tmp_path}/out", "--offset-nm", "1,2,3"]
    assert main(words) == 2
    assert "states its own offset" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_16_bit_source_without_window_is_to_be_imported(tmp_path):
    tifffile.imwrite(
        tmp_path / "raw.tif", np.zeros((3, 4, 5), np.uint16), imagej=True, resolution=(100, 100),
        metadata={"axes": "ZYX", "spacing": 0.01, "unit": "um"},
    )  # fmt: skip
    assert open_volume(tmp_path / "raw.tif").dtype == np.uint16
    with pytest.raises(ValueError, match="has no contrast window; import it"):
        clahe_volume(tmp_path / "raw.tif", tmp_path / "out")
