"""Mesh folders: their ids, by files and by shards, and what is served of them."""

import json

import numpy as np
import pytest
import tensorstore as ts

from asem.view import meshes
from asem.view.meshes import find_meshes, open_meshes
from asem.workflows.mesh import mesh_instances
from view_cells import write_image

SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 0, "hash": "identity",
    "minishard_bits": 1, "shard_bits": 1, "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}  # fmt: skip


def write_info(folder, **more):
    folder.mkdir(parents=True, exist_ok=True)
    info = {"@type": "neuroglancer_multilod_draco", **more}
    (folder / "info").write_text(json.dumps(info))
    return folder


def test_the_largest_meshes_are_displayed(tmp_path, monkeypatch, caplog):
    folder = write_info(tmp_path / "m")
    for number in range(1, 6):
        (folder / str(number)).write_bytes(bytes(10 * number))
        (folder / f"{number}.index").write_bytes(bytes(1000))
    assert open_meshes(folder).find_segments() == [1, 2, 3, 4, 5]
    monkeypatch.setattr(meshes, "MAX_SHOWN", 2)
    assert open_meshes(folder).find_segments() == [4, 5]
    assert "5 meshes; the 2 largest" in caplog.text


def test_ids_in_shards_are_listed(tmp_path):
    folder = write_info(tmp_path / "m", sharding=SHARDING)
    base = {"driver": "file", "path": f"{folder}/"}
    spec = {"driver": "neuroglancer_uint64_sharded", "metadata": SHARDING, "base": base}
    store = ts.KvStore.open(spec).result()
    for number in (3, 8, 2**40):
        store[number.to_bytes(8, "big")] = b"a mesh"
    found = open_meshes(folder)
    assert found.find_segments() == [3, 8, 2**40]
    shard = found.source.open(next(folder.glob("*.shard")).name)
    assert shard.size > 0
    shard.close()


def test_of_the_meshes_that_asem_wrote_the_largest_are_displayed(tmp_path, monkeypatch):
    labels = np.zeros((8, 8, 24), np.uint32)
    for number, edge in ((9, 2), (5, 6), (70, 4)):
        labels[1 : 1 + edge, 1 : 1 + edge, number % 8 * 3 : number % 8 * 3 + 2] = number
    image = write_image(tmp_path / "instances", labels, kind="labels")
    mesh_instances(image, tmp_path / "m")
    assert open_meshes(tmp_path / "m").find_segments() == [5, 9, 70]
    monkeypatch.setattr(meshes, "MAX_SHOWN", 2)
    assert open_meshes(tmp_path / "m").find_segments() == [5, 70]
    (tmp_path / "m/segment_properties/info").write_text('{"inline": 3}')
    assert open_meshes(tmp_path / "m").find_segments() == [5, 9]


def test_only_files_of_meshes_are_served(tmp_path):
    folder = write_info(tmp_path / "m", segment_properties="names", asem={"instances": "secret"})
    for name in ("7", "7.index", "7:0", "7:0:a-b_c", "0f.shard", "notes.txt", "provenance.json"):
        (folder / name).touch()
    for inner in ("names", ".asem"):
        (folder / inner).mkdir()
        (folder / inner / "info").touch()
    source = open_meshes(folder).source
    for key in ("7", "7.index", "7:0", "7:0:a-b_c", "0f.shard", "names/info"):
        source.open(key).close()
    for key in (
        "notes.txt",
        "provenance.json",
        ".asem/info",
        "names",
        "7/",
        "../m/7",
        "8",
        "n/info",
    ):
        assert source.open(key) is None
    assert b"secret" not in source.open("info").content


def test_only_folders_of_meshes_are_found(tmp_path):
    write_info(tmp_path / "a/m")
    write_info(tmp_path / "a/.hidden")
    (tmp_path / "a/image").mkdir()
    (tmp_path / "a/image/info").write_text('{"@type": "neuroglancer_multiscale_volume"}')
    assert [one.path.name for one in find_meshes(tmp_path / "a")] == ["m"]
    assert find_meshes(tmp_path / "none") == []
    assert open_meshes(tmp_path / "a") is None
    (tmp_path / "a/image/info").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        open_meshes(tmp_path / "a/image")
