"""Reports of runs, images, results and tables: what is found, read and written."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from asem.cli import main
from asem.measure.object_table import OBJECT_COLUMNS
from asem.tables import read_table, write_table
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows import report
from asem.workflows.evaluate import evaluate_predictions
from asem.workflows.evaluation_inputs import EvaluationOptions
from asem.workflows.measure import measure_instances
from asem.workflows.report import make_report
from asem.workflows.reports import inputs, place_counts, planes, sampling
from asem.workflows.reports.images import Layers, ReportImage
from asem.workflows.reports.inputs import find_inputs
from asem.workflows.reports.layers import OpenLayers, foreground_of, read_grey
from asem.workflows.reports.places import describe_places
from asem.workflows.reports.sampling import SampledBox, sample
from asem.workflows.reports.scored import Zone


@pytest.fixture(scope="module")
def results(cell, tmp_path_factory):
    """Folders with the objects of the labels, and the scores of two predictions."""
    folder = tmp_path_factory.mktemp("results")
    labels = cell / "cell.zarr/labels/mito"
    measure_instances(labels, folder / "objects", raw=cell / "cell.zarr/raw")
    options = EvaluationOptions(structure_name="mito", objects=True, curves=True, cube_nm=150)
    evaluate_predictions({"a": labels, "b": labels}, labels, options, out=folder / "scores")
    return folder


def page_of(*paths):
    return make_report(paths)[0].decode()


def test_a_run_has_its_curves_its_best_checkpoint_and_its_data(run):
    page = page_of(run)
    state = json.loads((run / "run.json").read_text())
    assert f"iteration {state['best']}" in page
    assert "Loss and F1 during the training" in page
    assert "There is no fit regime: it needs 6 validations" in page
    assert ":24,:,48:" in page
    assert "cross_entropy+dice" in page
    for row in state["metrics"]:
        assert f"<td>{row['train_loss']:.4g}</td>" in page


def test_a_folder_has_all_that_is_in_it(cell, run):
    content, inputs = make_report([cell])
    assert [name for name, _ in inputs.runs] == ["run"]
    assert {image.name for image in inputs.images} >= {"cell.zarr/raw", "cell.zarr/labels/mito"}
    page = content.decode()
    assert "Three planes" in page
    assert "40 x 48 x 72" in page
    assert "imported by asem import" in page


def test_everything_is_found_once_up_to_five_folders_deep(cell, run, results, tmp_path):
    deep = tmp_path / "a/b/c/mito/instances"
    shutil.copytree(cell / "cell.zarr/labels/mito", deep)
    shutil.copytree(results / "objects", tmp_path / "a/objects")
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "a/link").symlink_to(results)
    paths = [tmp_path, tmp_path / "run/run.json", tmp_path / "a", tmp_path / "a/b/c/mito", deep]
    found = find_inputs(paths)
    assert found.runs == [("run", tmp_path / "run")]
    assert [image.name for image in found.images] == ["a/b/c/mito/instances"]
    assert [one.name for one in found.results] == ["a/objects"]
    assert not find_inputs([tmp_path / "a/objects"]).images  # its figure is none


def test_equal_inputs_give_equal_pages(cell, run, results):
    assert page_of(cell, results) == page_of(cell, results)


def test_scores_of_several_predictions_have_intervals(results):
    page = page_of(results / "scores")
    scores = json.loads((results / "scores/scores.json").read_text())["predictions"]["b"]
    low, high = scores["intervals"]["all"]["f1"]
    assert f"{scores['all']['f1']:.3f} [{low:.3f}, {high:.3f}]" in page
    assert '<td class="words">b</td>' in page
    assert f"F1 1.00 [{low:.2f}, {high:.2f}]" in page


def test_results_that_are_named_by_a_file_are_those_of_the_folder(results):
    assert page_of(results / "scores/scores.json") == page_of(results / "scores").replace(
        str(results / "scores"), str(results / "scores/scores.json")
    ).replace("Report: scores", "Report: scores.json")


def test_a_table_is_named_alone(results):
    page = page_of(results / "scores/objects.csv", results / "objects/objects.parquet")
    assert re.findall(r"<h2 id=\S*>(.*)</h2>", page) == [
        "Summary",
        "Table: objects.csv",
        "Table: objects.parquet",
    ]
    assert "<img" not in page


def test_the_table_that_is_named_is_read(results, tmp_path, capsys):
    """Not another of a similar name, nor the other file of the pair."""
    shutil.copytree(results / "objects", tmp_path, dirs_exist_ok=True)
    for name in ("objects.csv", "objects.cell.csv", "OBJECTS.CSV"):
        (tmp_path / name).write_text("object_id,name\n4321,{}\n".format("x" * 5000))
        page = page_of(tmp_path / name)
        assert "<td>4321</td>" in page
        assert "x" * 199 + "…" in page
    texts = "volume_um3,n\n1,2\n?,3\n"
    for name, wrong in {"bad.csv": "", "b.csv": "a;b\n1;2\n", "t.csv": texts}.items():
        (tmp_path / name).write_text(wrong)
        words = ["report", str(tmp_path / name), "--out", str(tmp_path / "r.html")]
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"there is nothing to report: {name}" in line
        assert not (tmp_path / "r.html").exists()


def test_lists_in_a_table_are_text(tmp_path):
    frame = pd.DataFrame({"a": [np.array([1, 2]), None], "b": [[], [3]]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert '<td class="words">[1 2]</td>' in page_of(tmp_path / "t.parquet")


def test_objects_are_counted_and_related_to_the_volume(cell, results):
    frame = read_table(results / "objects/objects")
    share = frame["volume_um3"].sum() / (40 * 48 * 72 * 1e-6)
    page = page_of(cell / "cell.zarr", results / "objects")
    assert f"<strong>{len(frame)}</strong> <span>mitochondria</span>" in page
    (shown,) = re.findall(r"<strong>(.*) %</strong> <span>of the imaged volume", page)
    assert float(shown) == pytest.approx(100 * share, rel=0.01)
    assert OBJECT_COLUMNS["sphericity"] in page


def test_text_is_escaped(results, tmp_path):
    folder = tmp_path / "<script>alert(1)"
    shutil.copytree(results / "objects", folder)
    frame = pd.DataFrame({"name": ["<img src=x onerror=alert(1)>"], "size_nm": [3.14159]})
    frame.to_csv(folder / "more.csv", index=False)
    out = tmp_path / "r.html"
    words = ["report", str(folder), str(folder / "more.csv"), "--title", "</title><b>&"]
    assert main([*words, "--out", str(out)]) == 0
    page = out.read_text()
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;img src=x onerror" in page
    assert "<title>&lt;/title&gt;&lt;b&gt;&amp;</title>" in page
    assert "<td>3.142</td>" in page


def test_of_many_rows_the_largest_are_shown(tmp_path):
    frame = pd.DataFrame({"object_id": range(1500), "volume_um3": np.arange(1500.0) % 997})
    texts = {"object_id": "id", "volume_um3": "volume"}
    write_table(tmp_path / "objects", frame, texts, {})
    page = page_of(tmp_path / "objects.parquet")
    assert "1,000 of 1,500 rows, the largest by volume" in page
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    assert body.count("<tr>") == 1000
    shown = [int(n) for n in re.findall(r"<tr><td>(\d+)</td>", body)]
    smallest = frame["volume_um3"].nlargest(1000).min()
    assert set(frame["object_id"][frame["volume_um3"] > smallest]) < set(shown)
    assert shown == sorted(shown)


def test_nothing_to_report_is_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("note")
    out = tmp_path / "r.html"
    for name, words in (("empty", "nothing to report"), ("missing", "there is nothing at")):
        assert main(["report", str(tmp_path / name), "--out", str(out)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
    assert main(["report", str(tmp_path / "note.txt"), "--out", str(out)]) == 2
    assert main(["report", "--out", str(out)]) == 2
    assert "give" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


def test_damaged_results_are_a_warning_on_the_page(results, run, tmp_path, caplog):
    shutil.copytree(results / "scores", tmp_path / "scores")
    (tmp_path / "scores/scores.json").write_text('{"all": 3}')
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    (tmp_path / "run/run.json").write_text('{"state": "finished"}')
    shutil.copytree(results / "objects", tmp_path / "objects")
    (tmp_path / "objects/contacts.parquet").write_bytes(b"PAR1")
    for name in ("csv", "good", "odd"):
        shutil.copytree(results / "objects", tmp_path / name)
    (tmp_path / "csv/objects.parquet").unlink()
    (tmp_path / "odd/statistics.json").write_text(
        json.dumps({"groups": {"a": {"width_nm": {"median_interval_95_nm": [0, 10**400]}}}})
    )
    pd.DataFrame({"width_nm": [1.0], "flags": [""]}).to_parquet(tmp_path / "odd/pits.parquet")
    page = page_of(tmp_path)
    for name in ("scores", "run", "objects", "csv", "odd"):
        assert f'<p class="warning">{name} is not in this report: ' in page
    assert page.count("Objects: good") == 2
    assert len(caplog.records) == 6  # the summary is left out, too


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("all", {"f1": "x"}),
        ("intervals", []),
        ("intervals", {"cubes": 9, "edge_nm": [1, 2, 3], "all": {"f1": [1]}}),
        ("objects", {"truth_objects": 1}),
        ("boundary", {"mean_nm": "far"}),
        ("zone", 20),
    ],
)
def test_scores_of_another_form_are_left_out(results, tmp_path, key, value):
    shutil.copytree(results / "scores", tmp_path / "scores")
    document = json.loads((tmp_path / "scores/scores.json").read_text())
    document["predictions"]["b"][key] = value
    (tmp_path / "scores/scores.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=f"scores.json has no scores: {key}"):
        make_report([tmp_path])


def test_scores_without_a_part_are_reported(results, tmp_path):
    shutil.copytree(results / "scores", tmp_path / "scores")
    document = json.loads((tmp_path / "scores/scores.json").read_text())
    for name in ("intervals", "objects", "boundary", "zone"):
        document["predictions"]["b"][name] = None
    (tmp_path / "scores/scores.json").write_text(json.dumps(document))
    assert page_of(tmp_path).count('<tr><td class="words">b</td>') == 2


def test_an_unfinished_image_is_one_warning(cell, tmp_path):
    written = shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    unfinished = written / "predictions/probability"
    shutil.copytree(written / "raw", unfinished)
    (unfinished / "zarr.json").unlink()
    (unfinished / ".asem").mkdir()
    (unfinished / ".asem/journal.jsonl").touch()
    assert find_inputs([written]).warnings == [f"{unfinished} is unfinished and left out"]


def test_a_report_is_an_html_file(results, tmp_path, capsys):
    assert main(["report", str(results), "--out", str(tmp_path / "report.pdf")]) == 2
    assert "give it the suffix .html" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_report_is_replaced_only_with_overwrite(results, tmp_path, capsys):
    out = tmp_path / "new/r.html"
    words = ["report", str(results / "objects"), "--out", str(out)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == out.stat().st_size
    assert main(words) == 2
    assert "exists already; give --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_of_many_images_and_structures_some_are_shown(cell, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(inputs, "MAX_IMAGES", 2)
    monkeypatch.setattr(report, "MAX_STRUCTURES", 1)
    for name in ("er", "golgi", "mito"):
        shutil.copytree(cell / "cell.zarr/labels/mito", tmp_path / "labels" / name)
    page = page_of(tmp_path)
    assert '<p class="warning">1 of 2 structures are drawn' in page
    assert "2 of 3 images are in this report" in page
    assert "<h3>er</h3>" in page
    assert "<h3>golgi</h3>" not in page
    assert len(caplog.records) == 2


def make_pyramid(voxels, size=(10.0, 10.0, 10.0), **options):
    """Return a volume and a level of half of its resolution."""
    offset = tuple(one / 2 for one in size)
    coarse = tuple(2 * one for one in size)
    return (
        Volume(voxels, size, **options),
        Volume(voxels[::2, ::2, ::2], coarse, offset_nm=offset, **options),
    )


def test_a_box_is_read_from_the_level_that_is_fine_enough(rng):
    voxels = rng.integers(0, 255, (20, 24, 28), dtype=np.uint8)
    finest, half = make_pyramid(voxels)
    levels = (finest, half.with_array(255 - half.array))
    box = SampledBox((20.0, 0.0, 30.0), (10.0, 10.0, 10.0), (1, 24, 8))
    np.testing.assert_array_equal(sample(levels, box), voxels[2:3, :, 3:11])
    coarse = SampledBox((5.0, 5.0, 5.0), (20.0, 20.0, 20.0), (10, 12, 14))
    np.testing.assert_array_equal(sample(levels, coarse), 255 - voxels[::2, ::2, ::2])
    outside = SampledBox((-20.0, 0.0, 0.0), (10.0, 10.0, 10.0), (4, 24, 40))
    expected = np.pad(voxels, [(2, 0), (0, 0), (0, 12)])[:4]
    np.testing.assert_array_equal(sample(levels, outside), expected)
    far = SampledBox((1e6, 0.0, 0.0), (10.0, 10.0, 10.0), (2, 2, 2))
    assert not sample(levels, far).any()
    finer = SampledBox((0.0, 0.0, 0.0), (5.0, 10.0, 10.0), (4, 2, 2))
    assert (sample(levels, finer)[:, 0, 0] == voxels[[0, 0, 1, 2], 0, 0]).all()


def test_never_more_is_read_than_a_part(cell, tmp_path, monkeypatch):
    """Of a volume that is large compared with the limits, as 2000^3 voxels are with the usual."""
    monkeypatch.setattr(planes, "MAX_PIXELS", 24)
    monkeypatch.setattr(sampling, "MAX_COARSE_VOXELS", 20_000)
    monkeypatch.setattr(place_counts, "MAX_COUNTED_VOXELS", 20_000)
    monkeypatch.setattr(place_counts, "EDGE_NM", 160.0)
    shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    segmentation = tmp_path / "cell.zarr/predictions/mito/segmentation"
    shutil.copytree(cell / "cell.zarr/labels/mito", segmentation)
    read, sizes, fine = Volume.read, [], []

    def record(volume, roi):
        sizes.append(roi.size)
        fine.append(roi.size if volume.name == str(segmentation) else 0)
        return read(volume, roi)

    monkeypatch.setattr(Volume, "read", record)
    page = page_of(tmp_path)
    assert "mito, best place 1" in page
    assert 0 < max(sizes) <= 20_000
    assert 0 < sum(fine) < 40 * 48 * 72 / 2


def test_values_that_are_not_finite_do_not_change_the_others():
    voxels = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    for value, shown in ((np.nan, 0), (np.inf, 255)):
        voxels[0, 0, 0] = value
        (raw, _) = make_pyramid(voxels)
        box = SampledBox.of_roi(raw, raw.roi)
        grey = read_grey(OpenLayers(Layers("mito"), raw=[raw]), box)
        assert grey.ravel()[0] == shown
        window = np.arange(1, 8)
        assert grey.ravel()[1:].tolist() == np.rint(255 * (window - 1) / 6).tolist()


def test_probabilities_of_both_types_have_a_foreground():
    half = np.full((1, 1, 2), 128, np.uint8)
    half[0, 0, 0] = 127
    (volume, _) = make_pyramid(half)
    assert foreground_of(half, volume).tolist() == [[[False, True]]]
    assert foreground_of(half / np.float32(255), volume).tolist() == [[[False, True]]]
    with pytest.raises(ValueError, match="is uint16; a probability is uint8"):
        foreground_of(half.astype(np.uint16), volume)


def test_false_voxels_are_those_of_their_block(rng):
    shape = (5, 7, 11)
    one, two = (rng.integers(0, 2, shape, dtype=np.uint8) for _ in range(2))
    size = (500.0, 500.0, 500.0)
    labels, prediction = (make_pyramid(v, size, kind="labels")[:1] for v in (one, two))
    opened = OpenLayers(Layers("mito"), labels=labels, prediction=prediction)
    scored = Roi((0, 1, 2), (5, 6, 8))
    false, positive = place_counts.count_blocks(opened, scored)
    blocks = [one.slices for one in place_counts.split_into_places(scored, size)]
    assert false.tolist() == [int((one != two)[block].sum()) for block in blocks]
    assert positive.tolist() == [int((one & two)[block].sum()) for block in blocks]


def image_of(name, role):
    return ReportImage(name, f"cell.zarr/{name}", name, role, "mito", {}, {})


@pytest.fixture
def compared(rng):
    """Labels with a ball; a prediction that misses a corner, adds a box and is shifted by 1."""
    shape = (40, 60, 200)
    ball = np.sum((np.indices(shape).T - (20, 30, 50)) ** 2, axis=-1).T < 15**2
    predicted = np.roll(ball, 1, axis=2)
    predicted[10:14, 20:30, 150:160] = True
    labels, prediction = (
        make_pyramid(one.astype(np.uint8), kind="labels", name=name)
        for one, name in ((ball, "labels"), (predicted, "prediction"))
    )
    raw = make_pyramid(rng.integers(0, 255, shape, dtype=np.uint8))
    layers = Layers(
        "mito",
        raw=image_of("raw", "raw"),
        labels=image_of("the labels", "labels"),
        segmentation=image_of("segmentation", "segmentation"),
    )
    return OpenLayers(layers, raw=raw, labels=labels, prediction=prediction)


def test_the_worst_place_is_that_with_most_false_voxels(compared):
    """Outside of the exclusion zone, in which the shift is."""
    sections = describe_places(compared, Roi((0, 0, 0), (40, 60, 200)), Zone(20, 20))
    titles = [section.title for section in sections]
    assert titles == ["mito, worst place 1", "mito, best place 1"]
    pictures, facts, command = sections[0].parts
    rows = dict(facts.rows)
    assert rows["false positive"] == "400 voxels"
    assert rows["false negative"] == "0 voxels"
    assert rows["position (z, y, x)"] == "100, 240, 1540 nm"
    assert command.command == (
        "asem view cell.zarr/raw 'cell.zarr/the labels' cell.zarr/segmentation "
        "--position 100,240,1540"
    )
    (picture,) = pictures.pictures
    assert "400 false positive" in picture.alternative
    assert picture.right.start_um <= 1.54 <= picture.right.end_um
    good = dict(sections[1].parts[1].rows)
    assert good["F1 of the block"] == "1.00"


def test_the_position_is_within_the_largest_error(compared):
    """Not between two of them, where nothing is false."""
    for level in compared.prediction:
        factor = round(level.voxel_size[0] / 10)
        level.array[10 // factor : 14 // factor, 4 // factor, 150 // factor : 190 // factor] = 1
    (first, *_) = describe_places(compared, Roi((0, 0, 0), (40, 60, 200)), Zone(20, 20))
    assert dict(first.parts[1].rows)["position (z, y, x)"] == "100, 240, 1540 nm"


@pytest.mark.parametrize(
    ("path", "role", "structure"),
    [
        ("cell.zarr/predictions/mito/instances", "instances", "mito"),
        ("cell.zarr/predictions/mito/em", "segmentation", "mito"),
        ("cell.zarr/labels/er", "labels", "er"),
    ],
)
def test_what_an_image_of_other_programs_is_follows_from_its_folder(
    cell, tmp_path, path, role, structure
):
    shutil.copytree(cell / "cell.zarr/labels/mito", tmp_path / path)
    document = json.loads((tmp_path / path / "zarr.json").read_text())
    del document["attributes"]["asem"]["made_by"]
    (tmp_path / path / "zarr.json").write_text(json.dumps(document))
    (image,) = find_inputs([tmp_path]).images
    assert (image.role, image.structure, image.name) == (role, structure, path)


def test_without_a_zone_borders_count(compared):
    (first, *_) = describe_places(compared, Roi((0, 0, 0), (40, 60, 200)), Zone())
    rows = dict(first.parts[1].rows)
    assert rows["false negative"] != "0 voxels"


def test_unlabelled_voxels_are_not_false(compared):
    for level in compared.labels:
        level.array[:, :, level.shape[2] // 2 :] = 255
    sections = describe_places(compared, Roi((0, 0, 0), (40, 60, 200)), Zone(20, 20))
    assert [section.title for section in sections] == ["mito, best place 1"]
