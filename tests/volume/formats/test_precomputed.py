"""Neuroglancer precomputed volumes that tensorstore writes, read back with their positions."""

import functools
import gzip
import json
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tensorstore as ts

from asem.cli import main
from asem.volume.sources import open_labels, open_source, open_volume
from remote_servers import serve_files

SHAPE = (7, 5, 9)
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1", "hash": "identity", "preshift_bits": 1,
    "minishard_bits": 1, "shard_bits": 2, "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}  # fmt: skip


def write_volume(folder, voxels, scales=({},), *, kind="image"):
    """Write voxels (c, z, y, x) or (z, y, x) as each of the scales, x, y, z in the file."""
    voxels = np.asarray(voxels)
    voxels = voxels[np.newaxis] if voxels.ndim == 3 else voxels
    for scale in scales:
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "multiscale_metadata": {
                "type": kind,
                "data_type": voxels.dtype.name,
                "num_channels": len(voxels),
            },
            "scale_metadata": {
                "size": list(voxels.shape[:0:-1]),
                "resolution": [4, 4, 5.24],
                "voxel_offset": [1, 2, 3],
                "chunk_size": [4, 4, 4],
                "encoding": "raw",
                **scale,
            },
        }
        ts.open(spec, create=True).result().write(voxels.T).result()
    return folder


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 250, SHAPE).astype(np.uint8)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32"]
)
@pytest.mark.parametrize("scale", [{}, {"sharding": SHARDING}], ids=["files", "sharded"])
def test_raw_chunks(tmp_path, rng, dtype, scale):
    voxels = (rng.random(SHAPE) * 100).astype(dtype)
    volume = open_volume(write_volume(tmp_path / "v", voxels, [scale]))
    np.testing.assert_array_equal(volume.read(volume.roi), voxels)
    assert volume.dtype == dtype
    assert volume.voxel_size == (5.24, 4.0, 4.0)
    assert volume.kind == "image"
    # Voxel (1, 2, 3) along (x, y, z): its centre is half a voxel after its corner.
    np.testing.assert_allclose(volume.offset_nm, (3.5 * 5.24, 2.5 * 4, 1.5 * 4), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_compressed_segmentation_is_labels(tmp_path, rng, dtype):
    ids = rng.integers(0, np.iinfo(dtype).max, SHAPE, dtype)
    scale = {
        "encoding": "compressed_segmentation",
        "compressed_segmentation_block_size": [8, 8, 8],
    }
    labels = open_labels(write_volume(tmp_path / "v", ids, [scale], kind="segmentation"))
    assert labels.kind == "labels"
    np.testing.assert_array_equal(labels.read(labels.roi), ids)


def test_png_is_exact_and_jpeg_is_close(tmp_path):
    z, y, x = np.indices((8, 16, 16))
    smooth = (5 * z + 3 * y + 2 * x).astype(np.uint8)
    for encoding, difference in (("png", 0), ("jpeg", 3)):
        volume = open_volume(write_volume(tmp_path / encoding, smooth, [{"encoding": encoding}]))
        read = volume.read(volume.roi).astype(int)
        assert abs(read - smooth).max() <= difference


def test_scales_are_levels_from_the_finest(tmp_path, voxels):
    scales = [
        {"key": "fine", "resolution": [4, 4, 4], "voxel_offset": [10, 20, 30]},
        {"key": "coarse", "resolution": [8, 8, 8], "voxel_offset": [5, 10, 14]},
    ]
    folder = write_volume(tmp_path / "v", voxels, scales)
    info = json.loads((folder / "info").read_text())
    info["scales"].reverse()  # neuroglancer's order is from the finest, too
    (folder / "info").write_text(json.dumps(info))
    fine, coarse = open_volume(folder), open_volume(f"{folder}#1")
    assert fine.voxel_size == (4.0, 4.0, 4.0)
    assert fine.offset_nm == (122.0, 82.0, 42.0)
    assert coarse.voxel_size == (8.0, 8.0, 8.0)
    assert coarse.offset_nm == (116.0, 84.0, 44.0)
    with pytest.raises(ValueError, match="it has 2 levels"):
        open_volume(f"{folder}#2")


def test_a_channel_is_chosen(tmp_path, rng):
    voxels = rng.integers(0, 250, (3, *SHAPE)).astype(np.uint8)
    folder = write_volume(tmp_path / "v", voxels)
    with pytest.raises(ValueError, match="has the channels 0, 1, 2; choose one with --channel"):
        open_volume(folder)
    assert main(["import", str(folder), str(tmp_path / "raw"), "--channel", "2"]) == 0
    raw = open_volume(tmp_path / "raw")
    np.testing.assert_array_equal(raw.read(raw.roi), voxels[2])


def test_a_missing_offset_is_zero(tmp_path, voxels):
    folder = write_volume(tmp_path / "v", voxels, [{"voxel_offset": [0, 0, 0]}])
    info = json.loads((folder / "info").read_text())
    del info["scales"][0]["voxel_offset"], info["@type"]
    (folder / "info").write_text(json.dumps(info))
    volume = open_volume(folder)
    assert volume.offset_nm == (2.62, 2.0, 2.0)
    np.testing.assert_array_equal(volume.read(volume.roi), voxels)


def test_an_exact_offset_counts_while_it_agrees(tmp_path, voxels):
    folder = write_volume(tmp_path / "v", voxels)
    info = json.loads((folder / "info").read_text())
    for exact, read in (([7.5, 9, 20], (20.0, 9.0, 7.5)), ([75, 9, 20], (18.34, 10.0, 6.0))):
        info["scales"][0]["asem_offset_nm"] = exact
        (folder / "info").write_text(json.dumps(info))
        np.testing.assert_allclose(open_volume(folder).offset_nm, read, rtol=1e-14)


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_a_web_server(tmp_path, voxels):
    write_volume(tmp_path / "v", voxels)
    handler = functools.partial(_Handler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        volume = open_volume(f"http://127.0.0.1:{server.server_port}/v")
        np.testing.assert_array_equal(volume.read(volume.roi), voxels)
        server.shutdown()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("neuroglancer_legacy_mesh", "holds meshes, no voxels"),
        ("neuroglancer_multilod_draco", "holds meshes, no voxels"),
        ("neuroglancer_skeletons", "holds skeletons, no voxels"),
        ("neuroglancer_annotations_v1", "holds annotations, no voxels"),
        ("neuroglancer_new_thing", "holds 'neuroglancer_new_thing', no voxels"),
    ],
)
def test_what_is_no_volume_is_named(tmp_path, capsys, content, message):
    (tmp_path / "info").write_text(json.dumps({"@type": content}))
    assert_refused(tmp_path, capsys, message)


def assert_refused(folder, capsys, message):
    assert main(["import", str(folder), str(folder.parent / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (folder.parent / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": []}, "has 0 scales"),
        ({"scales": 5}, "'scales' must be a list"),
        ({"scales": [5]}, "'scales' must be a list of objects"),
        ({"type": "mesh"}, "'type' is 'mesh'; allowed: image, segmentation"),
        ({"type": ["mesh"]}, "'type' is ['mesh']; allowed: image, segmentation"),
        ({"@type": ["mesh"]}, "holds ['mesh'], no voxels"),
        ({"data_type": "complex64"}, "complex64"),
        ({"num_channels": None}, "num_channels"),
        ({"encoding": "zfp"}, "encoding"),
        ({"resolution": [4, 4]}, "resolution [4, 4]: give 3 numbers"),
        ({"resolution": None}, "resolution None: give 3 numbers"),
        ({"resolution": [0, 4, 4]}, "voxel size 4 x 4 x 0 nm must be positive"),
        ({"resolution": [10**400, 4, 4]}, "is too large"),
        ({"resolution": [float("inf"), 4, 4]}, "is too large"),
        ({"voxel_offset": ["a", 1, 2]}, "voxel_offset ['a', 1, 2]: give 3 numbers"),
        ({"size": [10**18, 10**18, 10**18]}, ""),
        ({"size": [10**30, 5, 5]}, "size"),
        ({"size": [0, 5, 5]}, "no voxel"),
        ({"chunk_sizes": [[2**20, 2**20, 2**20]]}, "chunk"),
        ({"chunk_sizes": None}, "chunk_sizes"),
        ({"key": None}, "key"),
    ],
)
def test_a_damaged_info_is_one_line(tmp_path, voxels, capsys, changes, message):
    folder = write_volume(tmp_path / "v", voxels)
    info = json.loads((folder / "info").read_text())
    for key, value in changes.items():
        table = info["scales"][0] if key in info["scales"][0] else info
        table[key] = value
    (folder / "info").write_text(json.dumps(info))
    assert_refused(folder, capsys, message)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"scales": [{'])
def test_a_truncated_info_is_one_line(tmp_path, voxels, capsys, text):
    folder = write_volume(tmp_path / "v", voxels)
    (folder / "info").write_text(text)
    assert_refused(folder, capsys, "info")


@pytest.mark.parametrize("encoding", ["raw", "jpeg", "png"])
def test_a_truncated_chunk_is_one_line(tmp_path, voxels, capsys, encoding):
    folder = write_volume(tmp_path / "v", voxels, [{"encoding": encoding}])
    chunk = next(path for path in sorted(folder.rglob("*_*")) if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])
    volume = open_source(folder)
    with pytest.raises(ValueError, match=r"^\S+/v cannot be read: ") as caught:
        volume.read(volume.roi)
    assert len(str(caught.value).splitlines()) == 1


def test_inversion_is_for_tiff(tmp_path, voxels, capsys):
    folder = write_volume(tmp_path / "v", voxels)
    assert main(["import", str(folder), str(tmp_path / "out"), "--invert"]) == 2
    assert "--invert is for TIFF" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("suffix", "advice"),
    [(".gz", "decompress them with gunzip -r FOLDER/4_4_5.24, or"), (".br", "decompress them, or")],
)
def test_local_chunks_that_are_compressed_files_are_not_read_as_zeros(
    tmp_path, voxels, capsys, suffix, advice
):
    folder = write_volume(tmp_path / "v", voxels)
    for chunk in (folder / "4_4_5.24").iterdir():
        content = gzip.compress(chunk.read_bytes())
        chunk.rename(f"{chunk}{suffix}").write_bytes(content)
    assert main(["info", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "has compressed chunks (" in error
    assert advice.replace("FOLDER", str(folder)) in error
    assert error.count("\n") == 1
    if suffix == ".gz":
        subprocess.run(["gunzip", "-r", str(folder / "4_4_5.24")], check=True)
        volume = open_volume(folder)
        np.testing.assert_array_equal(volume.read(volume.roi), voxels)


def test_chunks_that_a_server_sends_compressed_are_read(tmp_path, voxels):
    folder = write_volume(tmp_path / "v", voxels)
    for chunk in (folder / "4_4_5.24").iterdir():
        chunk.write_bytes(gzip.compress(chunk.read_bytes()))
    with serve_files(tmp_path) as server:
        server.gzip_folder = "/v/4_4_5.24/"
        volume = open_volume(f"{server.url}/v")
        np.testing.assert_array_equal(volume.read(volume.roi), voxels)


def test_other_encodings_of_cloud_volume_are_named(tmp_path, voxels, capsys):
    folder = write_volume(tmp_path / "v", voxels)
    info = json.loads((folder / "info").read_text())
    info["scales"][0]["encoding"] = "crackle"
    (folder / "info").write_text(json.dumps(info))
    assert main(["info", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "the encoding is 'crackle'; raw, png, jpeg, compressed_segmentation can be read" in error
