import numpy as np
import pytest
import tifffile

from asem.volume.tiff_sources import open_tiff_file, open_tiff_folder, write_plane


def planes(folder, names, *, shape=(4, 5), dtype=np.uint8):
    for value, name in enumerate(names, 1):
        tifffile.imwrite(folder / name, np.full(shape, value, dtype))
    return folder


def test_numbers_are_sorted_as_numbers(tmp_path):
    names = [f"cell_5nm_{n}.tif" for n in (10, 9, 11, 8)]
    stack = open_tiff_folder(planes(tmp_path, names))
    assert stack[:, :, :][:, 0, 0].tolist() == [4, 2, 1, 3]


def test_a_box_is_a_box_of_the_whole(tmp_path, rng):
    voxels = rng.integers(0, 60_000, (7, 8, 9)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", voxels, compression="zlib")
    stack = open_tiff_file(tmp_path / "stack.tif")
    assert stack.shape == (7, 8, 9)
    assert stack.dtype == np.uint16
    assert (stack[2:5, 1:7, 3:4] == voxels[2:5, 1:7, 3:4]).all()


@pytest.mark.parametrize(
    "options",
    [{"imagej": True}, {"imagej": True, "truncate": True}, {"bigtiff": True}, {"byteorder": ">"}],
)
def test_the_usual_writers(tmp_path, rng, options):
    voxels = rng.integers(0, 60_000, (3, 4, 5)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", voxels, photometric="minisblack", **options)
    stack = open_tiff_file(tmp_path / "stack.tif")
    assert (stack[:, :, :] == voxels).all()
    assert stack.dtype.isnative


def test_one_bit_becomes_bytes(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", np.eye(8, dtype=bool)[None])
    stack = open_tiff_file(tmp_path / "mask.tif")
    assert stack.dtype == np.uint8
    assert stack[:, :, :].sum() == 8


def test_a_plane_is_written_with_its_pixel_size(tmp_path):
    write_plane(tmp_path / "p.tif", np.ones((3, 4), np.uint8), (5.24, 4.0))
    with tifffile.TiffFile(tmp_path / "p.tif") as file:
        page = file.pages[0].aspage()
        across, down = (page.tags[name].value for name in ("XResolution", "YResolution"))
    assert 1e7 * across[1] / across[0] == pytest.approx(4.0)
    assert 1e7 * down[1] / down[0] == pytest.approx(5.24)


def test_a_missing_plane_is_named(tmp_path):
    planes(tmp_path, [f"p_{n:03d}.tif" for n in (1, 2, 4, 7)])
    with pytest.raises(ValueError, match=r"lacks 3 .* number 3, 5-6 \(the first after p_002.tif\)"):
        open_tiff_folder(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_1.tif", "b_2.tif"], "are named differently"),
        (["a_1_2.tif", "a_2_1.tif"], "differ in 2 numbers of their names"),
        (["a_1.tif", "a_01.tif"], "are the same plane"),
        ([], "holds no TIFF file"),
    ],
)
def test_names_that_are_no_stack(tmp_path, names, message):
    planes(tmp_path, names)
    with pytest.raises(ValueError, match=message):
        open_tiff_folder(tmp_path)


def test_unequal_planes_are_named(tmp_path):
    planes(tmp_path, ["p_1.tif", "p_2.tif"])
    tifffile.imwrite(tmp_path / "p_3.tif", np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"p_3.tif has 4 x 6 pixels, but .*p_1.tif has 4 x 5"):
        open_tiff_folder(tmp_path)
    tifffile.imwrite(tmp_path / "p_3.tif", np.zeros((4, 5), np.uint16))
    with pytest.raises(ValueError, match=r"p_3.tif is uint16, but .*p_1.tif is uint8"):
        open_tiff_folder(tmp_path)


def test_colour_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "p_1.tif", np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(
        ValueError,
        match=r"p_1.tif, page 1 of 1, has colour or channels \(3 samples per pixel\); choose",
    ):
        open_tiff_folder(tmp_path)
    palette = {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}
    tifffile.imwrite(tmp_path / "p_1.tif", np.zeros((4, 5), np.uint8), **palette)
    with pytest.raises(ValueError, match="has a colour palette"):
        open_tiff_folder(tmp_path)


def test_many_pages_in_a_folder_are_refused(tmp_path):
    planes(tmp_path, ["p_1.tif"])
    tifffile.imwrite(tmp_path / "p_2.tif", np.zeros((2, 4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"p_2.tif has 2 pages"):
        open_tiff_folder(tmp_path)


def shaped(path, voxels):
    tifffile.imwrite(path, voxels, compression="zlib")


def plain(path, voxels):
    tifffile.imwrite(path, voxels, metadata=None, photometric="minisblack")


def without_headers(path, voxels):
    tifffile.imwrite(path, voxels, imagej=True, truncate=True)


def page_by_page(path, voxels):
    with tifffile.TiffWriter(path) as writer:
        for plane in voxels:
            writer.write(plane, metadata=None, compression="zlib")


@pytest.mark.parametrize("write", [shaped, plain, without_headers, page_by_page])
def test_a_file_cut_anywhere_is_named(tmp_path, rng, write):
    path = tmp_path / "stack.tif"
    write(path, rng.integers(0, 255, (5, 12, 13)).astype(np.uint8))
    data = path.read_bytes()
    assert open_tiff_file(path).shape == (5, 12, 13)
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        try:
            stack = open_tiff_file(path)
        except ValueError as error:
            message = str(error)
            assert "stack.tif" in message
            assert "\n" not in message
        else:  # nothing but padding is gone
            voxels = stack[:, :, :]
            path.write_bytes(data)
            assert (voxels == open_tiff_file(path)[:, :, :]).all()


def test_a_corrupt_file_is_one_line_or_pixels(tmp_path, rng):
    path = tmp_path / "stack.tif"
    shaped(path, rng.integers(0, 255, (2, 12, 13)).astype(np.uint8))
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), 3):
        harmed = bytearray(data)
        harmed[place] ^= 0xFF
        path.write_bytes(harmed)
        try:
            _ = open_tiff_file(path)[:, :, :]
        except ValueError as error:
            message = str(error)
            assert "\n" not in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imagej": True, "metadata": {"axes": "ZCYX"}}, "has the channels 0, 1; choose one with"),
        ({"photometric": "minisblack"}, "has the shape .* save one channel and one time point"),
        ({"ome": True, "metadata": {"axes": "TZYX"}}, "has 4 time points; save one of them"),
    ],
)
def test_channels_and_times_are_no_planes(tmp_path, options, message):
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((4, 2, 5, 6), np.uint8), **options)
    with pytest.raises(ValueError, match=message):
        open_tiff_file(tmp_path / "s.tif")


def test_times_far_apart_take_no_memory(tmp_path, caplog):
    planes(tmp_path, ["s_20240101093000.tif", "s_20240301093000.tif"])
    assert open_tiff_folder(tmp_path)[:, :, :][:, 0, 0].tolist() == [1, 2]
    assert "ordered by the time in their names" in caplog.text


def test_what_is_no_tiff_is_named(tmp_path):
    (tmp_path / "p.tif").write_bytes(b"not a TIFF file at all")
    with pytest.raises(ValueError, match=r"p.tif is no readable TIFF file, or damaged"):
        open_tiff_file(tmp_path / "p.tif")


def test_a_dtype_that_is_no_grey_value_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.zeros((4, 5), np.complex64))
    with pytest.raises(ValueError, match=r"pixels of complex64; allowed: bool, uint8"):
        open_tiff_file(tmp_path / "p.tif")
