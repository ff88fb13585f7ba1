"""Tables as annotations, read back by neuroglancer's own reader."""

import numpy as np
import pandas as pd
import pytest
from neuroglancer import write_annotations
from neuroglancer.read_precomputed_annotations import AnnotationReader

from asem.tables import write_table
from asem.view.table_layers import FLAGGED, GROUP_COLOURS, RAMP, make_table_layers
from pit_tables import make_table


@pytest.fixture(autouse=True)
def _alignment(monkeypatch):
    """The reader aligns uint32 to 3 bytes; the client, and the format's description, to 4."""
    monkeypatch.setitem(write_annotations._PROPERTY_DTYPES, "uint32", (("<u4",), 4))


def read_back(layer, folder):
    """Return all annotations of a layer, and its reader."""
    for key in ("info", "spatial0/0_0_0", *(f"by_id/{one}" for one in layer.annotations.ids)):
        content = layer.annotations.open(key)
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.read(0, content.size))
    reader = AnnotationReader(f"file://{folder}/")
    return list(reader.get_within_spatial_bounds()), reader


def values(reader, annotation):
    names = [one.id for one in reader.properties]
    labels = {one.id: one.enum_labels for one in reader.properties}
    plain = dict(zip(names, annotation.props, strict=True))
    return {name: labels[name][int(v)] if labels[name] else v for name, v in plain.items()}


@pytest.fixture
def objects(tmp_path):
    """A table of three objects, as `asem measure` names its columns; by its Parquet file."""
    frame = pd.DataFrame({"object_id": [4, 9, 70_000], "volume_um3": [1.5, 0.25, 8.0]})
    for k, axis in enumerate("zyx"):
        frame[f"{axis}_nm"] = [100.5 + k, -7.25, 3e5]
        frame[f"{axis}_min_nm"], frame[f"{axis}_max_nm"] = [50.0, -20, 2e5], [150.0, 20, 4e5]
    frame["touches_border"] = [True, False, False]
    frame["distance_nm"] = [np.nan, 5.0, 6.0]
    write_table(tmp_path / "objects", frame, dict.fromkeys(frame, ""), {})
    return tmp_path / "objects.parquet"


def test_objects_are_points_and_boxes(objects, tmp_path):
    points, boxes = make_table_layers(objects, "objects")
    assert (points.name, points.visible) == ("objects", True)
    assert (boxes.name, boxes.visible) == ("objects boxes", False)
    found, reader = read_back(points, tmp_path / "points")
    assert reader.coordinate_space.names == ("x", "y", "z")
    assert [one.point.tolist() for one in found] == [
        [102.5, 101.5, 100.5], [-7.25] * 3, [3e5] * 3,
    ]  # fmt: skip
    assert [int(one.id) for one in found] == [4, 9, 70_000]
    first = values(reader, found[0])
    assert (first["object_id"], first["volume_um3"]) == (4, 1.5)
    assert (first["touches_border"], first["flagged"]) == ("True", "no")
    assert np.isnan(first["distance_nm"])
    assert reader.by_id[70_000].point.tolist() == [3e5] * 3
    assert points.annotations.open("by_id/5") is None
    (corner, *_), _ = read_back(boxes, tmp_path / "boxes")
    assert (corner.point_a.tolist(), corner.point_b.tolist()) == ([50.0] * 3, [150.0] * 3)


def test_a_box_that_is_not_stated_is_at_its_position(objects):
    frame = pd.read_csv(objects.with_suffix(".csv"))
    frame.loc[1, "z_max_nm"], frame.loc[1, "distance_nm"] = np.nan, 1e300
    frame.to_csv(objects.with_suffix(".csv"), index=False)
    _, boxes = make_table_layers(objects.with_suffix(".csv"), "t")
    assert boxes.annotations.coordinates[1].tolist() == [-20, -20, -20, -7.25, 20, 20]
    content = boxes.annotations.open("info")
    assert b"NaN" not in content.read(0, content.size)


def test_the_csv_file_has_the_same_layers(objects, tmp_path):
    exact, _ = make_table_layers(objects, "t")
    from_csv, _ = make_table_layers(objects.with_suffix(".csv"), "t")
    assert exact.annotations.open("info") == from_csv.annotations.open("info")
    assert exact.annotations.open("spatial0/0_0_0") == from_csv.annotations.open("spatial0/0_0_0")


def test_pores_are_spheres_of_their_diameter_with_normals(tmp_path):
    frame = pd.DataFrame({"pore_id": [1, 2, 3, 4], "diameter_nm": [80.0, 90, 100, np.nan]})
    for k, axis in enumerate("zyx"):
        frame[f"{axis}_nm"], frame[f"normal_{axis}"] = [10.0, 20, 30, 40], [float(k == 0)] * 4
    frame["flags"] = ["", "", "", "cut;small"]
    frame.to_csv(tmp_path / "pores.csv", index=False)
    spheres, normals = make_table_layers(tmp_path / "pores.csv", "pores")
    found, reader = read_back(spheres, tmp_path / "spheres")
    assert [one.radii[0] for one in found] == [40, 45, 50, 30]
    colours = [tuple(map(int, values(reader, one)["color"])) for one in found]
    assert colours[3] == FLAGGED
    assert colours[1] == tuple(int(one) for one in RAMP[1])
    assert values(reader, found[3])["flags"] == "cut;small"
    lines, _ = read_back(normals, tmp_path / "normals")
    assert (lines[0].point_a.tolist(), lines[0].point_b.tolist()) == ([10, 10, -40], [10, 10, 60])


def test_pits_have_the_colour_of_their_group(rng, tmp_path):
    frame = make_table(rng, caveola=2, open=3, other=1)
    frame.to_csv(tmp_path / "pits.csv", index=False)
    (layer,) = make_table_layers(tmp_path / "pits.csv", "pits")
    found, reader = read_back(layer, tmp_path / "pits")
    colours = [tuple(map(int, values(reader, one)["color"])) for one in found]
    groups = [GROUP_COLOURS[one] for one in ("caveolae", "endocytic_coated_pits", "others")]
    assert colours == [groups[0]] * 2 + [groups[1]] * 3 + [groups[2]]
    assert values(reader, found[0])["kind"] == "pit"


def test_many_rows_are_one_read(tmp_path):
    frame = pd.DataFrame(np.arange(300_000.0).reshape(-1, 3), columns=["z_nm", "y_nm", "x_nm"])
    frame["name"] = [f"text {row}" for row in range(len(frame))]  # too many to be a property
    frame["object_id"] = 1  # no id of a row
    frame.to_csv(tmp_path / "a.csv", index=False)
    (layer,) = make_table_layers(tmp_path / "a.csv", "a")
    assert layer.annotations.open("spatial0/0_0_0").size < 4e6
    assert layer.annotations.open("by_id/100000").size == layer.annotations.open("by_id/1").size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("object_id,gap_nm\n1,2\n", "no column z_nm; a table of asem measure, pores or pits has"),
        ("z_nm,y_nm,x_nm\n", "no row with a position"),
        ("z_nm,y_nm,x_nm\n1,2,\n", "no row with a position"),
        ("", "is no table"),
        ("a\n1,2\n1,2,3\n", "is no table"),
        ("z_nm,y_nm,x_nm\na,2,3\n", "column z_nm has values that are no numbers"),
        ("z_nm,y_nm,x_nm\ninf,2,3\n1,2,3\n", "column z_nm has values beyond 1e.15 nm"),
        ("z_nm,y_nm,x_nm,width_nm\n1,2,3,-1e300\n", "column width_nm has values beyond"),
        ("z_nm,y_nm,x_nm\n1,2,3,4\n", "more cells than there are names"),
        ("z_nm;y_nm;x_nm\n1,5;2;3\n", "has no commas between its columns"),
    ],
)
def test_what_is_no_table_of_positions(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        make_table_layers(tmp_path / "t.csv", "t")


def test_a_damaged_parquet_file(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="is damaged"):
        make_table_layers(tmp_path / "t.parquet", "t")
