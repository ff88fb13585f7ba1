"""`asem pits`: pits and vesicles of an analytic cell, whatever the blocks, workers and masks."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from asem.cli import main
from asem.measure.pits.table import PIT_COLUMNS, PIT_FLAGS, PIT_NOTES
from asem.tables import read_table
from asem.workflows.importing import import_volume
from asem.workflows.pits import FILES, count_kinds, measure_pits
from asem.workflows.review import REVIEW_PAGE, ReviewOptions
from pit_cells import Bulb, Endosome, render_cell
from pit_tables import make_table
from shards import small_shards

SIZE, SHAPE, OFFSET = (5.0, 5.0, 5.0), (150, 64, 148), (-100.0, -160.0, 0.0)
BULBS = {
    11: Bulb((75, 0, 140), 45, 30),
    12: Bulb((10, 10, 380), 55, 100),
    13: Bulb((32, -5, 600), 38, 32, coat=0),
    14: Bulb((210, 0, 150), 42),
    15: Bulb((490, 5, 160), 40),
    16: Bulb((490, -5, 560), 36, 30),
}
"""By their ids: a pit, an open one, a caveola, two vesicles, a pit of an endosome."""
KINDS = {
    11: ("pit", "endocytic", True),
    12: ("pit", "endocytic", True),
    13: ("pit", "endocytic", False),
    14: ("vesicle", "endocytic", True),
    15: ("vesicle", "secretory", True),
    16: ("pit", "secretory", True),
}
LENGTHS = {
    11: (120, 85, 30),
    12: (65, 100, 110),
    13: (70, 76, 59),
    14: (np.nan, 84, np.nan),
    15: (np.nan, 80, np.nan),
    16: (86, 71, 30),
}
"""Height, width and neck, nm, of spheres and cylinders."""
DUPLICATE, NOTHING, SPECK = 17, 18, 19
PAGE = (Path(__file__).parents[2] / "docs/pits.md").read_text()
MEMBRANE = ["--plasma-membrane", "membrane"]


def save(path, voxels, kind, offset_nm=OFFSET, size=SIZE):
    tifffile.imwrite(path.with_suffix(".tif"), voxels, photometric="minisblack")
    import_volume(path.with_suffix(".tif"), path, kind=kind, voxel_size=size, offset_nm=offset_nm)


def voxel_of(z, y, x):
    return tuple(np.rint((np.array([z, y, x]) - OFFSET) / SIZE).astype(int))


def add_faults(ids):
    """Add a mask in two parts, a second one of the same object, one without object, and a speck."""
    z, y, _ = voxel_of(*BULBS[15].centre_nm)
    ids[z, :, :][ids[z] == 15] = 0
    z, y, _ = voxel_of(*BULBS[14].centre_nm)
    below = ids[z:] == 14
    ids[z:][below] = DUPLICATE
    ids[z][ids[z] == DUPLICATE] = 0
    z, y, x = voxel_of(260, 0, 330)
    ids[z - 8 : z + 8, y - 8 : y + 8, x - 8 : x + 8] = NOTHING
    z, y, x = voxel_of(590, 0, 330)
    ids[z : z + 3, y : y + 3, x : x + 3] = SPECK


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Raw, ids, masks of one label, the plasma membrane, and the mask of the cell."""
    folder = tmp_path_factory.mktemp("cell")
    endosome = Endosome((320, -5, 560), 120)
    image, ids, depth = render_cell(SHAPE, SIZE, OFFSET, list(BULBS.values()), [endosome])
    ids[ids > 0] += 10
    save(folder / "masks", (ids > 0).astype(np.uint8), "labels")
    add_faults(ids)
    save(folder / "raw", np.rint(image).astype(np.uint8), "image")
    save(folder / "ids", ids, "labels")
    save(folder / "membrane", (np.abs(depth) < 8).astype(np.uint8), "labels")
    save(folder / "cell", (depth >= 0).astype(np.uint8), "labels")
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    for name in ("raw", "ids", "masks", "membrane", "cell"):
        (tmp_path / name).symlink_to(made / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def measured(made):
    """The results of the masks with ids, measured once."""
    review = ReviewOptions(page=True)
    inputs = made / "ids", made / "raw", made / "out"
    result = measure_pits(*inputs, plasma_membrane=made / "membrane", review=review)
    assert (result["objects"], result["used"]) == (9, 6)
    assert (result["pits"], result["vesicles"], result["caveolae"]) == (3, 2, 1)
    return made / "out"


def check_objects(table):
    """Assert kinds and lengths of the objects with the indices of `BULBS`."""
    for number, bulb in BULBS.items():
        row = table.loc[number]
        assert (row["kind"], row["location"], row["coated"]) == KINDS[number], number
        lengths = row[["height_nm", "width_nm", "neck_nm"]].to_numpy(float)
        np.testing.assert_allclose(lengths, LENGTHS[number], atol=6)
        errors = row[["height_se_nm", "width_se_nm", "neck_se_nm"]].to_numpy(float)
        assert np.array_equal(np.isnan(errors), np.isnan(lengths))
        assert row["eccentricity"] == pytest.approx(1, abs=0.08)
        assert row["major_nm"] == pytest.approx(2 * bulb.radius_nm, abs=6)
        place = row[["z_nm", "y_nm", "x_nm"]].to_numpy(float)
        np.testing.assert_allclose(place, bulb.centre_nm, atol=6)


def test_every_object_is_measured(measured):
    table = read_table(measured / "pits")
    assert list(table.columns) == list(PIT_COLUMNS)
    assert table["object_id"].tolist() == list(range(11, 20))
    for column, names in (("flags", PIT_FLAGS), ("notes", PIT_NOTES)):
        assert {name for text in table[column] for name in text.split(";") if name} <= set(names)
    table = table.set_index("object_id")
    both = table.loc[[14, DUPLICATE], "flags"]
    assert sorted(both) == ["", "duplicate"]
    table = table.rename({int(both.index[both == ""][0]): 14})
    check_objects(table)
    assert (table.loc[list(BULBS), "flags"] == "").all()
    assert table.loc[12, "notes"].split(";")[0] == "open"
    assert "fragments" in table.loc[15, "notes"]
    assert (table["notes"] == "fragments").sum() == 1
    for number, flag in ((NOTHING, "no_outline"), (SPECK, "small")):
        assert table.loc[number, "flags"] == flag
        assert table.loc[number, ["kind", "location"]].tolist() == ["", ""]
        assert np.isnan(table.loc[number, "width_nm"])
        place = OFFSET[0] + SIZE[0] * table.loc[number, "plane_index"]
        assert place == pytest.approx(table.loc[number, "z_nm"], abs=SIZE[0] / 2)
    assert table.loc[[11, 12, 13], "distance_to_membrane_nm"].tolist() == [0, 0, 0]
    # Sampled on the outline, and on points 20 nm apart.
    assert table.loc[[14, 15], "distance_to_membrane_nm"].tolist() == pytest.approx(
        [168, 450], abs=8
    )


def test_the_view_is_a_plane_of_the_image_through_the_object(measured):
    table = read_table(measured / "pits").set_index("object_id")
    for number in (11, 12, 13, 16):
        row = table.loc[number]
        axis = "zyx".index(row["plane_axis"])
        place = OFFSET[axis] + SIZE[axis] * row["plane_index"]
        assert abs(place - BULBS[number].centre_nm[axis]) <= 4 * SIZE[axis]
        assert row["view_major_nm"] == pytest.approx(row["major_nm"], rel=0.25)


def test_statistics_and_provenance_describe_the_table(measured):
    statistics = json.loads((measured / "statistics.json").read_text())
    flags = {"duplicate": 1, "no_outline": 1, "small": 1}
    assert (statistics["n"]["all"], statistics["n"]["used"]) == (9, 6)
    assert statistics["n"]["flags"] == flags
    used = {name: group["n"]["used"] for name, group in statistics["groups"].items()}
    assert (used["endocytic_coated_pits"], used["caveolae"]) == (2, 1)
    assert (used["endocytic_coated_vesicles"], used["secretory_coated_vesicles"]) == (1, 1)
    assert (used["secretory_coated_pits"], used["others"]) == (1, 0)
    document = json.loads((measured / "provenance.json").read_text())
    assert document["columns"]["pits"] == dict(PIT_COLUMNS)
    assert document["request"].keys() == {"segmentation", "raw", "plasma_membrane"}
    assert {path.name for path in measured.iterdir()} == {*FILES, REVIEW_PAGE, "provenance.json"}


def test_blocks_and_workers_change_no_bit(folder, measured, monkeypatch, two_workers):
    small_shards(48, monkeypatch.setattr)
    options = {"plasma_membrane": "membrane", "review": ReviewOptions(page=True)}
    measure_pits("ids", "raw", folder / "dask", executor=two_workers, **options)
    for name in FILES:
        if not name.endswith(".parquet"):  # which has the path of the input
            assert (folder / "dask" / name).read_bytes() == (measured / name).read_bytes(), name
    pages = [(path / REVIEW_PAGE).read_text() for path in (folder / "dask", measured)]
    assert len({re.search(r'id="data">(.*?)</script>', page)[1] for page in pages}) == 1


def test_one_label_and_the_border_of_a_mask(folder, measured, capsys, caplog):
    """Objects of one label are numbered; decisions of a review are used."""
    table = read_table(measured / "pits").set_index("object_id")
    (folder / "out").mkdir()
    rows = [("1", "reject", table.loc[13], 3.0), ("9", "accept", table.loc[15], 900.0)]
    lines = [f"{n},{word},{p.z_nm + by},{p.y_nm},{p.x_nm}" for n, word, p, by in rows]
    decisions = "\n".join(["object_id,decision,z_nm,y_nm,x_nm", *lines])
    (folder / "out/review.csv").write_text(decisions)
    words = ["pits", "masks", "raw", "--mask", "cell", "--out", "out", "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["objects"], result["used"], result["caveolae"]) == (6, 5, 0)
    assert (result["accepted"], result["rejected"]) == (0, 1)
    assert "1 of 2 decisions match no object and are not used (object_id 9)" in caplog.text
    assert (folder / "out/review.csv").read_text() == decisions
    found = read_table(folder / "out/pits")
    assert found["object_id"].tolist() == list(range(1, 7))
    gaps = np.linalg.norm(
        found[["z_nm", "y_nm", "x_nm"]].to_numpy()[:, None]
        - np.array([bulb.centre_nm for bulb in BULBS.values()]),
        axis=2,
    )
    found.index = np.array(list(BULBS))[gaps.argmin(axis=1)]
    check_objects(found)
    assert found["flags"].to_dict() == {n: "rejected" if n == 13 else "" for n in found.index}
    pits, kept = [11, 12, 13], ["distance_to_membrane_nm", "angle_to_membrane_deg"]
    np.testing.assert_allclose(found.loc[pits, kept], table.loc[pits, kept], atol=1)
    np.testing.assert_allclose(found.loc[15, kept[0]], table.loc[15, kept[0]], atol=6)
    assert json.loads((folder / "out/statistics.json").read_text())["n"]["flags"] == {"rejected": 1}
    request = json.loads((folder / "out/provenance.json").read_text())["request"]
    assert request.keys() == {"segmentation", "raw", "mask"}


def test_an_accepted_object_counts_in_spite_of_a_flag(folder, measured):
    ids = tifffile.imread((folder / "ids").resolve().with_suffix(".tif"))
    z, y, x = voxel_of(*BULBS[15].centre_nm)
    joined = np.where(ids == 15, 1, 0).astype(np.uint8)
    joined[z - 6 : z + 7, y - 6 : y + 7, x - 30 : x + 31] = 1  # longer than a single object
    save(folder / "long", joined, "labels")
    where = read_table(measured / "pits").set_index("object_id").loc[15]
    head, place = "object_id,decision,z_nm,y_nm,x_nm", f"{where.z_nm},{where.y_nm},{where.x_nm}"
    (folder / "mine.csv").write_text(f"{head}\n1,accept,{place}\n")
    words = ["pits", "long", "raw", *MEMBRANE, "--out", "out"]
    assert main([*words, "--decisions", "mine.csv"]) == 0
    row = read_table(folder / "out/pits").iloc[0]
    assert (row["flags"], row["kind"]) == ("", "vesicle")
    assert {"accepted", "merged"} <= set(row["notes"].split(";"))
    (folder / "out/review.csv").write_text(f"{head}\n")
    assert main([*words, "--overwrite"]) == 0
    assert read_table(folder / "out/pits").iloc[0]["flags"] == "merged"


def test_the_review_page_shows_every_object(measured):
    text = (measured / REVIEW_PAGE).read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    table = read_table(measured / "pits")
    assert [one["id"] for one in data["objects"]] == [str(n) for n in table["object_id"]]
    for one, (_, row) in zip(data["objects"], table.iterrows(), strict=True):
        assert one["p"] == pytest.approx([row["z_nm"], row["y_nm"], row["x_nm"]], abs=0.01)
        assert ";".join(one["flags"]) == row["flags"]
        titles = [picture["title"] for picture in one["pictures"]]
        assert titles[:3] == ["xy", "xz", "yz"]
        if not np.isfinite(row["width_nm"]):
            assert (len(titles), one["lines"][0]) == (3, "not measured")
            continue
        is_pit = row["kind"] == "pit"
        assert titles[3:] == ["through the axis" if is_pit else "through the long axes"]
        assert sum(" ± " in line for line in one["lines"]) == (3 if is_pit else 1)
        assert one["pictures"][3]["measured"].count("M") == (5 if is_pit else 2)


def test_objects_at_the_border_of_raw_are_cut(folder):
    raw = tifffile.imread((folder / "raw").resolve().with_suffix(".tif"))
    ids = tifffile.imread((folder / "ids").resolve().with_suffix(".tif"))
    save(folder / "part", raw[:, :, :29], "image")
    save(folder / "some", np.where((ids == 14) | (ids == 16), ids, 0).astype(np.uint8), "labels")
    measure_pits("some", "part", folder / "out", plasma_membrane="membrane")
    table = read_table(folder / "out/pits")
    assert table["object_id"].tolist() == [14, 16]
    assert [flags.split(";")[0] for flags in table["flags"]] == ["cut", "cut"]
    assert np.isnan(table["width_nm"].iloc[1])  # outside of the image
    assert json.loads((folder / "out/statistics.json").read_text())["n"]["used"] == 0


def test_a_membrane_beyond_the_segmentation_and_one_that_ends_within_it(folder, measured, caplog):
    """The segmentation starts below the membrane, whose labels end at x = 495 nm."""
    ids, membrane = (
        tifffile.imread((folder / name).resolve().with_suffix(".tif"))
        for name in ("ids", "membrane")
    )
    deep = np.where((ids >= 14) & (ids <= 16), ids, 0)[28:]
    place = (OFFSET[0] + 28 * SIZE[0], *OFFSET[1:])
    save(folder / "deep", deep.astype(np.uint8), "labels", offset_nm=place)
    membrane[-4:, :4] = 255
    save(folder / "part", membrane[:, :, :100], "labels")
    measure_pits("deep", "raw", folder / "out", plasma_membrane="part")
    assert "nm: necks, coats" not in caplog.text
    assert "part: unlabelled voxels count as background" in caplog.text
    table = read_table(folder / "out/pits").set_index("object_id")
    whole = read_table(measured / "pits").set_index("object_id")
    distances = table["distance_to_membrane_nm"]
    assert distances[14] == pytest.approx(
        whole["distance_to_membrane_nm"].loc[[14, 17]].min(), abs=4
    )
    assert table["location"].to_dict() == {14: "endocytic", 15: "", 16: ""}
    assert table["flags"].to_dict() == {14: "", 15: "no_location", 16: "no_location"}
    assert distances.isna().to_dict() == {14: False, 15: True, 16: True}
    assert table["kind"].to_dict() == {14: "vesicle", 15: "vesicle", 16: "pit"}


def test_grey_values_and_ids_of_any_dtype(folder, measured):
    raw = tifffile.imread((folder / "raw").resolve().with_suffix(".tif"))
    ids = tifffile.imread((folder / "ids").resolve().with_suffix(".tif"))
    numbers = np.zeros(20, np.uint64)
    numbers[[15, SPECK]] = 2**40 + 1, 2**63
    save(folder / "vesicle", numbers[ids], "labels")
    expected = read_table(measured / "pits").set_index("object_id").loc[15]
    grey = {"uint16": raw.astype(np.uint16) * 64 + 1000, "float32": raw.astype(np.float32) / 255}
    for name, voxels in grey.items():
        save(folder / name, voxels, "image")
        measure_pits("vesicle", name, folder / f"of {name}", plasma_membrane="membrane")
        table = read_table(folder / f"of {name}/pits")
        assert table["object_id"].tolist() == [2**40 + 1, 2**63]
        assert table["flags"].tolist() == ["", "small"]
        assert table["width_nm"].iloc[0] == pytest.approx(expected["width_nm"], abs=0.01)
    zarr.open_array(folder / "float32/0", mode="r+")[:] = np.nan
    review = ReviewOptions(page=True)
    measure_pits("vesicle", "float32", folder / "nan", plasma_membrane="membrane", review=review)
    assert read_table(folder / "nan/pits")["flags"].tolist() == ["cut", "small"]


def test_each_used_object_is_of_one_kind(rng):
    table = make_table(rng, deep=2, caveola=3, vesicle=4, secretory=5, inner=6)
    table.loc[table["kind"] == "pit", "coated"] = False
    table.loc[0, "flags"] = "cut"
    expected = {"objects": 20, "used": 19, "pits": 5, "vesicles": 10, "caveolae": 4}
    assert count_kinds(table) == expected  # secretory pits are no caveolae


def refused(capsys, *words):
    assert main(["pits", *words]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("asem: ")]
    return line


def test_messages_of_invalid_input(folder, capsys, caplog, rng):
    before = {*folder.iterdir()}
    none = np.zeros(SHAPE, np.uint8)
    grey = rng.integers(1, 250, SHAPE).astype(np.uint8)
    save(folder / "empty", none, "labels")
    save(folder / "full", none + 1, "labels")
    save(folder / "coarse", grey[::4, ::4, ::4], "image", size=(20.0,) * 3)
    save(folder / "coarse_membrane", none[::4, ::4, ::4] + 1, "labels", size=(20.0,) * 3)
    save(folder / "far", grey[:9, :9, :9], "image", offset_nm=(9000.0, 0.0, 0.0))
    save(folder / "far_membrane", none[:9, :9, :9] + 1, "labels", offset_nm=(9000.0, 0, 0))
    save(folder / "corner", grey[:9, :9, :9], "image")
    (folder / "file").write_text("mine")
    lines = {
        ("empty", "raw", *MEMBRANE): "has no pits: all voxels are background",
        ("raw", "raw", *MEMBRANE): "is an image",
        ("ids", "ids", *MEMBRANE): "holds labels",
        ("ids", "coarse", *MEMBRANE): "coarse has voxels of 20 x 20 x 20 nm",
        ("ids", "far", *MEMBRANE): "no voxel in common",
        ("ids", "corner", *MEMBRANE): "none of the 9 pits of ids is within the raw image",
        ("ids", "raw"): "give either --plasma-membrane with labels",
        ("ids", "raw", *MEMBRANE, "--mask", "cell"): "give either --plasma-membrane with labels",
        ("ids", "raw", "--plasma-membrane", "empty"): "empty has no membrane",
        ("ids", "raw", "--mask", "full"): "full has no border within the segmentation",
        ("ids", "raw", "--mask", "empty"): "empty has no border within the segmentation",
        ("ids", "raw", "--plasma-membrane", "raw"): "is an image",
        ("ids", "raw", "--plasma-membrane", "coarse_membrane"): "has voxels of 20 x 20 x 20 nm",
        ("ids", "raw", "--plasma-membrane", "far_membrane"): "no voxel in common",
        ("ids", "raw", "--plasma-membrane", "cell"): "cell is thicker than a membrane",
        ("ids", "raw", "--mask", "ids"): "ids is the segmentation of the pits",
        ("ids", "raw", "--mask", "no_such"): "there is nothing at",
        ("ids", "raw", "--plasma-membrane", "file:///no_such.zarr"): "no_such.zarr",
        ("ids",): "give SEGMENTATION and RAW, or --combine",
        ("ids", "raw", "--combine", "a"): "either SEGMENTATION and RAW, or --combine",
        (
            "--combine",
            "a",
            *MEMBRANE,
        ): "images, --review and --decisions are options of a single cell",
        ("ids", "raw", *MEMBRANE, "--decisions", "no.csv"): "no.csv is no file",
        (): "give SEGMENTATION and RAW, or --combine",
        ("ids", "raw", "membrane"): "membrane: too many arguments; `asem pits --help` lists them",
    }
    for words, message in lines.items():
        assert message in refused(capsys, *words, "--out", "new/deeper/out"), words
        assert not (folder / "new").exists()
    assert "file" in refused(capsys, "ids", "raw", *MEMBRANE, "--out", "file")
    save(folder / "empty_20", none[::4, ::4, ::4], "labels", size=(20.0,) * 3)
    words = ("empty_20", "coarse", "--plasma-membrane", "coarse_membrane")
    assert "has no pits" in refused(capsys, *words, "--out", "new")
    assert "has voxels of 20 x 20 x 20 nm: necks, coats and kinds are reliable" in caplog.text
    assert (folder / "file").read_text() == "mine"
    made = {"empty", "full", "coarse", "coarse_membrane", "far", "far_membrane", "corner", "file"}
    made |= {"empty_20"}
    assert {path.stem for path in {*folder.iterdir()} - before} == made


def test_the_page_works_as_it_stands(folder, measured, capsys):
    ids = tifffile.imread((folder / "ids").resolve().with_suffix(".tif"))
    place = folder / "cell.zarr"
    for name in ("predictions/ccp", "labels"):
        (place / name).mkdir(parents=True)
    one = np.where(ids == 15, ids, 0).astype(np.uint8)
    save(place / "predictions/ccp/segmentation", one, "labels")
    (place / "raw").symlink_to(folder / "raw")
    (place / "labels/plasma_membrane").symlink_to(folder / "membrane")
    for name in ("ccp_cell15", "ccp_cell17"):
        shutil.copytree(measured, folder / name)
    for command in re.findall(r"^(asem .*)$", PAGE, re.MULTILINE):
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    assert {path.name for path in Path("ccp").iterdir()} == {*FILES, "provenance.json"}
    combined, one = read_table(Path("ccp_all/pits")), read_table(measured / "pits")
    assert combined["cell"].tolist() == ["ccp_cell15"] * 9 + ["ccp_cell17"] * 9
    pd.testing.assert_frame_equal(combined[:9].drop(columns="cell"), one)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    capsys.readouterr()
    exec(compile(code, "docs/pits.md", "exec"), {})
    assert "vesicle  secretory  True" in capsys.readouterr().out
