"""What an import makes of numbers that may not be meant: labels, windows, padding."""

import json
import re

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from asem.cli import main
from asem.image.clahe import ClaheConfig
from asem.volume.formats.source_image import SourceOptions
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.workflows.clahe import clahe_volume
from asem.workflows.describe import describe_volume
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.importing import ImportOptions, import_volume
from asem.workflows.segment import segment_volume

SIZE = (5.0, 5.0, 5.0)


def imported(folder, voxels, name="out", **options):
    path = folder / f"{name}.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack")
    return import_volume(path, folder / name, voxel_size=SIZE, overwrite=True, **options)


def labels(folder, voxels, unlabelled="auto", name="out"):
    options = ImportOptions(unlabelled=unlabelled)
    return imported(folder, voxels, name, kind="labels", options=options)


def read(volume):
    return volume.read(volume.roi)


def filled(*values, dtype=np.uint8):
    """A volume of 8 x 8 x 16 voxels: pairs of value and number, then the last value."""
    voxels = np.full(1024, values[-1], dtype)
    start = 0
    for value, number in values[:-1]:
        voxels[start : start + number] = value
        start += number
    return voxels.reshape(8, 8, 16)


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (filled((0, 512), 255), "holds only 0 and 255, .* means unlabelled; write foreground as 1"),
        (filled(255), "holds only 255"),
        (filled((254, 1), 255), "1023 voxels of 255, .* and 1 of ids up to 254: it looks like"),
        (filled((0, 512), (254, 200), 255), "looks like a mask of 0 and 255"),
        (filled((0, 512), (128, 1), (3, 2), (240, 2), 255), "looks like a mask of 0 and 255"),
        (filled((0, 512), (127, 2), 255), "looks like a mask of 0 and 255"),
        (
            filled((0, 512), (2**32 - 2, 3), 2**32 - 1, dtype=np.uint32),
            "a mask of 0 and 4294967295",
        ),
        (filled((0, 512), (65_534, 9), 65_535, dtype=np.uint16), "a mask of 0 and 65535"),
        (filled((0, 512), 65_535, dtype=np.uint16), "holds only 0 and 65535"),
    ],
)
def test_masks_are_not_taken_for_unlabelled(tmp_path, voxels, message):
    with pytest.raises(ValueError, match=message):
        labels(tmp_path, voxels)
    assert not (tmp_path / "out").exists()
    found = labels(tmp_path, voxels, "none")
    assert found.dtype.itemsize == 2 * voxels.dtype.itemsize
    assert (read(found) == voxels).all()
    largest = int(np.iinfo(voxels.dtype).max)
    assert (read(labels(tmp_path, voxels, largest)) == voxels).all()


@pytest.mark.parametrize(
    "voxels", [filled((0, 100), (1, 100), 255), filled((0, 100), (1, 20), (2, 30), (3, 9), 255)]
)
def test_a_partly_labelled_volume_is_what_it_was(tmp_path, voxels, caplog):
    found = labels(tmp_path, voxels)
    assert (read(found) == voxels).all()
    assert caplog.text == ""
    assert describe_volume(tmp_path / "out")["voxels"] == {
        "foreground": int(((voxels > 0) & (voxels < 255)).sum()),
        "background": int((voxels == 0).sum()),
        "unlabelled": int((voxels == 255).sum()),
    }


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (filled((1, 100), 2), "has no background .*ilastik writes 1 and 2"),
        (filled(1), "has no background"),
        (filled((1, 500), 255), "has no background .* and unlabelled voxels"),
        (filled(0), "has no foreground"),
        (
            np.repeat(np.arange(256), 4).reshape(8, 8, 16).astype(np.uint8),
            "holds both 255 and 254, .* soft border",
        ),
        (filled((0, 9), (1, 2), 255), "1013 voxels are unlabelled .* only 2 foreground"),
    ],
)
def test_labels_that_look_mistaken_are_warned_of(tmp_path, voxels, message, caplog):
    found = labels(tmp_path, voxels)
    assert (read(found) == voxels).all()
    assert re.search(message, caplog.text)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.float32, np.float64])
def test_whole_numbers_become_ids(tmp_path, dtype, caplog):
    voxels = filled((0, 100), (3, 7), 100, dtype=dtype)
    caplog.set_level("INFO", "asem")
    found = labels(tmp_path, voxels)
    assert found.dtype == np.dtype(f"u{np.dtype(dtype).itemsize}")
    assert (read(found) == voxels).all()
    assert f"is stored as {found.dtype}" in caplog.text


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (np.int16, -2, r"holds -2 at \(z, y, x\) = \(0, 6, 4\); labels are whole numbers from 0"),
        (np.int32, -1, "if -1 is unlabelled, give --unlabelled -1"),
        (np.float32, 0.5, "holds 0.5 at"),
        (np.float32, np.nan, "holds nan at"),
        (np.float64, np.inf, "holds inf at"),
        (np.float32, 2.0**32, "holds 4294967296.0 at"),
        (np.float64, 2.0**64, "holds 1.8446744073709552e"),
    ],
)
def test_values_that_are_no_ids_are_named(tmp_path, dtype, value, message):
    with pytest.raises(ValueError, match=message):
        labels(tmp_path, filled((0, 100), (value, 1), 2, dtype=dtype))
    assert not (tmp_path / "out").exists()


def test_large_ids_stay_exact(tmp_path):
    ids = np.array([0, 2**31 - 1, 2**53 - 1, 2**62 + 1]).reshape(1, 1, 4)
    assert read(labels(tmp_path, ids)).tolist() == ids.tolist()
    ids = np.array([0, 2**31 - 1, 5, 7], np.int32).reshape(1, 1, 4)
    assert read(labels(tmp_path, ids, "none")).tolist() == ids.tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_the_largest_value_of_a_signed_dtype_is_unlabelled(tmp_path, caplog, dtype):
    caplog.set_level("INFO", "asem")
    most = np.iinfo(dtype).max
    voxels = filled((0, 300), (3, 300), most, dtype=dtype)
    volume = labels(tmp_path, voxels)
    found = read(volume)
    assert (found[voxels == most] == np.iinfo(found.dtype).max).all()
    assert (found[voxels < most] == voxels[voxels < most]).all()
    counted = describe_volume(tmp_path / "out")["voxels"]
    assert counted == {"foreground": 300, "background": 300, "unlabelled": 424}
    assert f"in which {np.iinfo(found.dtype).max} means unlabelled" in caplog.text
    assert (read(labels(tmp_path, voxels, "none")) == voxels).all()
    with pytest.raises(ValueError, match=f"looks like a mask of 0 and {most}|only 0 and {most}"):
        labels(tmp_path, filled((0, 512), most, dtype=dtype))
    caplog.clear()
    labels(tmp_path, filled((0, 200), (most - 1, 400), (1, 200), (2, 200), most, dtype=dtype), most)
    assert f"holds both {most} and {most - 1}, and {most} means unlabelled" in caplog.text


def test_any_value_may_be_the_unlabelled_one(tmp_path):
    voxels = filled((-1, 300), (0, 300), 7, dtype=np.int32)
    found = read(labels(tmp_path, voxels, -1))
    assert (found == np.where(voxels == -1, 2**32 - 1, voxels.astype(np.int64))).all()
    voxels = filled((0, 300), (254, 300), 255)
    for value in (0, 254):  # 255 then is one more object
        found = read(labels(tmp_path, voxels, value))
        assert (found == np.where(voxels == value, 65_535, voxels.astype(int))).all()
    with pytest.raises(ValueError, match="--unlabelled 300 is no value of uint8"):
        labels(tmp_path, voxels, 300)
    with pytest.raises(ValueError, match="imported as an image; --unlabelled is for labels"):
        imported(tmp_path, voxels, options=ImportOptions(unlabelled=0))


def test_a_segmentation_that_was_imported_as_an_image_has_no_score_of_zero(tmp_path):
    truth = filled((0, 600), 1)
    labels(tmp_path, truth, name="truth")
    for value in (1, 2, 100):
        imported(tmp_path, truth * value, "wrong")
        with pytest.raises(ValueError, match=r"values up to .* import it again with --kind la"):
            evaluate_volume(tmp_path / "wrong", tmp_path / "truth")
        with pytest.raises(ValueError, match="import it again with --kind labels"):
            segment_volume(tmp_path / "wrong", tmp_path / "segmentation")
    assert not (tmp_path / "segmentation").exists()
    imported(tmp_path, truth * 255, "mask")
    assert evaluate_volume(tmp_path / "mask", tmp_path / "truth")["all"]["f1"] == 1
    labels(tmp_path, truth, name="right")
    assert evaluate_volume(tmp_path / "right", tmp_path / "truth")["all"]["f1"] == 1


@pytest.mark.parametrize(
    "truth",
    [filled((0, 600), (1, 200), 200), filled((0, 600), (1, 200), 255), filled((3, 9), (190, 9), 7)],
)
def test_labels_that_were_imported_as_an_image_are_refused(tmp_path, truth):
    labels(tmp_path, truth, name="truth")
    imported(tmp_path, truth, "wrong")
    equal = r"neighbouring values are equal, as ids are.* --kind labels|values up to"
    with pytest.raises(ValueError, match=equal):
        evaluate_volume(tmp_path / "wrong", tmp_path / "truth")


def test_a_probability_of_another_program_is_warned_of(tmp_path, rng, caplog):
    truth = filled((0, 600), 1)
    labels(tmp_path, truth, name="truth")
    imported(tmp_path, rng.integers(0, 255, truth.shape).astype(np.uint8), "other")
    evaluate_volume(tmp_path / "other", tmp_path / "truth")
    assert "is read as a probability, foreground from 128 of 255 on; if it" in caplog.text


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint32, np.float32])
@pytest.mark.parametrize("roi", [None, "1:,2:,:"])
def test_padding_is_left_out_of_the_window(tmp_path, rng, dtype, roi):
    """Mean 33,500 with one row of 0: the window was (0, 36217)."""
    voxels = rng.normal(33_500, 900, (6, 70, 90)).astype(dtype)
    expected = np.percentile(voxels[:, 1:], [0.1, 99.9])
    voxels[:, 0] = 0
    found = imported(tmp_path, voxels, roi=roi)
    assert found.window == pytest.approx(expected, abs=3)
    assert found.padding == (0.0,)
    assert open_volume(tmp_path / "out").window == found.window


def test_a_window_that_is_given(tmp_path, rng):
    voxels = rng.integers(0, 60_000, (3, 8, 9)).astype(np.uint16)
    options = ImportOptions(window=(1000, 2000))
    assert imported(tmp_path, voxels, options=options).window == (1000, 2000)
    again = import_volume(
        tmp_path / "out", tmp_path / "again", options=ImportOptions(window=(5, 6))
    )
    assert again.window == (5, 6)
    with pytest.raises(ValueError, match="8-bit, which is always 0 to 255; --window is for 16-bit"):
        imported(tmp_path, voxels.astype(np.uint8), options=options)
    with pytest.raises(ValueError, match="is labels; --window is for"):
        imported(tmp_path, voxels, kind="labels", options=options)
    for bad in ((5, 5), (6, 5), (0, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match="give black,white, black first"):
            imported(tmp_path, voxels, options=ImportOptions(window=bad))


@pytest.mark.parametrize("window", [{"start": 5, "end": 6}, {"start": 9, "end": 1}, {}, None])
def test_what_a_viewer_writes_is_for_display(tmp_path, rng, window):
    voxels = rng.integers(0, 60_000, (3, 8, 9)).astype(np.uint16)
    measured = imported(tmp_path, voxels).window
    file = tmp_path / "out/zarr.json"
    metadata = json.loads(file.read_text())
    if window is None:
        metadata["attributes"]["ome"]["omero"] = {"channels": "all"}
    else:
        metadata["attributes"]["ome"]["omero"]["channels"][0]["window"] = window
    file.write_text(json.dumps(metadata))
    assert open_volume(tmp_path / "out").window == measured


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_clahe_does_not_count_padding(tmp_path, rng, dtype):
    """Equalizing a padded volume gives its sample what the sample alone gives."""
    scale = 1 if dtype == np.uint8 else 100
    sample = (rng.normal(120, 20, (16, 32, 32)) * scale).astype(dtype)
    padded = np.concatenate([sample, np.zeros_like(sample)], axis=2)
    options = ImportOptions(window=None if dtype == np.uint8 else (5_000, 20_000))
    config = ClaheConfig(kernel=(16, 16, 16))
    found = {}
    for name, voxels in (("sample", sample), ("padded", padded)):
        imported(tmp_path, voxels, name, options=options)
        found[name] = read(clahe_volume(tmp_path / name, tmp_path / f"{name}_clahe", config=config))
    # Tiles that touch the padding are mixed with its identity behind their centre.
    assert (found["padded"][:, :, :24] == found["sample"][:, :, :24]).all()
    assert (found["padded"][:, :, 48:] == 0).all()
    half = padded.copy()
    half[:, 3:20, 5:] = 0
    imported(tmp_path, half, "half", options=options)
    one = ClaheConfig(kernel=(16, 32, 64))
    assert open_volume(tmp_path / "half").padding == (0.0,)
    equalized = read(clahe_volume(tmp_path / "half", tmp_path / "half_clahe", config=one))
    there = equalized[half > 0]
    assert abs(np.mean(there) - 127.5) < 12  # flat, where padding in the histogram leaves > 200


def test_the_command_line_passes_on_what_is_chosen(tmp_path, capsys):
    voxels = np.arange(48, dtype=np.uint16).reshape(2, 2, 3, 4) * 1000
    tifffile.imwrite(
        tmp_path / "s.tif",
        voxels,
        imagej=True,
        resolution=(0.25, 0.25),
        metadata={"axes": "ZCYX", "unit": "nm", "spacing": 5},
    )
    words = ["import", str(tmp_path / "s.tif"), str(tmp_path / "out"), "--json"]
    assert main([*words, "--channel", "1", "--window=10,20", "--invert"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["voxel_size"] == [5.0, 4.0, 4.0]
    assert fields["window"] == [10.0, 20.0]
    assert (read(open_volume(tmp_path / "out")) == 65_535 - voxels[:, 1]).all()
    sized = [*words, "--overwrite", "--channel", "1", "--voxel-size", "9"]
    assert main(sized) == 2
    assert "give --voxel-size-override" in capsys.readouterr().err
    assert main([*sized, "--voxel-size-override"]) == 0
    assert json.loads(capsys.readouterr().out)["voxel_size"] == [9.0, 9.0, 9.0]
    for option, text in (("--window", "3"), ("--unlabelled", "x")):
        assert main([*words, "--overwrite", option, text]) == 2
        assert f"asem: {option} {text}: write" in capsys.readouterr().err


def test_the_command_line_counts_labels(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "s.tif", filled((0, 600), (-1, 24), 7, dtype=np.int16))
    words = ["import", str(tmp_path / "s.tif"), str(tmp_path / "out"), "--json", "--kind", "labels"]
    assert main([*words, "--voxel-size", "5", "--unlabelled", "-1"]) == 0
    counted = {"foreground": 400, "background": 600, "unlabelled": 24}
    assert json.loads(capsys.readouterr().out)["voxels"] == counted


def test_an_image_takes_no_tiff_options(tmp_path):
    imported(tmp_path, filled(3))
    options = ImportOptions(SourceOptions(invert=True))
    with pytest.raises(ValueError, match="is OME-Zarr; --invert is for TIFF"):
        import_volume(tmp_path / "out", tmp_path / "again", options=options)
    options = ImportOptions(SourceOptions(channel="1"))
    with pytest.raises(ValueError, match=r"has the channels 0 \(out\); there is no channel 1"):
        import_volume(tmp_path / "out", tmp_path / "again", options=options)


def test_labels_that_are_labels_already_are_not_taken_for_a_mask(tmp_path):
    voxels = filled((0, 100), (1, 400), 255)
    labels(tmp_path, voxels)
    crop = import_volume(tmp_path / "out", tmp_path / "crop", roi="4:,:,:")
    assert set(np.unique(read(crop))) == {255}
    assert crop.kind == "labels"


def test_a_taken_destination_is_refused_before_labels_are_read(tmp_path):
    labels(tmp_path, filled((0, 100), 1))
    stages = []
    with pytest.raises(FileExistsError, match="exists already"):
        import_volume(
            tmp_path / "out.tif",
            tmp_path / "out",
            voxel_size=SIZE,
            kind="labels",
            progress=lambda *step: stages.append(step),
        )
    assert stages == []


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"])
def test_images_of_every_dtype_have_a_window(tmp_path, rng, dtype):
    voxels = rng.normal(60, 9, (4, 20, 30)).astype(dtype)
    found = imported(tmp_path, voxels)
    assert (read(found) == voxels).all()
    low, high = (0, 255) if dtype == "u1" else np.percentile(voxels, [0.1, 99.9])
    assert found.window == pytest.approx((low, high), abs=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_crop_has_the_padding_of_the_whole(tmp_path, rng, dtype):
    voxels = rng.normal(120, 20, (4, 30, 40)).astype(dtype)
    voxels[2:] = np.clip(rng.normal(10, 30, (2, 30, 40)), 0, 255)  # 0 is sample, too
    voxels[0, :3] = 0
    whole = imported(tmp_path, voxels, "whole")
    crop = imported(tmp_path, voxels, "crop", roi=":1,:,:")
    assert crop.padding == whole.padding == ()


def test_another_voxel_size_keeps_the_original_grid(tmp_path):
    imported(tmp_path, filled(3), roi="2:,1:,:")
    copied = import_volume(tmp_path / "out", tmp_path / "kept", voxel_size=(5.0000001, 5.0, 5.0))
    assert copied.original_grid == open_volume(tmp_path / "out").original_grid
    options = ImportOptions(SourceOptions(voxel_size_override=True))
    other = import_volume(
        tmp_path / "out", tmp_path / "other", voxel_size=(6.0, 4.0, 5.0), options=options
    )
    assert other.original_grid.shape == (8, 8, 16)
    assert other.original_offset == (2, 1, 0)
    assert other.offset_nm == (10.0, 5.0, 0.0)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("scale", [1, 1.5])
@pytest.mark.parametrize("largest", [255, 65_535])
def test_masks_with_soft_borders_are_not_taken_for_labels(tmp_path, order, scale, largest):
    z, y, x = np.indices((24, 64, 64))
    mask = 255.0 * (((z - 12) ** 2 * 4 + (y - 32) ** 2 + (x - 32) ** 2) < 400)
    turned = np.array([[scale, 0, 0], [0, 0.98, 0.17], [0, -0.17, 0.98]])
    soft = ndimage.affine_transform(mask, turned, offset=(0.3, -4.3, 6.1), order=order)
    dtype = np.uint8 if largest == 255 else np.uint16
    voxels = np.clip(np.rint(soft / 255 * largest), 0, largest).astype(dtype)
    with pytest.raises(ValueError, match="looks like a mask of 0 and"):
        labels(tmp_path, voxels)


def test_touching_objects_are_no_grey_values(tmp_path, rng, caplog):
    z, y, x = np.indices((24, 64, 64))
    voxels = (1 + (z // 8) * 64 + (y // 8) * 8 + x // 8).astype(np.uint8)
    voxels[:, :5] = 255
    found = labels(tmp_path, voxels)
    assert (read(found) == voxels).all()
    assert "grey values" not in caplog.text


@pytest.mark.parametrize("dtype", ["u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("values", [(0, 1), (0, 1000), (3, 900)])
def test_two_values_are_black_and_white(tmp_path, dtype, values):
    assert imported(tmp_path, filled((values[0], 700), values[1], dtype=dtype)).window == values


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("f4", 65_535), ("f4", 1e6), ("f4", -1), ("u2", 1), ("u2", 4095), ("i4", -7), ("f8", 0)],
)
def test_padding_with_an_end_of_what_there_is(tmp_path, rng, dtype, value):
    voxels = rng.normal(2500, 200, (6, 70, 90)).astype(dtype)
    expected = np.percentile(voxels[:, 9:], [0.1, 99.9])
    voxels[:, :9] = value
    found = imported(tmp_path, voxels)
    assert found.padding == (value,)
    assert found.window == pytest.approx(expected, abs=3)


def test_float_grey_values_that_are_clipped_at_zero_are_sample(tmp_path, rng):
    voxels = np.clip(np.rint(rng.normal(20, 30, (6, 70, 90))), 0, None).astype(np.float32)
    found = imported(tmp_path, voxels)
    assert found.padding == ()
    assert found.window[0] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "bogus"}, "kind 'bogus': give 'image' or 'labels'"),
        ({"kind": 5}, "kind 5: give 'image' or 'labels'"),
        ({"voxel_size": (5, 5)}, r"voxel_size \(5, 5\): give 3 numbers, nm along \(z, y, x\)"),
        ({"voxel_size": "5"}, "voxel_size '5': give 3 numbers"),
        ({"voxel_size": 5}, "voxel_size 5: give 3 numbers"),
        ({"voxel_size": ("5", "5", "5")}, "give 3 numbers"),
        ({"voxel_size": (5, 5, None)}, "give 3 numbers"),
        ({"offset_nm": (0, 0)}, r"offset_nm \(0, 0\): give 3 numbers"),
        ({"options": ImportOptions(window=(3,))}, r"window \(3,\): give 2 numbers"),
        ({"options": ImportOptions(window="5")}, "window '5': give 2 numbers"),
        ({"options": ImportOptions(unlabelled="x")}, "unlabelled 'x': give an integer"),
    ],
)
def test_what_only_a_program_can_give_is_refused_before_the_work(tmp_path, given, message):
    tifffile.imwrite(tmp_path / "x.tif", filled(3, dtype=np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match=message):
        import_volume(tmp_path / "x.tif", tmp_path / "o", **{"voxel_size": SIZE, **given})
    assert not (tmp_path / "o").exists()
    with pytest.raises(ValueError, match="give 3 numbers"):
        Volume(np.zeros((2, 2, 2), np.uint8), (5, 5))
