"""Exports in each format: read back by the reference libraries and by asem, positions included."""

import json
import warnings
from typing import get_args

import imagecodecs
import mrcfile
import numpy as np
import pytest
import tensorstore as ts
import tifffile
import zarr
from yaozarrs import v04

from asem.blocks.output_image import create_image
from asem.cli import main
from asem.cli.options import ExportFormatName
from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from asem.volume.sources import open_source, open_volume
from asem.volume.volume import OriginalGrid, Volume
from asem.workflows import export_n5, export_planes, exporting
from asem.workflows.exporting import export_volume
from chunked import add_attributes, write_n5

SHAPE = (9, 70, 127)
SIZE = (5.24, 4.1, 3.97)
OFFSET = (52.4, -8.2, 397.0)
WHOLE = (slice(None),) * 3
UNSIGNED = ["uint8", "uint16", "uint32", "uint64"]
CHUNKED = ["n5", "precomputed", "ome-zarr-0.4", "ome-zarr-0.5"]
IMAGES = ["uint8", "uint16", "int16", "float32", "float64", "int64"]


def make_image(path, voxels, *, kind="image", offset_nm=OFFSET, grid=None, size=SIZE):
    volume = Volume(voxels, size, offset_nm, kind=kind, stated_grid=grid)
    with create_image(path, volume, command="test", request={}, sources=[]) as output:
        output.fill(volume.read, stage="test", voxel_bytes=8)
    return path


@pytest.fixture
def make(tmp_path, rng):
    """Make an image at tmp_path/raw; return its voxels."""

    def make(dtype="uint8", shape=SHAPE, **options):
        top = 1000 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
        voxels = (rng.random(shape) * top).astype(dtype)
        make_image(tmp_path / "raw", voxels, **options)
        return voxels

    return make


def assert_same(path, voxels, *, offset_nm=OFFSET, size=SIZE, kind=None, tolerance=0.0):
    volume = open_source(path, kind=kind)
    assert volume.dtype == voxels.dtype
    np.testing.assert_array_equal(volume.read(volume.roi), voxels)
    np.testing.assert_allclose(volume.voxel_size, size, rtol=tolerance)
    np.testing.assert_allclose(volume.offset_nm, offset_nm, rtol=tolerance, atol=tolerance)
    return volume


def levels_of(path):
    return open_source_image(Address.parse(path)).levels


def assert_same_levels(path, raw):
    """Every level has the voxels and the position of that of the image."""
    exported, own = levels_of(path), levels_of(raw)
    assert len(exported) == len(own) == 2
    for level, of_raw in zip(exported, own, strict=True):
        np.testing.assert_array_equal(level.array[WHOLE], of_raw.array[WHOLE])
        assert level.voxel_size == of_raw.voxel_size
        np.testing.assert_allclose(level.offset_nm, of_raw.offset_nm, rtol=1e-14)


@pytest.mark.parametrize("name", ["ome-zarr-0.4", "ome-zarr-0.5"])
@pytest.mark.parametrize(
    ("dtype", "kind"), [(d, "image") for d in IMAGES] + [(d, "labels") for d in UNSIGNED]
)
def test_ome_zarr(make, tmp_path, name, dtype, kind):
    voxels = make(dtype, kind=kind)
    export_volume(tmp_path / "raw", tmp_path / "out.zarr", format_name=name)
    assert assert_same(tmp_path / "out.zarr", voxels).kind == kind
    assert_same_levels(tmp_path / "out.zarr", tmp_path / "raw")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert group.metadata.zarr_format == (2 if name.endswith("4") else 3)
    np.testing.assert_array_equal(group["0"][:], voxels)
    if name.endswith("4"):
        attributes = json.loads((tmp_path / "out.zarr/.zattrs").read_text())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = v04.Image.model_validate(attributes)
        assert [axis.unit for axis in image.multiscales[0].axes] == ["nanometer"] * 3
        assert ("image-label" in attributes) == (kind == "labels")


@pytest.mark.parametrize("offset_nm", [OFFSET, (0.0, 0.0, 0.0), (18.34, 10.25, -13.895)])
@pytest.mark.parametrize(
    ("dtype", "kind"),
    [(d, "image") for d in ("uint8", "uint16", "int16", "float32")]
    + [(d, "labels") for d in UNSIGNED],
)
def test_precomputed(make, tmp_path, caplog, dtype, kind, offset_nm):
    voxels = make(dtype, kind=kind, offset_nm=offset_nm)
    out = tmp_path / "out.precomputed"
    export_volume(tmp_path / "raw", out)
    assert assert_same(out, voxels, offset_nm=offset_nm).kind == kind
    assert_same_levels(out, tmp_path / "raw")
    info = json.loads((out / "info").read_text())
    scale = info["scales"][0]
    is_segmentation = kind == "labels" and dtype in ("uint32", "uint64")
    assert scale["encoding"] == ("compressed_segmentation" if is_segmentation else "raw")
    assert scale["resolution"] == [3.97, 4.1, 5.24]
    # The centre is half a voxel after the corner, which is a whole number of voxels.
    corner = np.array(scale["voxel_offset"])[::-1]
    np.testing.assert_allclose((corner + 0.5) * SIZE, offset_nm, atol=2.63)
    kvstore = {"driver": "file", "path": f"{out}/"}
    store = ts.open({"driver": "neuroglancer_precomputed", "kvstore": kvstore}).result()
    np.testing.assert_array_equal(store[ts.d["channel"][0]].read().result().T, voxels)
    messages = [record.message for record in caplog.records]
    whole_level = 1 if offset_nm[0] == 18.34 else 0
    (message,) = [text for text in messages if "precomputed volumes start" in text]
    assert f"in other programs level {whole_level} of 2 is shifted by" in message


def test_a_position_at_whole_voxels_is_exact_in_precomputed(make, tmp_path, caplog):
    make(shape=(3, 4, 5), offset_nm=(13.1, 10.25, -13.895))
    export_volume(tmp_path / "raw", tmp_path / "out.precomputed")
    info = json.loads((tmp_path / "out.precomputed/info").read_text())
    assert info["scales"][0]["voxel_offset"] == [-4, 2, 2]
    assert not caplog.records


@pytest.mark.parametrize("first", [0.0, 0.25, 0.5, -3.0])
def test_crops_keep_their_distance_in_precomputed(tmp_path, first):
    """The corner of an image whose first centre is at 0 nm is half a voxel before 0."""
    offsets = []
    for start in range(5):
        offset_nm = tuple((first + start) * size for size in SIZE)
        make_image(tmp_path / f"{start}", np.ones((2, 3, 4), np.uint8), offset_nm=offset_nm)
        export_volume(tmp_path / f"{start}", tmp_path / f"{start}.precomputed")
        info = json.loads((tmp_path / f"{start}.precomputed/info").read_text())
        offsets.append(info["scales"][0]["voxel_offset"])
    assert offsets == [[int(first // 1) + start] * 3 for start in range(5)]


@pytest.mark.parametrize(
    ("dtype", "kind"), [(d, "image") for d in IMAGES] + [(d, "labels") for d in UNSIGNED]
)
def test_n5(make, tmp_path, dtype, kind):
    voxels = make(dtype, kind=kind)
    export_volume(tmp_path / "raw", tmp_path / "out.n5")
    levels = levels_of(tmp_path / "raw")
    attributes = json.loads((tmp_path / "out.n5/attributes.json").read_text())
    assert attributes["n5"]
    assert attributes["pixelResolution"] == {"dimensions": [3.97, 4.1, 5.24], "unit": "nm"}
    assert attributes["scales"] == [[1, 1, 1], [2, 2, 2]]
    datasets = attributes["multiscales"][0]["datasets"]
    for number, level in enumerate(levels):
        folder = tmp_path / f"out.n5/s{number}"
        spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{folder}/"}}
        store = ts.open(spec, read=True).result()
        read = store.read().result().T
        assert read.dtype == voxels.dtype
        np.testing.assert_array_equal(read, level.array[WHOLE])
        own = json.loads((folder / "attributes.json").read_text())
        assert own["transform"] == {
            "axes": ["z", "y", "x"],
            "scale": list(level.voxel_size),
            "translate": list(level.offset_nm),
            "units": ["nm", "nm", "nm"],
        }
        assert datasets[number] == {"path": f"s{number}", "transform": own["transform"]}
        assert own["pixelResolution"]["dimensions"] == list(level.voxel_size[::-1])
    assert len(datasets) == 2


@pytest.mark.parametrize(
    ("name", "level"), [("n5", "s1"), ("precomputed", ""), ("ome-zarr-0.4", "1")]
)
@pytest.mark.parametrize("dtype", UNSIGNED)
@pytest.mark.parametrize("kind", ["image", "labels"])
def test_the_kind_is_stated(make, tmp_path, name, level, dtype, kind):
    voxels = make(dtype, kind=kind)
    voxels.flat[:2] = 0, np.iinfo(dtype).max
    make_image(tmp_path / "given", voxels, kind=kind)
    export_volume(tmp_path / "given", tmp_path / "out", format_name=name)
    for address in (tmp_path / "out", tmp_path / "out" / level):
        assert open_volume(address).kind == kind
    volume = open_volume(tmp_path / "out")
    np.testing.assert_array_equal(volume.read(volume.roi), voxels)


def test_n5_states_the_values_of_labels(make, tmp_path):
    make("uint16", shape=(2, 3, 4), kind="labels")
    export_volume(tmp_path / "raw", tmp_path / "out.n5")
    for document in ("attributes.json", "s0/attributes.json"):
        attributes = json.loads((tmp_path / "out.n5" / document).read_text())
        assert attributes["cellmap"]["annotation"] == {
            "class_name": "raw",
            "complement_counts": {},
            "annotation_type": {
                "type": "instance_segmentation",
                "encoding": {"absent": 0, "unknown": 65535},
            },
        }


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int16", "float32"])
def test_mrc(make, tmp_path, caplog, dtype):
    voxels = make(dtype)
    export_volume(tmp_path / "raw", tmp_path / "out.mrc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mrcfile.validate(tmp_path / "out.mrc")
        with mrcfile.open(tmp_path / "out.mrc") as file:
            np.testing.assert_array_equal(file.data, voxels)
            assert file.is_volume()
            size = [file.voxel_size[axis] / 10 for axis in "zyx"]
            offset = [file.header.origin[axis] / 10 for axis in "zyx"]
            statistics = [float(file.header[name]) for name in ("dmin", "dmax", "dmean", "rms")]
    expected = voxels.min(), voxels.max(), voxels.mean(dtype=float), voxels.std(dtype=float)
    np.testing.assert_allclose(statistics, expected, rtol=1e-6)
    np.testing.assert_allclose(size, SIZE, rtol=1e-6)
    np.testing.assert_allclose(offset, OFFSET, rtol=1e-6)
    assert [record.message.partition(": ")[2] for record in caplog.records] == (
        ["MRC has no uint8; the same values are stored as uint16"] if dtype == "uint8" else []
    )


def test_unlabelled_voxels_stay_unlabelled_in_mrc(tmp_path, caplog):
    labels = np.array([[[0, 1, 254, 255]]], np.uint8)
    make_image(tmp_path / "raw", labels, kind="labels")
    export_volume(tmp_path / "raw", tmp_path / "out.mrc")
    expected = np.array([[[0, 1, 254, 65535]]], np.uint16)
    assert_same(tmp_path / "out.mrc", expected, kind="labels", tolerance=1e-6)
    assert "stored as uint16, unlabelled voxels as 65535" in caplog.text


def test_mrc_states_a_lost_digit_of_the_offset(make, tmp_path, caplog):
    make("int16", shape=(2, 3, 4), offset_nm=(1e7 + 0.123, 0.0, 0.0))
    export_volume(tmp_path / "raw", tmp_path / "out.mrc")
    assert "MRC stores the offset with 7 digits; it is wrong by" in caplog.text


@pytest.mark.parametrize("dtype", [*IMAGES, "uint32", "uint64"])
def test_bigtiff(make, tmp_path, dtype):
    voxels = make(dtype, offset_nm=(0.0, 0.0, 0.0))
    export_volume(tmp_path / "raw", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_bigtiff
        assert len(file.pages) == len(voxels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), voxels)
    assert_same(tmp_path / "out.tif", voxels, offset_nm=(0.0,) * 3, tolerance=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_planes(make, tmp_path, dtype):
    voxels = make(dtype, offset_nm=(0.0, 0.0, 0.0))
    export_volume(tmp_path / "raw", tmp_path / "out", format_name="png")
    paths = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in paths[:2]] == ["raw_0000.png", "raw_0001.png"]
    read = np.stack([imagecodecs.imread(path) for path in paths])
    np.testing.assert_array_equal(read, voxels)
    volume = open_source(tmp_path / "out", voxel_size=SIZE)
    np.testing.assert_array_equal(volume.read(volume.roi), voxels)


@pytest.mark.parametrize("out", ["out", "out.tif", "png"])
def test_formats_without_position_are_on_the_original_grid(make, tmp_path, caplog, out):
    grid = OriginalGrid((12, 72, 140), tuple(o - 2 * s for o, s in zip(OFFSET, SIZE, strict=True)))
    voxels = make(grid=grid)
    name = "png" if out == "png" else None
    export_volume(tmp_path / "raw", tmp_path / out, format_name=name)
    volume = open_source(tmp_path / out, voxel_size=SIZE)
    expected = np.zeros(grid.shape, np.uint8)
    expected[2:11, 2:72, 2:129] = voxels
    np.testing.assert_array_equal(volume.read(volume.roi), expected)
    assert "planes store no position: the first voxel is at 41.92 x -16.4 x 389.06 nm" in (
        caplog.text
    )


def test_mrc_on_the_grid_of_another(make, tmp_path):
    voxels = make()
    larger = np.zeros((12, 72, 140), np.uint8)
    origin = tuple(o - 2 * s for o, s in zip(OFFSET, SIZE, strict=True))
    make_image(tmp_path / "whole", larger, offset_nm=origin)
    export_volume(tmp_path / "raw", tmp_path / "out.mrc", like=tmp_path / "whole")
    with mrcfile.open(tmp_path / "out.mrc") as file:
        np.testing.assert_array_equal(file.data[2:11, 2:72, 2:129], voxels)
        assert file.data.shape == larger.shape
        assert file.header.origin.z == pytest.approx(419.2)


@pytest.mark.parametrize(
    ("dtype", "name", "message"),
    [
        ("uint32", "png", "raw holds uint32; PNG has uint8, uint16: choose another --format"),
        ("uint32", "mrc", "raw holds uint32; MRC has int8, int16, uint16, float32, uint8"),
        ("float64", "precomputed", "raw holds float64; precomputed has uint8, uint16"),
    ],
)
def test_a_dtype_that_a_format_has_not(make, tmp_path, monkeypatch, capsys, dtype, name, message):
    make(dtype, shape=(2, 3, 4))
    monkeypatch.chdir(tmp_path)
    assert main(["export", "raw", "out", "--format", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_like_is_for_formats_without_a_pyramid(make, tmp_path, monkeypatch, capsys):
    make(shape=(2, 3, 4))
    monkeypatch.chdir(tmp_path)
    for out in ("out.n5", "out.zarr"):
        assert main(["export", "raw", out, "--like", "raw"]) == 2
        assert "--like is for planes, bigtiff and mrc" in capsys.readouterr().err


def test_an_unknown_format_is_named(make, tmp_path):
    make(shape=(2, 3, 4))
    with pytest.raises(ValueError, match="there is no format tga; allowed: tiff, png, bigtiff,"):
        export_volume(tmp_path / "raw", tmp_path / "out", format_name="tga")


def test_a_suffix_chooses_the_format(make, tmp_path, monkeypatch, capsys):
    make(shape=(2, 3, 4))
    monkeypatch.chdir(tmp_path)
    for out, kind in (("a.n5", "folder"), ("b.TIF", "file"), ("c", "folder"), ("d.rec", "file")):
        assert main(["export", "raw", out, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {kind: out, "planes": 2}
    assert main(["export", "raw", "e.n5", "--format", "mrc"]) == 0
    assert mrcfile.validate("e.n5")


@pytest.mark.parametrize("name", ["out.h5", "out.nii.gz", "out.PNG", "out.jpg"])
def test_a_suffix_that_is_not_written_is_no_folder_of_planes(make, tmp_path, capsys, name):
    make("uint8", shape=(2, 3, 4))
    assert main(["export", str(tmp_path / "raw"), str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert f"no file with the suffix .{name.lower().rpartition('.')[2]} is written" in error
    assert main(["export", str(tmp_path / "raw"), str(tmp_path / name), "--format", "tiff"]) == 0


def test_an_export_in_another_format_is_not_replaced(make, tmp_path, monkeypatch, capsys):
    make("uint8", shape=(2, 3, 4))
    monkeypatch.chdir(tmp_path)
    assert main(["export", "raw", "out.n5"]) == 0
    assert main(["export", "raw", "out.n5", "--format", "precomputed", "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "out.n5 exists already and is not a precomputed export of asem" in error


OUTPUTS = [
    "out.n5", "out.precomputed", "out.mrc", "out.tif", "png:out", "ome-zarr-0.4:out", "out.zarr",
]  # fmt: skip


def words_of(output):
    name, _, path = output.rpartition(":")
    return ["export", "raw", path, *(["--format", name] if name else [])], path


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_export_is_replaced_on_request_only(make, tmp_path, monkeypatch, capsys, output):
    make("uint16", shape=(2, 3, 4), offset_nm=(0.0,) * 3)
    monkeypatch.chdir(tmp_path)
    words, path = words_of(output)
    assert main(words) == 0
    before = sorted(p.name for p in tmp_path.iterdir())
    assert main(words) == 2
    assert f"{path} exists already; give --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("place", ["", "s0", "0"])
def test_other_files_are_never_replaced(make, tmp_path, monkeypatch, capsys, output, place):
    make("uint16", shape=(2, 3, 4))
    monkeypatch.chdir(tmp_path)
    words, path = words_of(output)
    assert main(words) == 0
    out = tmp_path / path
    if out.is_file():
        out.write_text("thesis")
        thesis = out
    else:
        (out / place).mkdir(exist_ok=True)
        thesis = out / place / "thesis.txt"
        thesis.write_text("thesis")
    assert main([*words, "--overwrite"]) == 2
    assert path in capsys.readouterr().err.splitlines()[-1]
    assert thesis.read_text() == "thesis"


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_interrupted_export_leaves_no_finished_output(make, tmp_path, monkeypatch, output):
    make("uint16")
    monkeypatch.chdir(tmp_path)
    words, path = words_of(output)

    def interrupt(*_):
        raise KeyboardInterrupt

    name = words[-1] if "--format" in words else None
    with pytest.raises(KeyboardInterrupt):
        export_volume(tmp_path / "raw", tmp_path / path, format_name=name, progress=interrupt)
    if path != "out.zarr":  # this one is resumed
        assert sorted(p.name for p in tmp_path.iterdir()) == ["raw"]
    with pytest.raises((ValueError, OSError)):
        open_volume(tmp_path / path)
    assert main(words) == 0


def test_a_voxel_of_a_level_that_is_zero_everywhere(tmp_path):
    """Neuroglancer's chunks of zeros have files, as other programs report missing ones."""
    make_image(tmp_path / "raw", np.zeros((5, 6, 7), np.uint8))
    export_volume(tmp_path / "raw", tmp_path / "out.precomputed")
    assert len(list((tmp_path / "out.precomputed/s0").iterdir())) == 1


def test_a_full_disk_is_named(make, tmp_path, monkeypatch, capsys):
    """tifffile writes to /dev/full through the file that `export_planes` opens."""
    make("uint16", shape=(2, 300, 400), offset_nm=(0.0,) * 3)
    monkeypatch.chdir(tmp_path)

    opened = export_planes._PlainFile
    monkeypatch.setattr(export_planes, "_PlainFile", lambda path, mode: opened("/dev/full", mode))
    assert main(["export", "raw", "out.tif"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "out.tif").exists()


def test_a_fault_of_a_chunked_writer_is_one_line(make, tmp_path, monkeypatch, capsys):
    make("uint16", shape=(2, 3, 4))
    monkeypatch.chdir(tmp_path)

    class Full:
        def __getitem__(self, index):
            return self

        def write(self, voxels):
            raise ValueError("RESOURCE_EXHAUSTED: no space [context]\nmore lines")

    monkeypatch.setattr(export_n5, "create_store", lambda *_, **__: Full())
    assert main(["export", "raw", "out.n5"]) == 2
    error = capsys.readouterr().err
    assert "writing failed: no space" in error.splitlines()[-1]
    assert "neuroglancer shows N5 at position 0" in " ".join(error.split())
    assert not (tmp_path / "out.n5").exists()


def test_an_export_of_an_export(make, tmp_path):
    """Formats are read without an import where they state the voxel size."""
    voxels = make("uint16")
    for source, out in (("raw", "a.precomputed"), ("a.precomputed", "b.zarr"), ("b.zarr", "c.n5")):
        export_volume(tmp_path / source, tmp_path / out)
    assert_same(tmp_path / "b.zarr", voxels)
    assert len(list((tmp_path / "c.n5").glob("s*"))) == 2


def write_labels_of_cosem(group):
    """Write ids of two levels: 0 is unlabelled, 9 background."""
    encoding = {"unknown": 0, "absent": 9, "present": 1}
    annotation = {"annotation_type": {"encoding": encoding}}
    for number, size in ((0, 8.0), (1, 16.0)):
        shape = (8 // 2**number,) * 3
        voxels = np.resize(np.array([0, 1, 9], np.uint8), shape)
        transform = {"axes": ["z", "y", "x"], "scale": [size] * 3, "translate": [size / 2] * 3}
        write_n5(group / f"s{number}", voxels, {"transform": {**transform, "units": ["nm"] * 3}})
    add_attributes(group / "attributes.json", {"cellmap": {"annotation": annotation}})
    return group


@pytest.mark.parametrize("name", CHUNKED)
@pytest.mark.parametrize("level", [0, 1])
def test_every_level_of_labels_is_converted(tmp_path, name, level):
    source = write_labels_of_cosem(tmp_path / "source.n5")
    export_volume(f"{source}#{level}" if level else source, tmp_path / "out", format_name=name)
    levels = levels_of(tmp_path / "out")
    assert len(levels) == (1 if name == "ome-zarr-0.5" else 2 - level)
    for number, one in enumerate(levels, level):
        shape = (8 // 2**number,) * 3
        expected = np.resize(np.array([255, 1, 0], np.uint8), shape)
        np.testing.assert_array_equal(one.array[WHOLE], expected)
        size = 8.0 * 2**number
        assert (one.voxel_size, one.offset_nm) == ((size,) * 3, (size / 2,) * 3)


def test_the_command_offers_every_format():
    assert set(get_args(ExportFormatName)) == {form.name for form in exporting.FORMATS}
