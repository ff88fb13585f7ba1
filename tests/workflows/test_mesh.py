"""`asem mesh`: meshes of the whole volume, whatever the blocks, where the objects are in nm."""

import json
import shutil
import signal
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
import tifffile
import trimesh
from scipy.spatial import cKDTree

from asem.cli import main
from asem.volume.id_selection import IdSelection
from asem.workflows import mesh as workflow
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.mesh import mesh_instances
from asem.workflows.meshes.fragment_store import FragmentTable
from asem.workflows.meshes.object_files import cancel_double_faces
from asem.workflows.meshes.precomputed import choose_levels, make_manifest
from asem.workflows.meshes.sharded_file import Sharding
from killed import run_killed
from meshes import (
    is_closed,
    is_manifold,
    parse_manifest,
    read_levels,
    read_manifests,
    read_nm,
    triangles_of,
    volume_of,
)
from remote_servers import serve_files
from shards import small_shards

SHAPE = (19, 25, 33)
SIZE = (5.24, 4.0, 3.0)
OFFSET = (100.0, -50.0, 7.5)
BIG = 2**40 + 7
VOXEL_NM3, DIAGONAL_NM = float(np.prod(SIZE)), float(np.linalg.norm(SIZE))
EDGE = 16


def save(path, voxels, **options):
    tifffile.imwrite(path.with_suffix(".tif"), voxels, photometric="minisblack")
    import_volume(path.with_suffix(".tif"), path, voxel_size=SIZE, kind="labels", **options)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A beam from border to border, a ball, which are in several blocks each, and a voxel."""
    folder = tmp_path_factory.mktemp("inputs")
    labels = np.zeros(SHAPE, np.uint64)
    labels[3:7, 18:22] = BIG
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    labels[(z - 12) ** 2 + (y - 15) ** 2 + (x - 16) ** 2 <= 25] = 3
    labels[2, 2, 2] = 2**33
    labels[:1] = np.iinfo(np.uint64).max
    save(folder / "instances", labels, offset_nm=OFFSET)
    return folder


@pytest.fixture
def folder(inputs, tmp_path, monkeypatch):
    small_shards(EDGE, monkeypatch.setattr)
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def labels(inputs):
    return tifffile.imread(inputs / "instances.tif")


def mesh(out, **options):
    return mesh_instances(Path("instances"), Path(out), **options)


def load(path):
    loaded = trimesh.load(path, process=False)
    return np.asarray(loaded.vertices), np.asarray(loaded.faces)


def half_voxels(vertices):
    """Return positions (x, y, z) in nm as integers, half voxels (z, y, x) from the first centre."""
    exact = 2 * (vertices[:, ::-1] - OFFSET) / SIZE
    assert abs(exact - np.rint(exact)).max() < 0.01
    return np.rint(exact).astype(int)


def test_a_sphere_across_eight_blocks_is_closed(folder, labels):
    mesh("out", format_name="obj", ids=IdSelection.parse("3"))
    sphere = trimesh.load("out/3.obj", process=False)
    assert sphere.is_watertight
    assert sphere.euler_number == 2
    assert sphere.volume == pytest.approx(np.count_nonzero(labels == 3) * VOXEL_NM3, rel=0.03)
    centre = np.array(OFFSET) + (12, 15, 16) * np.array(SIZE)
    assert sphere.center_mass == pytest.approx(centre[::-1])
    halves = half_voxels(sphere.vertices)
    assert halves.min(axis=0).tolist() == [13, 19, 21]  # 5.5 voxels from the centre
    assert len({tuple((one + 2) // 2 // EDGE) for one in halves}) == 8


def test_the_finest_level_is_the_surface_between_the_voxels(folder):
    mesh("out")
    mesh("files", format_name="ply")
    for number in (3, BIG, 2**33):
        vertices, faces = read_nm(Path("out"), number, 0)
        assert is_manifold(faces)
        assert volume_of(vertices, faces) > 0  # outward in (x, y, z)
        exact, exact_faces = load(f"files/{number}.ply")
        assert triangles_of(half_voxels(vertices), faces) == triangles_of(
            half_voxels(exact), exact_faces
        )


def test_positions_far_from_the_origin_are_exact(folder):
    """Single precision is 1 nm there."""
    place = (1e7, -1e7, 1e7 + 0.25)
    save(folder / "far", np.ones((1, 1, 1), np.uint8), offset_nm=place)
    for form in ("ply", "obj"):
        mesh_instances(folder / "far", folder / form, format_name=form)
        vertices, _ = load(f"{form}/1.{form}")
        ends = (vertices.min(axis=0) + vertices.max(axis=0)) / 2, np.ptp(vertices, axis=0)
        np.testing.assert_allclose(ends, [place[::-1], SIZE[::-1]], rtol=0, atol=0.005)


def test_a_voxel_is_where_it_is(folder):
    mesh("out")
    vertices, faces = read_nm(Path("out"), 2**33, 0)
    centre = np.array(OFFSET) + 2 * np.array(SIZE)
    assert len(faces) == 8
    assert (vertices.min(axis=0) + vertices.max(axis=0)) / 2 == pytest.approx(
        centre[::-1], abs=0.01
    )
    assert np.ptp(vertices, axis=0) == pytest.approx(SIZE[::-1], abs=0.01)


def test_coarse_levels_are_closed_and_near_the_surface(folder):
    assert mesh("out")["levels"] == 4
    for number, levels in ((3, 4), (BIG, 3)):  # the beam is thinner than a cluster of level 3
        finest, faces = read_nm(Path("out"), number, 0)
        tree, count = cKDTree(finest), len(faces)
        assert len(read_levels(Path("out"), number)) == levels
        for level in range(1, levels):
            vertices, faces = read_nm(Path("out"), number, level)
            assert is_closed(faces)  # also where fragments meet: equal integers
            assert tree.query(vertices)[0].max() <= 2**level * DIAGONAL_NM
            assert len(faces) < count
            count = len(faces)


def test_both_parts_of_a_divided_object_are_in_all_levels(tmp_path, monkeypatch):
    small_shards(EDGE, monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((20, 20, 70), np.uint8)
    labels[3:10, 3:10, 3:10] = labels[4:11, 4:11, 50:57] = 1
    labels[2:5, 14:17, 2:5] = 2
    save(tmp_path / "instances", labels)
    assert mesh("out")["levels"] == 4
    for level in range(4):
        x = read_nm(Path("out"), 1, level)[0][:, 0] / SIZE[2]
        assert (x.min() < 12, x.max() > 48) == (True, True)
    assert len(read_levels(Path("out"), 2)) < 4


def test_fragments_are_as_neuroglancer_reads_them(folder):
    mesh("out")
    for number in (3, BIG):
        shape, origin, scales, parts = parse_manifest(read_manifests(Path("out"))[number][0])
        assert shape.tolist() == [EDGE / 4] * 3
        assert origin.tolist() == [-1] * 3
        assert scales.tolist() == [2**k for k in range(len(parts))]
        assert (len(parts[-1][0]) == 1) == (number == 3)
        for (below, _), (nodes, _) in pairwise(parts):
            assert {tuple(one) for one in below // 2} <= {tuple(one) for one in nodes}
        for nodes, _ in parts:
            codes = [
                sum((int(c) >> b & 1) << (3 * b + a) for a, c in enumerate(one) for b in range(9))
                for one in nodes
            ]
            assert codes == sorted(set(codes))
        for level, fragments in enumerate(read_levels(Path("out"), number)):
            for _, steps, faces in fragments:
                assert 0 <= steps.min() <= steps.max() <= 65535
                halves = (steps[faces] > 32768).any(axis=1) & (steps[faces] < 32768).any(axis=1)
                assert level == 0 or not halves.any()


def test_info_states_position_and_origin(folder):
    mesh("out")
    info = json.loads(Path("out/info").read_text())
    provenance = json.loads(Path("out/provenance.json").read_text())
    assert info["@type"] == "neuroglancer_multilod_draco"
    assert info["transform"] == [3, 0, 0, 7.5, 0, 4, 0, -50, 0, 0, 5.24, 100]
    own = info["asem"]
    assert (own["instances"], own["voxel_size"], own["offset_nm"]) == (
        str(folder / "instances"),
        list(SIZE),
        list(OFFSET),
    )
    uuid = json.loads(Path("instances/zarr.json").read_text())["attributes"]["asem"]["uuid"]
    assert own["instances_id"] == uuid
    assert own["command"] == provenance["command"] == "mesh"
    assert own["request"] == provenance["request"]
    assert own["instances_relative"] == "../instances"


def test_instances_of_a_url(folder):
    with serve_files(folder) as server:
        mesh_instances(f"{server.url}/instances", Path("out"))
        own = json.loads(Path("out/info").read_text())["asem"]
        assert own["instances"] == f"{server.url}/instances"
        assert "instances_relative" not in own


def test_segment_properties_list_the_sizes(folder, labels):
    mesh("out", min_size=2)
    inline = json.loads(Path("out/segment_properties/info").read_text())["inline"]
    sizes = inline["properties"][1]["values"]
    voxels = {int(k): n for k, n in zip(inline["ids"], sizes, strict=True)}
    assert voxels == {k: np.count_nonzero(labels == k) for k in (3, BIG)}
    volume = inline["properties"][0]["values"][0]
    assert volume == pytest.approx(voxels[3] * VOXEL_NM3 / 1e9, rel=1e-5)


def test_blocks_and_workers_change_no_bit(folder, monkeypatch, two_workers):
    mesh("out")
    mesh("dask", executor=two_workers)
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == ["0.shard", "info", "provenance.json", "segment_properties"]
    for name in ("0.shard", "info", "segment_properties/info"):
        assert (Path("dask") / name).read_bytes() == (Path("out") / name).read_bytes()
    mesh("many", format_name="obj")
    small_shards(64, monkeypatch.setattr)
    mesh("one", format_name="obj")
    for number in (3, BIG, 2**33):
        many, one = (load(f"{out}/{number}.obj") for out in ("many", "one"))
        assert triangles_of(*many) == triangles_of(*one)


def test_many_ids_are_found_in_their_shards(tmp_path, rng, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = np.unique(rng.integers(1, 2**60, 150).astype(np.uint64))
    labels = np.zeros((3, 31, 31), np.uint64)
    labels[1, 1::2, 1::2].flat[: len(ids)] = ids
    save(tmp_path / "instances", labels)
    mesh("out")
    manifests = read_manifests(Path("out"))
    assert sorted(manifests) == ids.tolist()
    sharding = json.loads(Path("out/info").read_text())["sharding"]
    assert sharding["minishard_bits"] == 2
    base = {"driver": "file", "path": f"{tmp_path}/out/"}
    store = ts.KvStore.open(
        {"driver": "neuroglancer_uint64_sharded", "base": base, "metadata": sharding}
    ).result()
    for number in ids[:9]:
        key = int(number).to_bytes(8, "big")
        assert store.read(key).result().value == manifests[int(number)][0]


def test_several_shards():
    ids = np.arange(1, 1000, dtype=np.uint64)
    files = dict(Sharding(minishard_bits=2, shard_bits=5).split(ids))
    assert list(files)[:2] == ["00.shard", "01.shard"]
    assert len(files) == 32
    assert files["01.shard"][2][:2].tolist() == [6, 134]
    assert np.array_equal(np.sort(np.concatenate([*chain.from_iterable(files.values())])), ids)


@pytest.mark.parametrize("level", [1, 3])
def test_simplified_meshes_are_within_the_error(folder, level):
    limit, ball = 2**level * DIAGONAL_NM, IdSelection.parse("3")
    result = mesh("out", max_error_nm=limit + 1, ids=ball)
    assert result["max_error_nm"] == pytest.approx(limit)
    mesh("exact", ids=ball)
    mesh("files", format_name="obj", max_error_nm=limit, ids=ball)
    exact, exact_faces = read_nm(Path("exact"), 3, 0)
    vertices, faces = read_nm(Path("out"), 3, 0)
    assert is_closed(faces)
    assert len(faces) < len(exact_faces) * 0.6
    assert cKDTree(exact).query(vertices)[0].max() <= limit
    coarse, _ = read_nm(Path("exact"), 3, level)  # the same clusters
    assert np.sort(vertices, axis=0) == pytest.approx(np.sort(coarse, axis=0), abs=0.05)
    written, written_faces = load("files/3.obj")
    assert is_closed(written_faces)
    assert len(np.unique(written_faces)) == len(written)
    assert volume_of(written, written_faces) == pytest.approx(volume_of(vertices, faces), rel=1e-3)


def test_what_is_smaller_than_the_error_is_left_out(folder, caplog):
    assert mesh("out", max_error_nm=30)["objects"] == 2
    assert "1 objects have no mesh: they are smaller than --max-error" in caplog.text


def test_an_open_border(folder):
    mesh("out", format_name="obj", open_border=True)
    vertices, faces = load(f"out/{BIG}.obj")
    assert not is_closed(faces)
    assert half_voxels(vertices)[:, 2].min() == 0
    assert half_voxels(vertices)[:, 2].max() == 2 * (SHAPE[2] - 1)
    assert is_closed(load("out/3.obj")[1])


def test_a_segmentation_is_named(tmp_path, caplog):
    labels = np.zeros((4, 5, 12), np.uint8)
    labels[1:3, 1:4, 1:3] = labels[1:3, 1:4, 8:10] = 1
    save(tmp_path / "both", labels)
    mesh_instances(tmp_path / "both", tmp_path / "meshes", format_name="obj")
    assert "both has a single id; asem instances gives each object its own" in caplog.text
    caplog.clear()
    label_instances(tmp_path / "both", tmp_path / "one", min_size=1)
    mesh_instances(tmp_path / "both", tmp_path / "1", format_name="obj", ids=IdSelection.parse("1"))
    mesh_instances(tmp_path / "one", tmp_path / "2", format_name="obj")
    assert not caplog.text


def test_selected_objects(folder):
    assert mesh("out", ids=IdSelection.parse("3,8589934592"))["objects"] == 2
    assert sorted(read_manifests(Path("out"))) == [3, 2**33]
    mesh("files", ids=IdSelection.parse(f"1-{2**50}"), min_size=2, format_name="obj")
    assert sorted(path.name for path in Path("files").glob("*.obj")) == [f"{BIG}.obj", "3.obj"]


@pytest.mark.parametrize("form", ["precomputed", "ply"])
def test_a_killed_run_resumes_to_the_same_bits(folder, form, capsys):
    words = ["mesh", "instances", "out", "--format", form]
    for after in (2, 9 if form == "ply" else 11):  # blocks, and of precomputed a level
        code = run_killed(words, edge=EDGE, after=after, log=folder / "log")
        assert code == -signal.SIGKILL, (folder / "log").read_text()
        assert not Path("out/info").exists()
    assert main(words) == 0, capsys.readouterr().err
    mesh("fresh", format_name=form)
    for path in Path("fresh").glob("*.[sp][hl]*"):
        assert (Path("out") / path.name).read_bytes() == path.read_bytes()
    assert not Path("out/.asem").exists()


def refused(capsys, *words):
    assert main(["mesh", *words]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("asem: ")]
    return line


def test_messages_of_invalid_input(folder, capsys, monkeypatch):
    save(folder / "empty", np.zeros((4, 5, 6), np.uint8))
    assert "no objects" in refused(capsys, "empty", "new/deeper/out")
    assert not Path("new").exists()
    line = refused(capsys, "instances", "out", "--ids", "3,4")
    assert "instances has no voxel with the ids 4;" in line
    line = refused(capsys, "instances", "out", "--min-size", "99999")
    assert "instances has no object of at least 99999 voxels; the largest has 528 voxels" in line
    assert "--min-size 0: give" in refused(capsys, "instances", "out", "--min-size", "0")
    for wrong in ("-1", "nan", "inf", "99999"):
        line = refused(capsys, "instances", "out", "--max-error", wrong)
        assert f"--max-error {wrong}: give a distance in nm, from 0 to below 927.074 for" in line
    assert "obj" in refused(capsys, "instances", "out", "--format", "stl")
    monkeypatch.setattr(workflow, "MAX_FILES", 2)
    line = refused(capsys, "instances", "out", "--format", "obj")
    assert "3 objects would be as many files, at most 2 are written" in line
    assert not Path("out").exists()
    with pytest.raises(ValueError, match="there is no format stl; allowed: precomputed, obj, ply"):
        mesh("out", format_name="stl")
    full = np.ones((3, 3, 3), np.uint8)
    save(folder / "full", full)
    line = refused(capsys, "full", "out", "--open-border")
    assert "full has no object with a surface" in line


def test_meshes_are_replaced_only_when_asked(folder, capsys):
    assert main(["mesh", "instances", "out"]) == 0
    assert "give --overwrite" in refused(capsys, "instances", "out")
    Path("out/notes.txt").write_text("mine")
    assert "notes.txt" in refused(capsys, "instances", "out", "--overwrite")
    Path("out/notes.txt").unlink()
    assert main(["mesh", "instances", "out", "--overwrite", "--format", "obj"]) == 0
    assert sorted(path.suffix for path in Path("out").iterdir()) == [".json", *[".obj"] * 3]


def test_the_command_prints_a_table(folder, capsys):
    assert main(["mesh", "instances", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "objects": 3,
        "triangles": sum(len(read_nm(Path("out"), k, 0)[1]) for k in (3, BIG, 2**33)),
        "max_error_nm": 0,
        "levels": 4,
        "format": "precomputed",
        "out": "out",
    }


def test_meshes_in_a_cell_are_no_image(folder, capsys):
    shutil.move("instances", "cell.zarr/predictions/mito/instances")
    place = "cell.zarr/predictions/mito"
    assert main(["mesh", f"{place}/instances", f"{place}/meshes"]) == 0
    assert main(["info", "cell.zarr", "--json"]) == 0
    assert "meshes" not in json.loads(capsys.readouterr().out.splitlines()[-1])["images"]


def test_damaged_results_of_a_block_are_reported(folder, monkeypatch, capsys):
    words = ["mesh", "instances", "out"]
    assert run_killed(words, edge=EDGE, after=14, log=folder / "log") == -signal.SIGKILL
    (largest,) = sorted(Path("out/.asem").rglob("*.bin"), key=lambda one: one.stat().st_size)[-1:]
    largest.write_bytes(largest.read_bytes()[:-9])
    line = refused(capsys, "instances", "out")
    assert f"{largest.name} is damaged; give --overwrite to restart" in line
    table = max(Path("out/.asem/meshes").iterdir(), key=lambda one: one.stat().st_size)
    with np.load(table) as arrays:
        np.savez(table, **{**arrays, "levels": arrays["levels"][1:]})
    assert f"{table} is damaged; give" in refused(capsys, "instances", "out")
    assert main([*words, "--overwrite"]) == 0


def test_damaged_meshes_of_a_block_are_reported(folder, capsys):
    words = ["mesh", "instances", "out"]
    assert run_killed(words, edge=EDGE, after=12, log=folder / "log") == -signal.SIGKILL
    table = max(Path("out/.asem/meshes").iterdir(), key=lambda one: one.stat().st_size)
    with np.load(table) as arrays:
        np.savez(table, **{**arrays, "faces": arrays["faces"] + np.int32(10**6)})
    assert f"{table.name} is damaged" in refused(capsys, "instances", "out")


def table_of(rows):
    """Return fragments of one object from (level, node, triangles)."""
    zeros = np.zeros(len(rows), np.int64)
    return FragmentTable(
        ids=np.ones(len(rows), np.uint64),
        levels=np.array([row[0] for row in rows]),
        nodes=np.array([row[1] for row in rows]),
        triangles=np.array([row[2] for row in rows]),
        sizes=zeros + 10,
        files=zeros,
        offsets=zeros,
        paths=(),
    )


def test_levels_end_where_an_object_falls_apart():
    table = table_of(
        [(0, (0, 0, 0), 90), (0, (0, 0, 1), 90), (1, (0, 0, 0), 17), (2, (0, 0, 0), 9)]
    )
    assert [one.triangles.tolist() for one in choose_levels(table)] == [[90, 90]]
    table = table_of(
        [(1, (0, 0, 0), 90), (1, (0, 0, 1), 90), (2, (0, 0, 0), 18), (3, (0, 0, 0), 9)]
    )
    assert [one.triangles.tolist() for one in choose_levels(table)] == [[90, 90], [18]]


def test_nodes_without_triangles_are_listed_as_empty():
    nodes = [(0, 0, 1), (0, 2, 0), (2, 0, 0)]
    levels = [table_of([(0, node, 9) for node in nodes]), table_of([(1, (1, 0, 0), 9)])]
    *_, parts = parse_manifest(make_manifest(levels, 64, 0))
    assert parts[1][0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]  # x, y, z
    assert parts[1][1].tolist() == [0, 0, 10]


def test_double_faces_are_removed_once():
    double = [[0, 1, 2], [1, 0, 2], [2, 0, 1]]
    assert cancel_double_faces(np.array(double)).tolist() == [[0, 1, 2]]
    sheet = np.array([[0, 1, 2], [1, 0, 2]])
    assert cancel_double_faces(sheet) is sheet
