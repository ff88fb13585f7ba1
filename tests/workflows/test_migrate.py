import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest

from asem.annotate.graphcut import GraphCutConfig
from asem.training.config import TrainConfig
from asem.training.labelled_regions import load_region
from asem.volume.address import Address
from asem.volume.sources import open_volume
from asem.workflows.importing import import_volume
from asem.workflows.migrate import MigrationOptions, migrate_file
from asem.workflows.prediction_inputs import PredictionInputs
from chunked import write_zarr

SETTINGS = """
directories:
    runs: ~/runs
    data: data
training:
    data:
    iterations: 200000
    input_size_voxels: [204, 204, 204]
    output_size_voxels: [110, 110, 110]
    optimizer: {lr: 0.00003, weight_decay: 0.00003}
    reject: {min_masked: 0.05, reject_probability: 0.9}
    augmentation:
        elastic: {control_point_spacing: [32, 32, 32], jitter_sigma: [2, 2, 2], subsample: 4}
        intensity: {scale: 0.15, shift: 0.15}
        simple: {transpose_only: [0, 1, 2]}
    precache: {cache_size: 20, num_workers: 8}
validation:
    validate_every: 1000
data: {voxel_size: [5, 5, 5], downsample_factor: 1, num_classes: 2}
model:
    type: Unet
    num_fmaps: 32
    fmap_inc_factor: 2
    downsample_factors: [[2,2,2], [2,2,2], [2,2,2]]
    constant_upsample: True
loss: {type: cross_entropy_scaling, weight: [1.0, 1.0]}
torch: {device: 0}
"""
"""Keys and values of the published config_training.yaml."""
GRAPHCUT = """
data_path: /data/20191021/03/
coords: [2320, 845, 398, 240]
z_limits: [126, 560]
n_superpixels: 12000
n_jobs: 16
use_gmm: False
delta: 1
lamda: 10
"""
"""Keys and values of a published gc_segment config."""


def dataset(**changes):
    """Return a dataset like those of the published data configs; None removes a key."""
    full = {
        "file": "cell_1.zarr",
        "offset": [10, 4, 2],
        "shape": [6, 8, 10],
        "voxel_size": [5, 5, 5],
        "raw": "volumes/raw_equalized_0.02",
        "labels": {"volumes/labels/er": 1},
        **changes,
    }
    return {key: value for key, value in full.items() if value is not None}


def write(folder, datasets, name="data.json"):
    path = folder / name
    path.write_text(datasets if isinstance(datasets, str) else json.dumps(datasets))
    return path


def migrated(file, out=None, **options):
    text, result = migrate_file(file, out=out, options=MigrationOptions(**options))
    return tomllib.loads(text), {note.key: note for note in result.notes}


@pytest.fixture
def cell(tmp_path, rng):
    """A cell in the published layout, whose first voxel is (8, 0, 0) voxels from the origin."""
    attributes = {"offset": [40, 0, 0], "resolution": [5, 5, 5]}
    raw = rng.integers(0, 255, (20, 30, 40), dtype=np.uint8)
    labels = np.zeros(raw.shape, np.uint32)
    labels[2:8, 4:12, 2:12] = 7
    volumes = tmp_path / "cell_1.zarr/volumes"
    write_zarr(volumes / "raw_equalized_0.02", raw, attributes)
    write_zarr(volumes / "labels/er", labels, attributes)
    write_zarr(volumes / "mask", np.ones(raw.shape, np.uint8), attributes)
    return tmp_path


def test_the_offset_of_raw_is_subtracted(cell):
    file = write(cell, {"cell_1_er": dataset(mask="volumes/mask")})
    text, notes = migrated(file, cell / "train.toml")
    assert text["train"] == [
        {
            "raw": "cell_1.zarr/volumes/raw_equalized_0.02",
            "labels": "cell_1.zarr/volumes/labels/er",
            "mask": "cell_1.zarr/volumes/mask",
            "roi": "2:8,4:12,2:12",
        }
    ]
    assert "cell_1_er.offset" not in notes
    config = TrainConfig.from_toml(cell / "train.toml")
    assert (config.structure.name, config.voxel_size, config.recipe) == ("er", (5, 5, 5), "paper")
    region = load_region(config.train[0], config)
    assert region.foreground_voxels == region.labelled_voxels == 6 * 8 * 10


def test_without_raw_its_offset_is_assumed_to_be_0(tmp_path):
    out = tmp_path / "train.toml"
    text, notes = migrated(write(tmp_path, {"cell_1_er": dataset()}), out)
    assert text["train"][0]["roi"] == "10:16,4:12,2:12"
    assert notes["cell_1_er.offset"].kind == "assumption"
    assert "its own offset is assumed to be 0" in notes["cell_1_er.offset"].reason
    assert "# cell_1_er.offset: raw cannot be opened" in out.read_text()


def test_raw_without_an_offset(cell):
    folder = cell / "cell_1.zarr/volumes/raw_equalized_0.02"
    (folder / ".zattrs").unlink()
    text, notes = migrated(write(cell, {"a": dataset()}))
    assert text["train"][0]["roi"] == "10:16,4:12,2:12"
    assert "raw states no offset of its own" in notes["a.offset"].reason


def test_raw_whose_first_voxel_has_its_centre_at_0(cell, rng):
    tif = write_zarr(cell / "stack.zarr", np.zeros((20, 30, 40), np.uint8))
    image = cell / "new.zarr/raw"
    import_volume(tif, image, voxel_size=(5.0, 5.0, 5.0))
    assert open_volume(image).offset_nm == (0, 0, 0)
    text, _ = migrated(write(cell, {"a": dataset(file="new.zarr", raw="raw")}))
    assert text["train"][0]["roi"] == "10:16,4:12,2:12"


def test_raw_of_another_voxel_size(cell):
    folder = cell / "cell_1.zarr/volumes/raw_equalized_0.02"
    (folder / ".zattrs").write_text('{"offset": [40, 0, 0], "resolution": [5.24, 5, 5]}')
    text, notes = migrated(write(cell, {"a": dataset()}))
    assert text["train"][0]["roi"] == "2:8,4:12,2:12"
    assert "raw states (5.24, 5, 5) nm" in notes["a.voxel_size"].reason


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offset": [7, 4, 2]}, "the voxels -1:5,4:12,2:12 of raw of 20 x 30 x 40 voxels"),
        ({"offset": [23, 4, 2]}, "15:21,4:12,2:12"),
        ({"voxel_size": [6, 6, 6]}, "between two voxels of 6, 6, 6 nm"),
        ({"offset": None}, "key 'offset' is missing"),
        ({"shape": None}, "key 'shape' is missing"),
    ],
)
def test_rois_that_raw_does_not_have(cell, changes, message):
    out = cell / "train.toml"
    with pytest.raises(ValueError, match=r"dataset 'a'") as error:
        migrate_file(write(cell, {"a": dataset(**changes)}), out=out)
    assert message in str(error.value)
    assert not out.exists()


def test_without_offset_and_shape_all_of_raw_is_used(cell):
    text, notes = migrated(write(cell, {"a": dataset(offset=None, shape=None)}))
    assert "roi" not in text["train"][0]
    assert "uses all of raw" in notes["a.offset, shape"].reason


def test_several_classes(tmp_path):
    labels = {"volumes/labels/er": 1, "volumes/labels/mito": 2}
    file = write(tmp_path, {"a": dataset(labels=labels)})
    out = tmp_path / "er.toml"
    text, notes = migrated(file, out)
    assert text["structure"] == "er"
    assert text["train"][0]["labels"].endswith("labels/er")
    assert "--label-id 2" in notes["a.labels.volumes/labels/mito"].instead
    assert '# other class, 2: labels = "cell_1.zarr/volumes/labels/mito"' in out.read_text()
    text, notes = migrated(file, label_id=2)
    assert text["structure"] == "mito"
    assert text["train"][0]["labels"].endswith("labels/mito")
    assert "a.labels.volumes/labels/er" in notes
    with pytest.raises(ValueError, match="no dataset has labels of the class 3"):
        migrate_file(file, options=MigrationOptions(label_id=3))


def test_metric_masks_are_listed(tmp_path):
    masks = ["volumes/metric_masks/er", "volumes/metric_masks/b"]
    out = tmp_path / "t.toml"
    _, notes = migrated(write(tmp_path, {"a": dataset(metric_masks=masks)}), out)
    note = notes["a.metric_masks"]
    assert note.kind == "no counterpart"
    assert "--mask cell_1.zarr/volumes/metric_masks/er" in note.instead
    assert "one of several" in note.instead
    assert "cell_1.zarr/volumes/metric_masks/b" in out.read_text()


def test_datasets_without_labels_in_a_training(tmp_path):
    text, notes = migrated(write(tmp_path, {"a": dataset(), "b": dataset(labels=None)}))
    assert len(text["train"]) == 1
    assert "as background" in notes["b"].reason


def test_validation_and_settings(tmp_path):
    train = write(tmp_path, {"a": dataset()})
    val = write(tmp_path, {"b": dataset(offset=[100, 0, 0])}, "val.json")
    settings = write(tmp_path, SETTINGS, "config_training.yaml")
    out = tmp_path / "train.toml"
    _, notes = migrated(train, out, validation=(val,), settings=settings)
    config = TrainConfig.from_toml(out)
    paper = TrainConfig(recipe="paper", structure="er", voxel_size=(5, 5, 5), train=config.train)
    assert config == paper.model_copy(
        update={"iterations": 200_000, "device": "cuda:0", "validation": config.validation}
    )
    assert config.validation[0].roi == "100:106,0:8,0:10"
    lost = {key for key, note in notes.items() if note.kind == "no counterpart"}
    assert lost == {
        "directories.runs",
        "training.augmentation.elastic.subsample",
        "training.precache.cache_size",
        "training.precache.num_workers",
    }


def test_settings_that_name_their_data(tmp_path):
    write(tmp_path, {"a": dataset()})
    write(tmp_path, {"b": dataset()}, "val.json")
    text = SETTINGS.replace("    data:\n", "    data: data.json\n", 1)
    text = text.replace("validation:\n", "validation:\n    data: val.json,val.json\n")
    result, _ = migrated(write(tmp_path, text, "config.yaml"), tmp_path / "t.toml")
    assert (len(result["train"]), len(result["validation"])) == (1, 2)
    assert result["train"][0]["raw"].endswith("data/cell_1.zarr/volumes/raw_equalized_0.02")


def test_settings_of_a_run_that_sacred_stored(tmp_path):
    write(tmp_path, {"a": dataset()})
    settings = {"training": {"data": "data.json", "iterations": 7}, "seed": 5, "data": {}}
    text, _ = migrated(write(tmp_path, settings, "config.json"))
    assert (text["iterations"], text["seed"]) == (7, 5)


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ("num_classes: 2", "num_classes: 3", "data.num_classes", "asem has 2 only"),
        ("[204, 204, 204]", "[204, 204, 100]", "training.input_size_voxels", "cubes"),
        ("[[2,2,2],", "[[1,2,2],", "model.downsample_factors", "poolings are by 2"),
        ("lr: ", "learning: 1, lr: ", "training.optimizer.learning", "no key"),
    ],
)
def test_settings_without_counterpart(tmp_path, old, new, key, reason):
    settings = write(tmp_path, SETTINGS.replace(old, new), "s.yaml")
    _, notes = migrated(write(tmp_path, {"a": dataset()}), settings=settings)
    assert reason in notes[key].reason


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 0.00003", "lr: fast", "'training.optimizer.lr' cannot be 'fast'"),
        ("lr: 0.00003", "lr: -1", "'optimizer.learning_rate'"),
        ("voxel_size: [5, 5, 5]", "voxel_size: [4, 4, 4]", "that of the data"),
        ("iterations: 200000", "iterations: 2.5", "'training.iterations' cannot be 2.5"),
        ("lr: 0.00003", "lr: true", "'training.optimizer.lr' cannot be True"),
        ("iterations: 200000", "iterations: .inf", "'training.iterations' cannot be inf"),
        ("num_fmaps: 32", "num_fmaps: 1000000000", "'model.features'"),
    ],
)
def test_settings_out_of_range(tmp_path, old, new, message):
    settings = write(tmp_path, SETTINGS.replace(old, new), "s.yaml")
    with pytest.raises(ValueError, match=message) as error:
        migrate_file(write(tmp_path, {"a": dataset()}), options=MigrationOptions(settings=settings))
    assert "\n" not in str(error.value)


def test_a_prediction(cell):
    datasets = {"a/b": dataset(labels=None), "a b": dataset(labels=None, mask="volumes/mask")}
    (cell / "models/er").mkdir(parents=True)
    out = cell / "predict.toml"
    text, notes = migrated(write(cell, datasets), out, model=cell / "models/er")
    assert text["input"][0] == {
        "raw": "cell_1.zarr/volumes/raw_equalized_0.02",
        "roi": "2:8,4:12,2:12",
        "model": [{"checkpoint": "models/er", "out": "a_b.zarr/probability"}],
    }
    inputs = PredictionInputs.from_toml(out)
    assert [p.model[0].out for p in inputs.input] == [
        cell / "a_b.zarr/probability",
        cell / "a_b_2.zarr/probability",
    ]
    assert inputs.input[1].mask == Address(str(cell / "cell_1.zarr/volumes/mask"))
    assert "47 voxels less" in notes["a/b.offset, shape"].reason


def test_a_prediction_with_labels_names_the_command_that_scores(tmp_path):
    file = write(tmp_path, {"a": dataset()})
    _, notes = migrated(file, tmp_path / "p.toml", target="predict")
    assert notes["a.labels.volumes/labels/er"].instead == (
        "asem evaluate a.zarr/probability cell_1.zarr/volumes/labels/er"
    )


def test_prediction_settings_that_name_their_data(tmp_path):
    write(tmp_path, {"a": dataset()})
    settings = "directories: {data: /data}\nprediction: {data: data.json}"
    text, _ = migrated(write(tmp_path, settings, "config_prediction.yaml"))
    assert (Path.cwd() / text["input"][0]["raw"]).resolve() == Path(
        "/data/cell_1.zarr/volumes/raw_equalized_0.02"
    )


def fail(*_):
    raise OSError("no network")


def test_urls_are_kept_and_the_data_folder_may_be_one(tmp_path, monkeypatch):
    monkeypatch.setattr("asem.workflows.migrate_roi.open_source_image", fail)
    remote = dataset(file="s3://bucket/cell_1.zarr")
    text, _ = migrated(write(tmp_path, {"a": remote}))
    assert text["train"][0]["raw"] == "s3://bucket/cell_1.zarr/volumes/raw_equalized_0.02"
    text, _ = migrated(write(tmp_path, {"a": dataset()}), data_folder=Address.parse("s3://b/d"))
    assert text["train"][0]["labels"] == "s3://b/d/cell_1.zarr/volumes/labels/er"


@pytest.mark.parametrize(
    ("stated", "folder"),
    [
        ("s3://asem-project/datasets", "s3://asem-project/datasets"),
        ("file:///data/a%20b", "/data/a b"),
        ("~/datasets", "/home/user/datasets"),
    ],
)
def test_the_folder_of_the_data_is_a_url_or_below_the_home_folder(
    tmp_path, monkeypatch, stated, folder
):
    monkeypatch.setattr("asem.workflows.migrate_roi.open_source_image", fail)
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.chdir("/")
    write(tmp_path, {"a": dataset()})
    settings = SETTINGS.replace("data: data\n", f"data: {stated}\n")
    settings = settings.replace("    data:\n", "    data: data.json\n")
    text, _ = migrated(write(tmp_path, settings, "config_training.yaml"))
    raw = text["train"][0]["raw"]
    assert (raw if "://" in raw else f"/{raw}") == (
        f"{folder}/cell_1.zarr/volumes/raw_equalized_0.02"
    )


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("ftp://host/data", "ftp:// is not a URL that can be read"),
        ("~no_such_user/data", "there is no such user; give the path without ~"),
    ],
)
def test_folders_of_the_data_that_cannot_be_used(tmp_path, stated, message):
    write(tmp_path, {"a": dataset()})
    settings = f"directories: {{data: '{stated}'}}\nprediction: {{data: data.json}}"
    with pytest.raises(
        ValueError, match=rf"config_prediction.yaml: 'directories.data': .*{message}"
    ):
        migrated(write(tmp_path, settings, "config_prediction.yaml"))


def test_paths_are_relative_to_the_output(cell):
    (cell / "sub").mkdir()
    text, _ = migrated(write(cell, {"a": dataset()}), cell / "sub/train.toml")
    assert text["train"][0]["raw"] == "../cell_1.zarr/volumes/raw_equalized_0.02"


def test_names_are_printable_in_comments(tmp_path):
    out = tmp_path / "t.toml"
    migrated(write(tmp_path, {"a\n[x]\u2028": dataset(file='c"\\')}), out)
    assert TrainConfig.from_toml(out).train[0].raw.location.endswith("raw_equalized_0.02")
    assert "# a?[x]?" in out.read_text()


def test_graph_cut(tmp_path):
    out = tmp_path / "cut.toml"
    _, notes = migrated(write(tmp_path, GRAPHCUT, "mito.yaml"), out)
    config = GraphCutConfig.from_toml(out)
    assert (config.energy, config.mixture_components) == ("paper", 0)
    assert (config.paper.likelihood, config.paper.distance, config.paper.smoothness) == (1, 1, 10)
    assert (config.paper.supervoxels.number, config.paper.supervoxels.iterations) == (12_000, 10)
    assert notes["coords, z_limits"].instead.endswith("--roi 126:560,845:1085,2320:2718")
    assert notes.keys() == {"coords, z_limits", "data_path", "n_jobs"}


def test_graph_cut_with_mixture_and_other_keys(tmp_path):
    text, notes = migrated(write(tmp_path, "data_path: x\nlambda: 3\nother: [1]", "a.yml"))
    assert (text["mixture_components"], text["paper"]["smoothness"]) == (2, 3)
    assert "no key" in notes["other"].reason
    assert notes["use_gmm"].kind == "assumption"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_superpixels: many", "'n_superpixels' is 'many'; a number"),
        ("n_superpixels: 1e99", "number"),
        ("use_gmm: 3", "'use_gmm' is 3; true or false"),
        ("coords: [1, 2, 3]", "'coords' is .*4 whole numbers"),
        ("coords: [1, 2, 3, -4]", "'coords' is .*at least 0"),
        ("coords: [1, 2, 3, 0]", r"'coords' is \[1, 2, 3, 0\]; width and height are at least 1"),
        ("coords: [0, 0, 3, 4]\nz_limits: [9, 9]", r"'z_limits' is \[9, 9\]; the second is larger"),
        ("data_path: x\ndelta: .nan", "likelihood"),
    ],
)
def test_graph_cut_out_of_range(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        migrate_file(write(tmp_path, text, "a.yaml"))
    assert "\n" not in str(error.value)
    assert "a.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON: Expecting"),
        ("[" * 5000, "is not JSON: it is nested too deeply"),
        ("[]", "holds no table"),
        ("{}", "lists no dataset"),
        ({"a": 1}, "is not a data config of the published pipeline"),
        ({"a": {}}, "key 'file' is missing; .*key 'raw' is missing; .*key 'voxel_size' is"),
        ({"a": dataset(voxel_size=[0, 5, 5])}, "'voxel_size': give three lengths"),
        ({"a": dataset(voxel_size=[math.inf, 5, 5])}, "'voxel_size': give three lengths"),
        ({"a": dataset(offset=[10**30, 0, 0])}, "'offset': give a list of 3"),
        ({"a": dataset(offset=[0.5, 0, 0])}, "'offset': give a list of 3"),
        ({"a": dataset(offset=[-1, 0, 0])}, "the voxels -1:5,0:8,0:10 of raw"),
        ({"a": dataset(shape=[0, 1, 1])}, "'shape': give a list of 3"),
        ({"a": dataset(labels={"x": "y"})}, "'labels': give a table"),
        ({"a": dataset(labels={"x": 1, "y": 1})}, "'labels': two arrays have the same class"),
        ({"a": dataset(labels={"x": 1})}, "give --structure"),
        ({"a": dataset(), "b": dataset(voxel_size=[4, 4, 4])}, "different voxel sizes"),
        ({"a": dataset(file="a\x00b")}, "'file'"),
        ({"a": dataset(file="a\nb")}, "'file'"),
        ('{"a": {"file": "\\ud800", "raw": "b", "voxel_size": [5, 5, 5]}}', "'file'"),
        ({"a": dataset(file="x://b/c")}, "is not a URL that can be read"),
    ],
)
def test_bad_data_configs(tmp_path, content, message):
    out = tmp_path / "out.toml"
    with pytest.raises(ValueError, match=message) as error:
        migrate_file(write(tmp_path, content), out=out)
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_unknown_keys_are_listed(tmp_path):
    _, notes = migrated(write(tmp_path, {"a": dataset(context=3)}))
    assert notes["a.context"].value == 3


def test_other_layouts(tmp_path):
    with pytest.raises(ValueError, match="no published configuration file"):
        migrate_file(write(tmp_path, "a: 1", "a.yaml"))
    with pytest.raises(ValueError, match=r"another suffix than \.json or \.yaml"):
        migrate_file(write(tmp_path, "a: 1", "a.txt"))
    with pytest.raises(ValueError, match=r"names no data config; run: asem migrate DATA\.json"):
        migrate_file(write(tmp_path, SETTINGS, "b.yaml"))
    with pytest.raises(ValueError, match="--model is for predictions"):
        migrate_file(
            write(tmp_path, {"a": dataset()}), options=MigrationOptions(model=tmp_path / "m")
        )


def test_the_output_replaces_only_migrated_files(tmp_path):
    file, out = write(tmp_path, {"a": dataset()}), tmp_path / "train.toml"
    text, _ = migrate_file(file, out=out)
    assert out.read_text() == text
    with pytest.raises(FileExistsError, match="give --overwrite"):
        migrate_file(file, out=out)
    out.write_text(f"{text}# changed")
    migrate_file(file, out=out, overwrite=True)
    assert out.read_text() == text
    out.write_text("mine = 1")
    with pytest.raises(FileExistsError, match="is not a migrated file of asem"):
        migrate_file(file, out=out, overwrite=True)
    assert out.read_text() == "mine = 1"
    with pytest.raises(ValueError, match=r"ends in \.toml"):
        migrate_file(file, out=tmp_path / "train.json")
    (tmp_path / "link.toml").symlink_to(out)
    with pytest.raises(FileExistsError, match="symbolic link"):
        migrate_file(file, out=tmp_path / "link.toml", overwrite=True)


def test_a_structure_of_a_toml_file(tmp_path):
    (tmp_path / "nucleus.toml").write_text('name = "nucleus"')
    file = write(tmp_path, {"a": dataset(labels={"volumes/labels/nucleus": 1})})
    out = tmp_path / "train.toml"
    migrated(file, out, structure=str(tmp_path / "nucleus.toml"))
    assert TrainConfig.from_toml(out).structure.name == "nucleus"
