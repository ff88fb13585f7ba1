"""`asem pores`: the pores of an analytic envelope, whatever the blocks, workers and masks."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from asem.cli import main
from asem.measure.pores.table import PORE_COLUMNS, PORE_FLAGS, PORE_NOTES
from asem.tables import read_table
from asem.workflows.combine_pores import combine_pores
from asem.workflows.importing import ImportOptions, import_volume
from asem.workflows.pores import FILES, measure_pores
from asem.workflows.review import REVIEW_PAGE, ReviewOptions, choose_objects, load_decisions
from pores import Envelope, Look, Pore, axis_distance, render_envelope
from shards import small_shards

SIZE = (10.0, 10.0, 10.0)
SHAPE = (36, 56, 102)
OFFSET = (1000.0, -300.0, 50.0)
DIAMETERS = (72.0, 84, 88, 90, 92, 96, 104, 120)
PAGE = (Path(__file__).parents[2] / "docs/pores.md").read_text()
LEFT_OUT = 255
"""Unlabelled voxels: no pore."""


def save(path, voxels, kind, offset_nm=OFFSET, size=SIZE):
    source, options = path.with_suffix(".tif"), {"voxel_size": size, "offset_nm": offset_nm}
    if kind == "labels" and (voxels == LEFT_OUT).any():
        options["options"] = ImportOptions(unlabelled=LEFT_OUT)
    tifffile.imwrite(source, voxels, photometric="minisblack")
    import_volume(source, path, kind=kind, **options)


def place_pores(rng):
    """Two rows of four pores on a sphere of 2.5 µm, about 230 nm apart."""
    middle = np.add(OFFSET, np.multiply(SIZE, SHAPE) / 2)
    envelope = Envelope(middle, np.array([1.0, 0.0, 0.0]), 2500.0)
    pores = []
    for n, diameter in enumerate(DIAMETERS):
        row, column = divmod(n, 4)
        yx = np.array([230 * (row - 0.5), 230 * (column - 1.5)]) + rng.uniform(-12, 12, 2)
        z = 2500 - np.sqrt(2500**2 - (yx**2).sum())
        pores.append(Pore(middle + np.array([z, *yx]), diameter))
    return envelope, pores


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Raw; masks, and as ids; the pores; a speck and unlabelled voxels beside."""
    folder, rng = tmp_path_factory.mktemp("cell"), np.random.default_rng(5)
    envelope, pores = place_pores(rng)
    raw = render_envelope(SHAPE, SIZE, OFFSET, envelope, pores, Look(noise=6.0), rng)
    axes = [o + s * np.arange(n) for o, s, n in zip(OFFSET, SIZE, SHAPE, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    height, ids = envelope.height(points), np.zeros(SHAPE, np.uint8)
    for n, pore in enumerate(pores):
        rho = axis_distance(points, pore, envelope.normal_at(pore.centre_nm))
        ids[(rho < pore.diameter_nm / 2 + 25) & (np.abs(height) < 36)] = 11 + n
    ids[4:6, 4:6, 4:6] = 19
    ids[:2] = LEFT_OUT
    save(folder / "raw", np.clip(raw, 0, 255).astype(np.uint8), "image")
    save(folder / "ids", ids, "labels")
    save(folder / "masks", np.where((ids > 0) & (ids < LEFT_OUT), 1, ids), "labels")
    return folder, envelope, pores


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    for name in ("raw", "ids", "masks"):
        (tmp_path / name).symlink_to(made[0] / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def measured(made):
    """The results of the masks, measured once."""
    masks, raw, out = (made[0] / name for name in ("masks", "raw", "out"))
    measure_pores(masks, raw, out, review=ReviewOptions(page=True))
    return made[0] / "out"


def test_every_pore_is_measured(made, measured):
    _, envelope, pores = made
    table = read_table(measured / "pores")
    assert list(table.columns) == list(PORE_COLUMNS)
    assert table["pore_id"].tolist() == list(range(1, 10))
    assert (table["flags"] == "small;short").sum() == 1
    for column, names in (("flags", PORE_FLAGS), ("notes", PORE_NOTES)):
        assert {name for text in table[column] for name in text.split(";") if name} <= set(names)
    used = table[table["flags"] == ""].reset_index(drop=True)
    assert len(used) == len(pores)
    centres = used[["z_nm", "y_nm", "x_nm"]].to_numpy()
    for pore in pores:
        gaps = np.linalg.norm(centres - pore.centre_nm, axis=1)
        row = used.iloc[gaps.argmin()]
        assert gaps.min() < 10
        assert row["diameter_nm"] == pytest.approx(pore.diameter_nm, abs=8)
        normal = row[["normal_z", "normal_y", "normal_x"]].to_numpy(float)
        assert -normal @ envelope.normal_at(pore.centre_nm) > 0.97  # away from the nucleus
        assert row["axis_short_nm"] < row["axis_mid_nm"] <= row["axis_long_nm"]
    statistics = json.loads((measured / "statistics.json").read_text())
    assert statistics["n"] == {"all": 9, "used": 8, "flags": {"short": 1, "small": 1}}
    assert statistics["median_nm"] == pytest.approx(91, abs=5)
    assert statistics["spacing"]["median_nm"] == pytest.approx(230, abs=30)
    assert statistics["morans_i"]["permutations"] > 0
    assert statistics["envelope"]["closed"] is False


def test_blocks_and_workers_change_no_bit(folder, measured, monkeypatch, two_workers):
    small_shards(28, monkeypatch.setattr)
    page = ReviewOptions(page=True)
    measure_pores("masks", "raw", folder / "blocks", review=page)
    measure_pores("masks", "raw", folder / "dask", review=page, executor=two_workers)
    for name in (*FILES, REVIEW_PAGE):
        content = (measured / name).read_bytes()
        if not name.endswith((".parquet", ".html")):  # which have the path of the input
            assert (folder / "blocks" / name).read_bytes() == content
        assert (folder / "dask" / name).read_bytes() == (folder / "blocks" / name).read_bytes()


def test_ids_are_kept(folder, measured, capsys):
    words = ["pores", "ids", "raw", "--out", "out", "--up", "-y", "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["pores"], result["used"] == (9, 8)
    table, other = read_table(folder / "out/pores"), read_table(measured / "pores")
    assert table["pore_id"].tolist() == [*range(11, 20)]
    values = table.drop(columns="pore_id").sort_values("z_nm", ignore_index=True)
    others = other.drop(columns="pore_id").sort_values("z_nm", ignore_index=True)
    pd.testing.assert_frame_equal(values, others)
    document = json.loads((folder / "out/provenance.json").read_text())
    assert document["columns"]["pores"] == dict(PORE_COLUMNS)
    assert document["request"].keys() == {"segmentation", "raw", "up"}


def test_the_review_page_shows_every_pore(measured):
    text = (measured / REVIEW_PAGE).read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    table = read_table(measured / "pores")
    assert [one["id"] for one in data["objects"]] == [str(n) for n in table["pore_id"]]
    for one, (_, row) in zip(data["objects"], table.iterrows(), strict=True):
        assert one["p"] == pytest.approx([row["z_nm"], row["y_nm"], row["x_nm"]], abs=0.01)
        assert ";".join(one["flags"]) == row["flags"]
        is_measured = np.isfinite(row["diameter_nm"])
        titles = ["xy", "xz", "yz", *(["en face"] * int(is_measured))]
        assert [picture["title"] for picture in one["pictures"]] == titles
        assert all(picture["mask"] for picture in one["pictures"][:3])
        if not is_measured:
            assert one["lines"][0] == "not measured"
            continue
        xy, _, yz, face = one["pictures"]
        assert face["dots"].count("M") >= 18
        assert xy["measured"].count("L") == 36  # the normal is z: the rim is in this plane
        (left, right) = re.findall(r"M([\d.]+) ([\d.]+)h0", yz["dots"])
        gap = SIZE[1] * np.hypot(*np.subtract(np.float64(left), np.float64(right)))
        assert gap == pytest.approx(row["diameter_nm"], abs=4)
        assert (data["decisions"], data["unmatched"]) == ([], [])


def test_decisions_of_a_review_are_used(folder, measured, capsys, caplog):
    table = read_table(measured / "pores")
    speck, pore = table[table["flags"] != ""].iloc[0], table[table["flags"] == ""].iloc[2]
    rows = [("5", "reject", pore, 3.0), ("77", "accept", speck, 0.0), ("8", "reject", speck, 900)]
    lines = [f"{n},{word},{p.z_nm + by},{p.y_nm},{p.x_nm},µ" for n, word, p, by in rows]
    decisions = "\ufeff" + "\r\n".join(["object_id,decision,z_nm,y_nm,x_nm,comment", *lines])
    (folder / "out").mkdir()
    (folder / "out/review.csv").write_text("of an earlier review")
    (folder / "mine.csv").write_text(decisions, newline="")
    words = ["pores", "ids", "raw", "--out", "out", "--json"]
    assert "out/review.csv has no column object_id" in refused(capsys, *words[1:])
    assert main([*words, "--review", "--decisions", "mine.csv"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["used"], result["accepted"], result["rejected"]) == (7, 1, 1)
    (warning,) = [one.getMessage() for one in caplog.records if "decisions" in one.getMessage()]
    assert warning == "mine.csv: 1 of 3 decisions match no object and are not used (object_id 8)"
    assert (folder / "out/review.csv").read_bytes() == decisions.encode()
    found = read_table(folder / "out/pores").set_index("z_nm")
    assert found.loc[pore.z_nm, "flags"] == "rejected"
    assert found.loc[speck.z_nm, "flags"] == "small"
    assert found.loc[speck.z_nm, "notes"].endswith("accepted;short")
    others = found.drop(index=[pore.z_nm, speck.z_nm])
    assert (others["flags"] == "").all()
    statistics = json.loads((folder / "out/statistics.json").read_text())
    assert statistics["n"] == {"all": 9, "used": 7, "flags": {"rejected": 1, "small": 1}}
    facts = json.loads((folder / "out/provenance.json").read_text())["facts"]
    assert facts["review"] == {"accepted": 1, "rejected": 1, "unmatched": 1}
    text = (folder / "out/review.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert sorted(word for _, word, _ in data["decisions"]) == ["accept", "reject"]
    assert [one["id"] for one in data["unmatched"]] == ["8"]


def test_decisions_of_the_folder_are_used_unless_others_are_named(tmp_path):
    head, row = "object_id,decision,z_nm,y_nm,x_nm\n", "1,reject,0,0,0\n"
    assert not load_decisions(tmp_path, ReviewOptions()).decisions
    (tmp_path / "review.csv").write_text(head + row)
    own = load_decisions(tmp_path, ReviewOptions())
    assert (len(own.decisions), own.replaces) == (1, None)
    (tmp_path / "other.csv").write_text(head)
    other = load_decisions(tmp_path, ReviewOptions(decisions=tmp_path / "other.csv"))
    assert (other.decisions, other.replaces) == ([], head.encode())


def test_the_largest_objects_are_on_the_page(monkeypatch, caplog):
    sizes = np.array([3.0, 1, 2])
    assert choose_objects(sizes).tolist() == [0, 1, 2]
    monkeypatch.setattr("asem.workflows.review.MAX_REVIEW_OBJECTS", 2)
    assert choose_objects(sizes).tolist() == [0, 2]
    assert "review.html: 2 of 3 objects are on the page, the largest" in caplog.text


def test_pores_at_the_border_of_raw_are_cut(folder):
    raw = tifffile.imread(folder.joinpath("raw").resolve().with_suffix(".tif"))
    save(folder / "part", raw[:, :, :46], "image")
    measure_pores("masks", "part", folder / "out")
    table = read_table(folder / "out/pores")
    border = OFFSET[2] + 46 * SIZE[2]
    beyond = table["x_nm"] > border
    assert beyond.sum() == 4
    assert table["flags"][beyond].str.contains("cut").all()
    assert table["diameter_nm"][table["x_nm"] > border + 160].isna().all()
    assert not (table["flags"][table["x_nm"] < border - 200] == "cut").any()


def test_few_pores_have_no_statistics(folder):
    ids = tifffile.imread(folder.joinpath("ids").resolve().with_suffix(".tif"))
    for count in (1, 3):
        chosen = np.where((ids > 10) & (ids <= 10 + count), 1, 0).astype(np.uint8)
        save(folder / f"few{count}", chosen, "labels")
        measure_pores(f"few{count}", "raw", folder / f"out{count}")
        statistics = json.loads((folder / f"out{count}/statistics.json").read_text())
        assert statistics["n"]["used"] == count
        assert statistics["morans_i"]["p"] is None
        assert (statistics["shapiro_wilk"]["p"] is None) == (count < 3)
        assert (folder / f"out{count}/map.png").stat().st_size > 1000


def refused(capsys, *words):
    assert main(["pores", *words]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("asem: ")]
    return line


def test_messages_of_invalid_input(folder, capsys, rng):
    before = {*folder.iterdir()}
    save(folder / "empty", np.zeros(SHAPE, np.uint8), "labels")
    grey = rng.integers(1, 250, SHAPE).astype(np.uint8)
    save(folder / "grey", grey, "labels")
    save(folder / "coarse", grey[::2, ::2, ::2], "image", size=(20.0,) * 3)
    save(folder / "far", grey, "image", offset_nm=(9000.0, -300.0, 50.0))
    save(folder / "corner", grey[:, 50:, :10], "image", offset_nm=(1000.0, 200.0, 50.0))
    lines = {
        ("empty", "raw"): "has no pores: all voxels are background",
        ("raw", "raw"): "is an image",
        ("grey", "raw"): "most neighbouring voxels differ, as in grey values",
        ("masks", "masks"): "holds labels",
        ("masks", "coarse"): "coarse has voxels of 20 x 20 x 20 nm",
        ("masks", "far"): "no voxel in common",
        ("masks", "corner"): "none of the 9 pores of masks is within the raw image",
        ("masks",): "give SEGMENTATION and RAW, or --combine",
        ("masks", "raw", "--combine", "a"): "either SEGMENTATION and RAW, or --combine",
        ("masks", "raw", "--up", "w"): "up",
        ("masks", "raw", "--decisions", "no.csv"): "no.csv is no file",
        ("--combine", "a", "--review"): "--review and --decisions are options of a single cell",
        (): "give SEGMENTATION and RAW, or --combine",
    }
    for words, message in lines.items():
        assert message in refused(capsys, *words, "--out", "new/deeper/out"), words
        assert not (folder / "new").exists()
    assert "--out" in refused(capsys, "masks", "raw")
    made = {"empty", "grey", "coarse", "far", "corner"}
    after = {path.stem for path in {*folder.iterdir()} - before}
    assert after == made


def test_cells_are_combined(folder, measured, capsys):
    for name in ("a", "b"):
        shutil.copytree(measured, folder / name)
    words = ["pores", "--combine", "a", "b", "--out", "all", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 2
    table, one = read_table(folder / "all/pores"), read_table(measured / "pores")
    assert list(table.columns) == ["cell", *PORE_COLUMNS]
    assert table["cell"].tolist() == ["a"] * 9 + ["b"] * 9
    pd.testing.assert_frame_equal(table[table["cell"] == "a"].drop(columns="cell"), one)
    statistics = json.loads((folder / "all/statistics.json").read_text())
    single = json.loads((measured / "statistics.json").read_text())
    assert statistics["cells"].keys() == {"a", "b"}
    assert statistics["pooled"]["n"]["used"] == 16
    assert statistics["cells"]["a"]["single_size"] == single["single_size"]
    assert (folder / "all/diameters.png").stat().st_size > 1000
    assert "give --overwrite" in refused(capsys, *words[1:-1])
    assert main([*words, "--overwrite"]) == 0


def test_messages_of_folders_that_cannot_be_combined(folder, measured, capsys):
    for name in ("a", "deep/a", "cut", "other", "none"):
        shutil.copytree(measured, folder / name)
    content = (folder / "cut/pores.parquet").read_bytes()
    (folder / "cut/pores.parquet").write_bytes(content[: len(content) // 2])
    read_table(measured / "pores")[["pore_id"]].to_parquet(folder / "other/pores.parquet")
    (folder / "none/pores.parquet").unlink()
    combine_pores([folder / "a"], folder / "all")
    lines = {
        "deep/a": "two folders are named a",
        "cut": "cut/pores.parquet is damaged",
        "other": "other/pores.parquet is no table of pores",
        "none": "none has no pores.parquet",
        "nowhere": "nowhere has no pores.parquet",
        "all": "all/pores.parquet is combined already",
    }
    for name, message in lines.items():
        assert message in refused(capsys, "--combine", "a", name, "--out", "new")
        assert not (folder / "new").exists()
    assert "is one of the folders" in refused(
        capsys, "--combine", "a", "--out", "./a", "--overwrite"
    )


def test_the_page_works_as_it_stands(folder, measured, capsys):
    Path("cell.zarr/predictions/npc").mkdir(parents=True)
    Path("cell.zarr/raw").symlink_to(folder / "raw")
    Path("cell.zarr/predictions/npc/segmentation").symlink_to(folder / "masks")
    for name in ("npc_cell15", "npc_cell17"):
        shutil.copytree(measured, name)
    for command in re.findall(r"^(asem .*)$", PAGE, re.MULTILINE):
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    assert {path.name for path in Path("npc").iterdir()} == {*FILES, "provenance.json"}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    capsys.readouterr()
    exec(compile(code, "docs/pores.md", "exec"), {})
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(91, abs=5)
