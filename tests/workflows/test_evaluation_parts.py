"""Scores of objects, boundaries and curves: of the whole volume, for all blocks and workers."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage.metrics import variation_of_information
from sklearn.metrics import average_precision_score

from asem.cli import main
from asem.tables import read_table
from asem.volume.id_selection import IdSelection
from asem.workflows.evaluate import evaluate_predictions
from asem.workflows.evaluation_inputs import SINGLE, EvaluationOptions
from asem.workflows.evaluation_results import FILES
from asem.workflows.importing import import_volume

SHAPE = (21, 26, 31)
SIZE = (10.0, 10.0, 10.0)
ALL_PARTS = {"curves": True, "objects": True, "boundary": True}
OPTIONS = EvaluationOptions(
    zone_out_nm=20, zone_in_nm=10, centre_line_nm=10, max_distance_nm=60, cube_nm=70, **ALL_PARTS
)


def save(path, voxels, kind, size=SIZE, **options):
    tifffile.imwrite(path.with_suffix(".tif"), voxels, photometric="minisblack")
    import_volume(path.with_suffix(".tif"), path, voxel_size=size, kind=kind, **options)


@pytest.fixture(scope="module")
def arrays():
    """A probability, and labels with ids, unlabelled voxels at one side."""
    rng = np.random.default_rng(4)
    noise = ndimage.gaussian_filter(rng.standard_normal((2, *SHAPE)), (0, 1.6, 1.6, 1.6))
    noise /= noise.std()
    foreground = noise[0] > 0.9
    probability = 255 / (1 + np.exp(-6 * (noise[0] + 0.15 * noise[1] - 0.9)))
    labels = ndimage.label(foreground)[0].astype(np.uint64)
    labels[labels > 0] += 2**33
    labels[:, :5] = np.iinfo(np.uint64).max
    return np.rint(probability).astype(np.uint8), labels


@pytest.fixture(scope="module")
def stored(arrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    probability, labels = arrays
    save(folder / "p", probability, "image")
    save(folder / "labels", labels, "labels")
    save(folder / "segmentation", (probability >= 128).astype(np.uint8), "labels")
    mask = np.ones(SHAPE, np.uint8)
    mask[:, :, 27:] = 0
    save(folder / "mask", mask, "image")
    return folder


@pytest.fixture
def folder(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p", "labels", "segmentation", "mask"):
        (tmp_path / name).symlink_to(stored / name)
    return tmp_path


def blocks_of(monkeypatch, *shape):
    monkeypatch.setattr("asem.workflows.evaluate.BLOCK_SHAPE", shape)


def scores_of(folder, options=OPTIONS, prediction="p", **more):
    predictions = {SINGLE: folder / prediction}
    return evaluate_predictions(predictions, folder / "labels", options, **more)[SINGLE]


def with_options(**changes):
    fields = {name: getattr(OPTIONS, name) for name in OPTIONS.__dataclass_fields__}
    return EvaluationOptions(**{**fields, **changes})


@pytest.mark.parametrize("shape", [(8, 9, 10), (30, 5, 7)])
@pytest.mark.parametrize("prediction", ["p", "segmentation"])
def test_blocks_change_no_digit(folder, monkeypatch, prediction, shape):
    options = with_options(mask=folder / "mask", roi="1:,2:25,:30")
    whole = scores_of(folder, options, prediction)
    blocks_of(monkeypatch, *shape)
    assert scores_of(folder, options, prediction) == whole
    assert whole["objects"]["iou_50"]["true_positives"] > 3
    assert 0 < whole["centre_lines"]["recall"] <= 1
    assert whole["boundary"]["hausdorff_95_nm"] > 0


def test_objects_are_those_of_the_whole_arrays(folder, arrays):
    """Truth objects are ids, predicted ones components; unlabelled voxels count nowhere."""
    probability, labels = arrays
    scored = labels != np.iinfo(np.uint64).max
    truth = np.where(scored, labels, 0)
    parts, count = ndimage.label(probability >= 128)
    scores = scores_of(folder)["objects"]
    ids = np.unique(truth[truth > 0])
    assert scores["truth_objects"] == len(ids)
    ious, matched = [], set()
    for number in ids:
        own = (truth == number) & scored
        for part in np.unique(parts[own & (parts > 0)]):
            other = (parts == part) & scored
            iou = (own & other).sum() / (own | other).sum()
            if iou > 0.5:
                ious.append(iou)
                matched.add(int(part))
    counted = [
        part
        for part in range(1, count + 1)
        if part in matched or ((parts == part) & scored).sum() * 2 >= max(1, (parts == part).sum())
    ]
    found = scores["iou_50"]
    assert found["true_positives"] == len(ious)
    assert found["false_positives"] == len(counted) - len(ious)
    assert found["false_negatives"] == len(ids) - len(ious)
    assert found["sq"] == pytest.approx(np.mean(ious))
    inside = truth > 0
    numbers = np.unique(truth[inside], return_inverse=True)[1]
    split, merge = variation_of_information(numbers, parts[inside])
    assert scores["vi"]["split_bits"] == pytest.approx(split)
    assert scores["vi"]["merge_bits"] == pytest.approx(merge)


def test_average_precision_and_the_curve(folder, arrays):
    probability, labels = arrays
    scored = labels != np.iinfo(np.uint64).max
    scores = scores_of(folder)
    expected = average_precision_score(labels[scored] > 0, probability[scored])
    assert scores["average_precision"]["all"] == pytest.approx(expected)
    curve = {(row["out_nm"], row["in_nm"]): row for row in scores["zone_curve"]}
    keys = scores["all"].keys()
    assert {key: curve[20, 10][key] for key in keys} == scores["exclusion_zone"]
    assert {key: curve[0, 0][key] for key in keys} == scores["all"]
    assert scores["best_threshold"]["all"]["f1"] >= scores["all"]["f1"]


def test_an_interval_contains_its_score_and_needs_eight_cubes(folder):
    scores = scores_of(folder)
    intervals = scores["intervals"]
    assert intervals["cubes"] == 3 * 4 * 5
    assert intervals["edge_nm"] == [70, 70, 70]
    for region in ("exclusion_zone", "all"):
        for key in ("f1", "iou"):
            low, high = intervals[region][key]
            assert low < scores[region][key] < high
        low, high = intervals[region]["average_precision"]
        assert low < scores["average_precision"][region] < high
    low, high = intervals["objects"]["f1_iou_50"]
    assert low <= scores["objects"]["iou_50"]["f1"] <= high
    assert scores_of(folder)["intervals"] == intervals
    assert scores_of(folder, with_options(seed=1))["intervals"] != intervals
    few = scores_of(folder, with_options(cube_nm=300))["intervals"]
    assert few["cubes"] == 2
    assert few["all"]["f1"] is few["objects"]["f1_iou_50"] is None


def test_a_perfect_prediction(folder):
    labels = {SINGLE: folder / "labels"}
    scores = evaluate_predictions(labels, folder / "labels", OPTIONS)[SINGLE]
    assert scores["objects"]["iou_75"]["pq"] == 1
    assert scores["objects"]["vi"]["total_bits"] == 0
    assert scores["centre_lines"]["f1"] == 1
    assert scores["boundary"]["hausdorff_95_nm"] == 0
    assert scores["intervals"]["all"]["f1"] == (1, 1)


def thin(rows):
    """Labels of single rows of 12 voxels along x, in a volume of 5 nm."""
    labels = np.zeros((11, 40, 20), np.uint8)
    for y in rows:
        labels[5, y, 4:16] = 1
    return labels


@pytest.mark.parametrize(("shift", "found"), [(0, True), (3, True), (4, False)])
def test_thin_annotations_are_found_within_the_distance_of_their_preset(tmp_path, shift, found):
    """A thick prediction of a single row, shifted by `shift` voxels of 5 nm; npc: 15 nm."""
    save(tmp_path / "truth", thin([5, 30]), "labels", (5.0,) * 3)
    prediction = thin([5 + shift])
    save(tmp_path / "thin", prediction, "labels", (5.0,) * 3)
    thick = ndimage.binary_dilation(thin([5]), iterations=2).astype(np.uint8)
    save(tmp_path / "thick", thick, "labels", (5.0,) * 3)
    options = EvaluationOptions(structure_name="npc", objects=True)
    predictions = {"thin": tmp_path / "thin", "thick": tmp_path / "thick"}
    both = evaluate_predictions(predictions, tmp_path / "truth", options)
    assert both["thin"]["centre_lines"]["truth_found"] == int(found)
    assert both["thick"]["centre_lines"]["precision"] == 1
    assert both["thick"]["centre_lines"]["recall"] == 1 / 2
    assert both["thick"]["centre_lines"]["distance_nm"] == 15
    assert both["thick"]["all"]["f1"] < 0.2


def test_long_objects_and_far_ones_are_read_in_their_own_box(tmp_path, monkeypatch):
    monkeypatch.setattr("asem.workflows.evaluation_lines.SHARED_MARGIN", 0)
    blocks_of(monkeypatch, 4, 8, 5)
    save(tmp_path / "truth", thin([5, 30]), "labels", (5.0,) * 3)
    save(tmp_path / "p", thin([6, 31]), "labels", (5.0,) * 3)
    options = EvaluationOptions(objects=True, centre_line_nm=5)
    scores = evaluate_predictions({SINGLE: tmp_path / "p"}, tmp_path / "truth", options)[SINGLE]
    assert scores["centre_lines"]["truth_found"] == 2


def test_objects_too_large_for_a_centre_line_are_not_scored(folder, monkeypatch, caplog):
    monkeypatch.setattr("asem.workflows.evaluation_lines.MAX_BOX_VOXELS", 60)
    lines = scores_of(folder)["centre_lines"]
    assert lines["too_large"] > 0
    assert f"{lines['too_large']} objects are too large to be scored along" in caplog.text


def test_workers_and_a_folder_change_no_digit(folder, monkeypatch, two_workers):
    options = with_options(mask=folder / "mask")
    expected = scores_of(folder, options)
    blocks_of(monkeypatch, 11, 13, 16)
    assert scores_of(folder, options, executor=two_workers) == expected
    scores_of(folder, options, out=folder / "dask", executor=two_workers)
    blocks_of(monkeypatch, 99, 99, 99)
    assert scores_of(folder, options, out=folder / "whole") == expected
    names = sorted(path.name for path in (folder / "whole").iterdir())
    assert names == sorted([*FILES, "provenance.json"])
    for name in FILES:
        assert (folder / "dask" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    assert json.loads((folder / "whole/scores.json").read_text())["all"] == expected["all"]


class Stop(Exception):
    pass


def test_an_interrupted_run_resumes(folder, monkeypatch):
    blocks_of(monkeypatch, 11, 13, 16)
    scores_of(folder, out=folder / "at once")

    def stop_in(stopped_stage, stage, done, total):
        if stage == stopped_stage and 2 * done > total:
            raise Stop

    for stopped in ("evaluate", "objects", "boundaries", "centre lines"):
        progress = partial(stop_in, stopped)
        with pytest.raises(Stop):
            scores_of(folder, out=folder / "out", progress=progress)
        assert not (folder / "out/provenance.json").exists()
    with pytest.raises(ValueError, match="is an unfinished output of another request"):
        scores_of(folder, with_options(zone_out_nm=30), out=folder / "out")
    stages = set()

    def record(stage, done, total):
        if done == 0:
            stages.add(stage)

    scores_of(folder, out=folder / "out", progress=record)
    assert "evaluate" not in stages  # all of its blocks were done
    for name in FILES:
        assert (folder / "out" / name).read_bytes() == (folder / "at once" / name).read_bytes()


def test_the_tables(folder):
    scores = scores_of(folder, out=folder / "out")
    (row,) = read_table(folder / "out/scores").to_dict("records")
    assert row["prediction"] == "prediction"
    assert row["zone_f1"] == scores["exclusion_zone"]["f1"]
    assert (row["all_f1_low"], row["all_f1_high"]) == scores["intervals"]["all"]["f1"]
    assert row["object_50_pq"] == scores["objects"]["iou_50"]["pq"]
    assert row["line_recall"] == scores["centre_lines"]["recall"]
    assert row["hausdorff_95_nm"] == scores["boundary"]["hausdorff_95_nm"]
    assert row["cubes"] == scores["intervals"]["cubes"]
    assert not [name for name, value in row.items() if value is None or value != value]
    objects = read_table(folder / "out/objects").set_index("side")
    truth = objects.loc["truth"]
    assert truth["counts"].sum() == scores["objects"]["truth_objects"]
    assert truth["object_id"].min() > 2**33
    matched = truth[truth["best_iou"] > 0.5]
    assert len(matched) == scores["objects"]["iou_50"]["true_positives"]
    assert set(matched["best_partner"]) <= set(objects.loc["predicted"]["object_id"])
    covered = truth["line_covered"] * 2 >= truth["line_voxels"]
    assert covered[truth["line_voxels"] > 0].sum() == scores["centre_lines"]["truth_found"]
    curve = read_table(folder / "out/precision_recall")
    best = curve[curve["region"] == "all"].sort_values("f1").iloc[-1]
    assert best["threshold"] == scores["best_threshold"]["all"]["threshold"]
    distances = read_table(folder / "out/boundary_distances").set_index("direction")
    part = distances.loc["truth to prediction"]
    assert part["voxels"].sum() == scores["boundary"]["truth_to_prediction"]["voxels"]
    assert len(read_table(folder / "out/zone_curve")) == len(scores["zone_curve"])
    document = json.loads((folder / "out/provenance.json").read_text())
    assert list(document["columns"]["scores"]) == list(row)


def test_predictions_side_by_side_are_scored_on_the_voxels_that_all_share(folder, capsys):
    save(folder / "part", np.ones((21, 26, 10), np.uint8), "labels", offset_nm=(0.0, 0.0, 100.0))
    words = ["evaluate", "labels", "--prediction", "a=p", "--prediction", "b=part"]
    assert main([*words, "--json", "--objects"]) == 0
    result = json.loads(capsys.readouterr().out)["predictions"]
    assert list(result) == ["a", "b"]
    assert main(["evaluate", "p", "labels", "--roi", ":,:,10:20", "--json"]) == 0
    assert result["a"]["all"] == json.loads(capsys.readouterr().out)["all"]
    assert result["b"]["all"]["recall"] == 1
    assert main(["evaluate", "p", "labels", "--prediction", "b=part", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["predictions"]) == ["prediction", "b"]
    assert main([*words, "--out", "out", "--structure", "npc"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:4] == ["F1", "IoU", "AP", "F1"]
    assert [line.split()[0] for line in printed[1:3]] == ["a", "b"]
    assert printed[4].split()[:2] == ["F1", "(objects)"]
    assert [line.split()[0] for line in printed[5:7]] == ["a", "b"]
    assert read_table(folder / "out/scores")["prediction"].tolist() == ["a", "b"]
    assert (folder / "out/objects.png").read_bytes().startswith(b"\x89PNG")


def test_all_parts_are_printed(folder, capsys):
    words = ["evaluate", "p", "labels", "--zone-out-nm", "20", "--zone-in-nm", "10", "--out", "o"]
    assert main([*words, "--centre-line-nm", "10", "--cube-nm", "70"]) == 0
    printed = capsys.readouterr().out
    scores = json.loads((folder / "o/scores.json").read_text())
    for text in (
        f"{scores['objects']['iou_50']['pq']:.3f}",
        f"{scores['objects']['vi']['split_bits']:.3f} bits",
        f"{scores['average_precision']['all']:.3f}",
        f"{scores['centre_lines']['recall']:.3f}",
        f"{scores['boundary']['mean_nm']:.4g} nm",
        "bootstrap over 60 cubes of 70 x 70 x 70 nm",
        "{:.3f}-{:.3f}".format(*scores["intervals"]["all"]["f1"]),
        "beyond 200 nm",
        "width of the exclusion zone",
    ):
        assert text in printed
    assert max(map(len, printed.splitlines())) <= 100
    assert main(["evaluate", "segmentation", "labels"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3  # titles, scores, no zone
    assert main(["evaluate", "segmentation", "labels", "--objects", "--cube-nm", "1e5"]) == 0
    printed = capsys.readouterr().out
    assert "no 95 % intervals, which need 8 cubes (here 1, of " in printed
    assert "bootstrap" not in printed


def test_ids_select_the_objects(folder, arrays):
    ids = np.unique(arrays[1])[1:4]
    text = ",".join(str(i) for i in ids)
    options = EvaluationOptions(ids=IdSelection.parse(text), objects=True)
    components = ndimage.label(np.isin(arrays[1], ids))[1]
    assert scores_of(folder, options)["objects"]["truth_objects"] == components


def refused(capsys, *words):
    assert main(["evaluate", *words]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("asem: ")]
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("p", "name PREDICTION and LABELS, or LABELS and --prediction NAME=PATH"),
        ("labels --prediction p", "--prediction p: write NAME=PATH"),
        ("labels --prediction a=p --prediction a=p", "two predictions are called a"),
        ("p labels --prediction prediction=p", "two predictions are called prediction"),
        ("labels --prediction a/b=p", "a name has 1 to 60 letters, digits or characters of _.+-"),
        ("p p", "import labels with --kind labels"),
        ("p coarse", "both must have one voxel size"),
        ("p empty --objects", "empty has no scored objects in 0:21,0:26,0:31; objects cannot be"),
        ("p empty --out out", "empty has no scored objects"),
        ("p labels --scheduler tcp://h:1", "--scheduler needs --out"),
        ("p labels --curve-nm 9999", "999.9 steps of a voxel of 10 nm; 0 to 248 are allowed"),
        ("p labels --cube-nm 0 --objects", "the edge must be above 0 nm"),
        ("p labels --max-distance-nm 0", "it must be above 0 and at most"),
        ("p labels --centre-line-nm -1", "give a distance of at least 0 nm"),
    ],
)
def test_messages_of_invalid_input(folder, capsys, words, message):
    save(folder / "empty", np.zeros(SHAPE, np.uint8), "labels")
    save(folder / "coarse", np.ones(SHAPE, np.uint8), "labels", (20.0, 20.0, 20.0))
    assert message in refused(capsys, *words.split())
    assert not (folder / "out").exists()


def test_results_are_replaced_only_with_overwrite(folder, capsys):
    words = ["segmentation", "labels", "--out", "out"]
    assert main(["evaluate", *words]) == 0
    assert not (folder / "out/precision_recall.csv").exists()
    assert "give --overwrite" in refused(capsys, *words)
    shutil.copyfile(folder / "out/scores.csv", folder / "out/scores (edited).csv")
    assert "scores (edited).csv" in refused(capsys, *words, "--overwrite")
    (folder / "out/scores (edited).csv").unlink()
    assert main(["evaluate", *words, "--overwrite"]) == 0
