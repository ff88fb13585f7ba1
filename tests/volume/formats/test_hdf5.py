import json
import os
import pickle
import re
from threading import Thread

import h5py
import numpy as np
import pytest

from asem.cli import main
from asem.volume import band_reading, chunk_limits, ngff
from asem.volume.formats import hdf5_array
from asem.workflows import import_copy, slab_buffer
from single_files import check_changed, check_damaged, open_level, read_all

SHAPE = (4, 5, 7)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cell.h5"


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 100, SHAPE).astype("u2")


def write(path, voxels, name="volumes/raw", attributes=None, **options):
    with h5py.File(path, "a") as file:
        dataset = file.create_dataset(name, data=voxels, **options)
        dataset.attrs.update(attributes or {})
    return path


def tags(keys, resolutions=(0,) * 5):
    axes = [
        {"key": k, "typeFlags": 2, "resolution": r} for k, r in zip(keys, resolutions, strict=False)
    ]
    return json.dumps({"axes": axes})


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "bool"]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_dtype_and_byte_order(path, voxels, dtype, order):
    stored = voxels.astype(np.dtype(dtype).newbyteorder(order))
    array = open_level(write(path, stored)).array
    assert array.dtype == ("uint8" if dtype == "bool" else dtype)
    assert array.dtype.isnative
    assert (array[:, :, :] == stored).all()
    assert (array[1:3, 2:5, 3:4] == stored[1:3, 2:5, 3:4]).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (2, 3, 4)},
        {"chunks": (1, 5, 7), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (2, 3, 4), "compression": "lzf"},
        {"chunks": (2, 3, 4), "scaleoffset": 0},
        {"chunks": (4, 5, 8), "compression": "szip", "maxshape": (None, None, None)},
    ],
)
def test_storage_and_pickling(path, voxels, options):
    array = pickle.loads(pickle.dumps(open_level(write(path, voxels, **options)).array))
    assert (array[:, :, :] == voxels).all()
    assert array.chunk == options.get("chunks")


def test_threads(path, voxels):
    array = open_level(write(path, voxels, chunks=(2, 3, 4))).array
    wrong = []

    def read():
        wrong.extend(n for n in range(50) if (array[1:3, :, :] != voxels[1:3]).any())

    threads = [Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("attributes", "size", "offset"),
    [
        ({}, (None, None, None), None),
        ({"element_size_um": [0.006, 0.005, 0.004]}, (6, 5, 4), None),
        ({"element_size_um": [1.0, 1.0, 1.0]}, (None, None, None), None),
        ({"element_size_um": [0.006, 0, np.nan]}, (None, None, None), None),
        ({"resolution": [40, 4, 4]}, (40, 4, 4), (20, 2, 2)),
        ({"resolution": [40, 4, 4], "offset": [400, 0, 8]}, (40, 4, 4), (420, 2, 10)),
        ({"voxel_size": [6, 5, 4], "offset": [6, 5, 4]}, (6, 5, 4), (9, 7.5, 6)),
        ({"voxel_size": [6, 5, 4], "units": ["um", "nm", "nm"]}, (6000, 5, 4), (3000, 2.5, 2)),
        ({"voxel_size": [6, 5, 4], "units": "µm"}, (6000, 5000, 4000), (3000, 2500, 2000)),
        ({"voxel_size": [1, 1, 1], "units": ["", "", ""]}, (None, None, None), None),
        ({"voxel_size": [6, 5, 4], "units": "pixels"}, (None, None, None), None),
        ({"voxel_size": [4, 5, 6], "axis_names": ["x", "y", "z"]}, (6, 5, 4), (3, 2.5, 2)),
        ({"voxel_size": [4, 5, 6], "offset": [2, 0, 0], "axes": "xyz"}, (6, 5, 4), (3, 2.5, 4)),
        ({"axistags": tags("zyx", (6, 5, 4))}, (None, None, None), None),
        (
            {"axistags": tags("zyx", (6, 5, 4)), "axis_units": '{"z": "nm", "y": "um", "x": "nm"}'},
            (6, 5000, 4),
            None,
        ),
        (
            {
                "axistags": tags("zyx", (10**400, float("inf"), 4)),
                "axis_units": '{"z": "nm", "y": "nm", "x": "nm"}',
            },
            (None, None, 4),
            None,
        ),
        ({"resolution": "text", "axes": 5, "units": 3}, (None, None, None), None),
    ],
)
def test_voxel_size_and_position(path, voxels, attributes, size, offset):
    level = open_level(write(path, voxels, attributes=attributes))
    assert level.voxel_size == pytest.approx(size)
    assert level.offset_nm == (None if offset is None else pytest.approx(offset))


@pytest.mark.parametrize(
    ("shape", "attributes", "expected"),
    [
        ((1, 4, 5, 7, 1), {}, (0, slice(None), slice(None), slice(None), 0)),
        ((4, 5, 7, 3), {"axistags": tags("zyxc")}, (..., 2)),
        ((3, 4, 5, 7), {"axes": ["channel", "z", "y", "x"]}, (2,)),
        ((3, 4, 5, 7), {"axis_names": ["c^", "z", "y", "x"]}, (2,)),
        ((3, 4, 5, 7), {"resolution": [1, 1, 1]}, (2,)),
        ((1, 4, 5, 7, 3), {"axistags": tags("tzyxc")}, (0, ..., 2)),
    ],
)
def test_axes(path, rng, shape, attributes, expected):
    stored = rng.integers(0, 100, shape).astype("u1")
    write(path, stored, attributes=attributes)
    channel = "2" if 3 in shape else None
    assert (open_level(path, channel=channel).array[:, :, :] == stored[expected]).all()
    if channel:
        with pytest.raises(ValueError, match=r"/volumes/raw has the channels 0, 1, 2; choose"):
            open_level(path)


def test_transposed_axes_and_axis_labels(path, voxels):
    write(path, voxels)
    with h5py.File(path, "a") as file:
        for number, label in enumerate("xzy"):
            file["volumes/raw"].dims[number].label = label
    array = open_level(path).array
    assert (array[:, :, :] == voxels.transpose(1, 2, 0)).all()
    assert (array[1:4, 2:7, 3:4] == voxels.transpose(1, 2, 0)[1:4, 2:7, 3:4]).all()


@pytest.mark.parametrize(
    ("shape", "attributes", "message"),
    [
        ((2, 3, 4, 5), {}, r"has shape \(2, 3, 4, 5\) and no names of its axes"),
        ((4, 5, 7, 3), {"axes": "zyxq"}, r"has shape \(4, 5, 7, 3\) and no names of its axes"),
        ((2, 3, 4, 5), {"axes": "tzyx"}, r"is a time series of 2 points; save one of them"),
        ((2, 3, 4), {"axistags": "{"}, r"axistags is damaged"),
        ((2, 3, 4), {"resolution": [4, 4]}, "attributes list 2 values for the axes"),
        ((2, 3, 4), {"axistags": "{}", "axis_units": "{"}, "axis_units is damaged"),
        ((2, 3, 0), {}, r"has shape \(2, 3, 0\) and therefore no voxel"),
    ],
)
def test_other_shapes(path, shape, attributes, message):
    write(path, np.zeros(shape, "u1"), attributes=attributes)
    with pytest.raises(ValueError, match=rf"cell.h5:/volumes/raw.* {message}"):
        open_level(path)


def test_the_only_volume_is_found_else_all_are_listed(path, voxels):
    write(path, voxels, "raw")
    write(path, voxels[..., None], "exported_data")
    write(path, voxels[0], "plane")
    assert (read_all(path) == voxels).all()
    write(path, voxels.astype("f4"), "other")
    listed = r"/exported_data \(4 x 5 x 7 x 1, uint16\), /other \(4 x 5 x 7, float32\), /raw "
    with pytest.raises(ValueError, match=rf"cell.h5 holds {listed}.*; name one: .*cell.h5:/export"):
        open_level(path)
    assert read_all(f"{path}:/other").dtype == np.float32
    with pytest.raises(ValueError, match=rf"there is no /volumes; it holds {listed}"):
        open_level(f"{path}:/volumes/raw")
    for number in range(20):
        write(path, voxels, f"{number:02d}")
    with pytest.raises(ValueError, match=r"/09 \(4 x 5 x 7, uint16\) and 13 more; name one"):
        open_level(path)


def test_a_group_a_plane_and_an_empty_file(path, voxels):
    write(path, voxels[0], "group/plane")
    with pytest.raises(ValueError, match=r"cell.h5 holds no volume; a volume has three axes"):
        open_level(path)
    with pytest.raises(ValueError, match=r"/group is no array; it holds no volume"):
        open_level(f"{path}:/group")
    with pytest.raises(ValueError, match=r"/group/plane is no group"):
        open_level(f"{path}:/group/plane/x")
    with pytest.raises(ValueError, match=r"plane has shape \(5, 7\) and no names of its axes"):
        open_level(f"{path}:/group/plane")


def test_links_within_the_file_are_followed(path, voxels):
    write(path, voxels)
    with h5py.File(path, "a") as file:
        file["soft"] = h5py.SoftLink("/volumes")
        file["volumes/relative"] = h5py.SoftLink("raw")
        file["volumes/again"] = file["volumes"]  # a circle
        file["loop"] = h5py.SoftLink("/loop")
    for name in ("soft/raw", "soft/relative", "volumes/again/raw"):
        assert (read_all(f"{path}:/{name}") == voxels).all()
    with pytest.raises(ValueError, match="it has too many soft links"):
        open_level(f"{path}:/loop")


def test_other_files_are_not_opened(path, voxels, tmp_path, monkeypatch):
    secret = write(tmp_path / "secret.h5", voxels)
    (tmp_path / "secret.bin").write_bytes(bytes(140))
    layout = h5py.VirtualLayout(SHAPE, "u2")
    layout[:] = h5py.VirtualSource(secret, "volumes/raw", SHAPE)
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(secret, "/volumes")
        file["soft"] = h5py.SoftLink("/link/raw")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", SHAPE, "u1", external=[(tmp_path / "secret.bin", 0, 140)])
    secret.unlink()
    os.mkfifo(secret)  # opening it would block
    for name, message in {
        "link/raw": r"/link is a link to another f.*/secret.h5:/volumes; it holds",
        "soft": "/link is a link to another f",
        "virtual": "cell.h5:/virtual is a virtual dataset, which shows other files; copy",
        "outside": r"cell.h5:/outside is stored in another file \(external storage\); copy",
    }.items():
        with pytest.raises(ValueError, match=message):
            open_level(f"{path}:/{name}")
    with pytest.raises(ValueError, match=r"cell.h5 holds no volume"):
        open_level(path)


def test_other_dtypes(path):
    write(path, np.zeros(SHAPE, "c8"), "complex")
    write(path, np.zeros(SHAPE, "S3"), "text")
    write(path, np.zeros(SHAPE, [("r", "u1"), ("g", "u1"), ("b", "u1")]), "colour")
    write(path, np.zeros(SHAPE, np.longdouble), "long")
    for name in ("complex", "text", "colour", "long"):
        with pytest.raises(ValueError, match=rf"cell.h5:/{name} is an array of .*; allowed: bool"):
            open_level(f"{path}:/{name}")


def test_an_unknown_filter_is_named(path, voxels):
    write(path, voxels, chunks=(2, 3, 4), compression="lzf")
    data = path.read_bytes()
    lzf = (32000).to_bytes(2, "little")
    assert data.count(lzf) == 1
    path.write_bytes(data.replace(lzf, (32001).to_bytes(2, "little")).replace(b"lzf\0", b"abc\0"))
    message = r"is compressed with abc \(HDF5 filter 32001\), which is not installed; save it with"
    with pytest.raises(ValueError, match=message):
        open_level(path)


def test_absurd_shapes(path, voxels):
    write(path, voxels, "small")
    with h5py.File(path, "a") as file:
        file.create_dataset("large", (10**6,) * 3, "u1", chunks=(64, 64, 64))
        file.create_dataset("tiny", (10**4, 10**3, 10**3), "u1", chunks=(1, 1, 1))
    with pytest.raises(ValueError, match=r"cell.h5:/large states .* 1e\+03 PB|1 EB, but the file"):
        open_level(f"{path}:/large")
    with pytest.raises(ValueError, match=r"10000000000 chunks of 1 x 1 x 1 voxels, too many"):
        open_level(f"{path}:/tiny")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cell.h5 is truncated; copy it again"):
        open_level(f"{path}:/small")


def test_large_chunks(path, voxels, monkeypatch):
    write(path, voxels, chunks=(4, 5, 7))
    monkeypatch.setattr(chunk_limits, "MAX_CHUNK_BYTES", 100)
    monkeypatch.setattr(chunk_limits, "free_memory_bytes", lambda: 400)
    with pytest.raises(ValueError, match="has chunks of 4 x 5 x 7 voxels, 280 B each; save it in"):
        open_level(path)


def test_damage(path, voxels):
    attributes = {"resolution": [40.0, 4, 4], "offset": [1.0, 2, 3], "axes": np.bytes_("zyx")}
    write(path, voxels, attributes=attributes, chunks=(2, 3, 4), compression="gzip")
    check_damaged(path, "", count=100, header=2000)
    check_damaged(path, ":/volumes/raw", count=200, header=2000)
    check_changed(path)


def test_damaged_texts(path, voxels):
    """The library reads such a heap forever."""
    write(path, voxels, attributes={"axes": "zyx", "axistags": tags("zyx")})
    check_damaged(path, count=100, header=4000)
    data = bytearray(path.read_bytes())
    free = data.find(b"GCOL") + 16
    while data[free : free + 2] != b"\0\0":
        free += 16 + -(-int.from_bytes(data[free + 8 : free + 16], "little") // 8) * 8
    data[free + 8 : free + 16] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match=rf"cell.h5 cannot .* its texts are damaged at byte {free}"
    ):
        open_level(path)


def test_other_options_and_files(path, voxels):
    write(path, voxels)
    with pytest.raises(ValueError, match=r"cell.h5 is HDF5; --invert is for TIFF"):
        open_level(path, invert=True)
    with pytest.raises(ValueError, match="there is no channel 3"):
        open_level(path, channel="3")
    path.write_bytes(b"not HDF5" * 100)
    with pytest.raises(ValueError, match=r"cell.h5 cannot be read, or is damaged: it is no HDF5"):
        open_level(path)


def test_import(path, rng, tmp_path):
    voxels = rng.integers(0, 99, (30, 40, 50)).astype("u2")
    write(path, voxels, attributes={"resolution": [6, 5, 4], "offset": [60, 50, 40]})
    assert main(["import", str(path), str(tmp_path / "out")]) == 0
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == voxels).all()
    assert volume.voxel_size == (6.0, 5.0, 4.0)
    assert volume.offset_nm == (63.0, 52.5, 42.0)


def test_chunks_of_whole_planes_are_decoded_once(path, rng, tmp_path, monkeypatch):
    voxels = rng.integers(0, 99, (3, 600, 10)).astype("u1")
    write(path, voxels, chunks=(1, 600, 10), compression="gzip", attributes={"resolution": [4] * 3})
    assert not open_level(path).array.can_read_rows
    monkeypatch.setattr(import_copy, "MAX_BAND_BYTES", 1)
    monkeypatch.setattr(slab_buffer, "MAX_IN_MEMORY_SLAB_BYTES", 1000)  # a buffer file
    monkeypatch.setattr(band_reading, "MAX_PIECE_BYTES", 1)
    boxes, read = [], hdf5_array.Hdf5Array.__getitem__
    monkeypatch.setattr(
        hdf5_array.Hdf5Array, "__getitem__", lambda *args: boxes.append(args[1]) or read(*args)
    )
    assert main(["import", str(path), str(tmp_path / "out")]) == 0
    assert len(boxes) == 3
    volume = ngff.open_image(tmp_path / "out")
    assert (volume.read(volume.roi) == voxels).all()


def test_a_bad_file_gives_one_line(path, voxels, tmp_path, capsys):
    write(path, voxels)
    write(path, voxels, "volumes/other")
    assert main(["import", str(path), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r".*cell.h5 holds /volumes/other \(.*\); name one: .*\n", error)
    assert not (tmp_path / "out").exists()


def test_colours_as_the_last_axis(path, rng):
    colours = rng.integers(0, 200, (6, 5, 7, 3)).astype(np.uint8)
    write(path, colours)
    with h5py.File(path, "a") as file:
        file["volumes/raw"].attrs["resolution"] = [5.0, 4.0, 4.0]
    assert (open_level(path, channel="2").array[:, :, :] == colours[..., 2]).all()
