"""The order of planes, the channels and the voxel size that files state."""

import numpy as np
import pytest
import tifffile

from asem.volume.formats.source_image import SourceOptions
from asem.volume.sources import open_source
from asem.volume.tiff_metadata import parse_ome_xml
from asem.volume.tiff_sources import open_tiff_file, open_tiff_folder
from asem.volume.tiff_stack import DEFAULT_TIFF_OPTIONS, TiffOptions

CHANNEL_1 = TiffOptions(channel="1")


def values(path, options=DEFAULT_TIFF_OPTIONS):
    opened = open_tiff_folder if path.is_dir() else open_tiff_file
    return opened(path, options)[:, :, :][:, 0, 0].tolist()


def numbered(*shape):
    """Planes of 12 x 13 pixels that hold their number; shape of the other axes."""
    number = np.arange(np.prod(shape), dtype=np.uint8).reshape(*shape, 1, 1)
    return np.broadcast_to(number, (*shape, 12, 13)).copy()


@pytest.mark.parametrize(("axes", "shape"), [("ZCYX", (4, 2)), ("CZYX", (2, 4))])
def test_a_channel_of_ome_is_chosen(tmp_path, axes, shape):
    voxels = numbered(*shape)
    names = {"Name": ["membrane", "DAPI"]}
    path = tmp_path / "s.ome.tif"
    tifffile.imwrite(path, voxels, ome=True, metadata={"axes": axes, "Channel": names})
    expected = voxels[..., 0, 0]
    expected = expected[:, 1] if axes[1] == "C" else expected[1]
    with pytest.raises(ValueError, match=r"channels 0 \(membrane\), 1 \(DAPI\); choose one with"):
        open_tiff_file(path)
    for channel in ("1", "DAPI"):
        assert values(path, TiffOptions(channel=channel)) == expected.tolist()
    with pytest.raises(ValueError, match="there is no channel actin"):
        open_tiff_file(path, TiffOptions(channel="actin"))


def test_a_channel_of_imagej_is_chosen(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, numbered(4, 2), imagej=True, metadata={"axes": "ZCYX"})
    assert values(path, CHANNEL_1) == [1, 3, 5, 7]
    tifffile.imwrite(path, numbered(4, 2), imagej=True, truncate=True, metadata={"axes": "ZCYX"})
    assert values(path, CHANNEL_1) == [1, 3, 5, 7]


def test_a_channel_of_tifffile_is_chosen(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, numbered(2, 4), photometric="minisblack", metadata={"axes": "CZYX"})
    assert values(path, CHANNEL_1) == [4, 5, 6, 7]


def test_a_channel_that_is_the_only_one(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", numbered(3), photometric="minisblack")
    assert values(tmp_path / "s.tif", TiffOptions(channel="0")) == [0, 1, 2]
    with pytest.raises(ValueError, match="there is no channel 1"):
        open_tiff_file(tmp_path / "s.tif", CHANNEL_1)


@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"ome": True},
        {"ome": True, "metadata": {"axes": "CYX"}},
        {"ome": True, "metadata": {"axes": "TYX"}},
        {"metadata": {"axes": "CYX"}},
    ],
)
def test_planes_that_are_called_channels_or_times_are_planes(tmp_path, caplog, options):
    """Python programs write a stack of planes as channels, ImageJ users as frames."""
    tifffile.imwrite(tmp_path / "s.tif", numbered(5), photometric="minisblack", **options)
    assert values(tmp_path / "s.tif") == [0, 1, 2, 3, 4]
    assert "are taken as planes along z" in caplog.text


OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    "<Image><Pixels {}>{}</Pixels></Image></OME>"
)


def ome(sizes, order="XYCZT", data="", **attributes):
    c, z, t = sizes
    stated = {"DimensionOrder": order, "SizeC": c, "SizeZ": z, "SizeT": t, **attributes}
    return OME.format(" ".join(f'{key}="{value}"' for key, value in stated.items()), data)


def write_ome(path, planes, text):
    with tifffile.TiffWriter(path) as writer:
        for number, plane in enumerate(planes):
            writer.write(
                plane,
                description=text if number == 0 else None,
                metadata=None,
                photometric="minisblack",
            )


def test_planes_may_lie_in_any_order(tmp_path):
    places = [3, 0, 2, 1]  # page n holds plane places[n]
    data = "".join(f'<TiffData IFD="{n}" FirstZ="{z}"/>' for n, z in enumerate(places))
    write_ome(tmp_path / "s.tif", numbered(4), ome((1, 4, 1), data=data))
    assert values(tmp_path / "s.tif") == [1, 3, 2, 0]


@pytest.mark.parametrize(
    ("order", "expected"), [("XYCZT", [1, 3, 5]), ("XYZCT", [3, 4, 5]), ("XYZTC", [3, 4, 5])]
)
def test_the_order_of_dimensions_counts(tmp_path, order, expected):
    write_ome(tmp_path / "s.tif", numbered(6), ome((2, 3, 1), order))
    assert values(tmp_path / "s.tif", CHANNEL_1) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ome((1, 100, 1)), r"declares 100 planes and holds 4 pages: it is truncated"),
        (ome((1, 2, 1)), r"declares 2 planes and holds 4 pages"),
        (
            ome((1, 4, 1), "XYZ"),
            "states the order XYZ; save it as plain TIFF|OME-XML cannot be used",
        ),
        (ome((1, "x", 1)), "OME-XML cannot be used"),
        (ome((1, 0, 1)), "OME-XML cannot be used"),
        ("<OME><Image></OME>", "OME-XML cannot be used"),
        (ome((1, 4, 1), data='<TiffData FirstZ="9" IFD="0"/>'), "beyond its sizes"),
    ],
)
def test_ome_that_cannot_be_meant(tmp_path, text, message):
    write_ome(tmp_path / "s.tif", numbered(4), text)
    with pytest.raises(ValueError, match=message) as error:
        open_tiff_file(tmp_path / "s.tif")
    assert "s.tif" in str(error.value)
    assert "\n" not in str(error.value)


def test_two_images_in_one_file_are_refused(tmp_path):
    two = OME.format("", "").replace("</Image>", "</Image><Image><Pixels/></Image>")
    write_ome(tmp_path / "s.tif", numbered(4), two)
    with pytest.raises(ValueError, match="describes 2 images"):
        open_tiff_file(tmp_path / "s.tif")


def micro_manager(folder, channels, depth, *, only=None, name="img_c{}_z{:03d}.ome.tif"):
    """Write a folder in which every file holds one plane and describes the whole set."""
    folder.mkdir()
    places = [(c, z) for z in range(depth) for c in range(channels)]
    data = "".join(
        f'<TiffData FirstC="{c}" FirstZ="{z}" FirstT="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name.format(c, z)}">urn:uuid:{n}</UUID></TiffData>'
        for n, (c, z) in enumerate(places)
    )
    text = ome((channels, depth, 1), data=data)
    for c, z in places:
        if only is None or c == only:
            plane = np.full((2, 3), (10 * c + z) % 256, np.uint8)
            tifffile.imwrite(folder / name.format(c, z), plane, description=text, metadata=None)
    return folder


def test_files_of_a_set_of_two_channels(tmp_path):
    both = micro_manager(tmp_path / "both", 2, 4)
    with pytest.raises(ValueError, match="has the channels 0, 1; choose one with --channel"):
        open_tiff_folder(both)
    assert values(both, CHANNEL_1) == [10, 11, 12, 13]
    one = micro_manager(tmp_path / "one", 2, 4, only=1)
    assert values(one) == [10, 11, 12, 13]


def test_one_file_of_a_set_is_its_plane(tmp_path):
    folder = micro_manager(tmp_path / "set", 2, 4)
    assert values(folder / "img_c1_z002.ome.tif") == [12]


def test_what_ome_states_comes_before_the_names(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    names = [f"p_{n}.tif" for n in range(4)]
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0"><UUID FileName="{name}"/></TiffData>'
        for z, name in zip((3, 2, 0, 1), names, strict=True)
    )
    for number, name in enumerate(names):
        plane = np.full((2, 3), number, np.uint8)
        text = ome((1, 4, 1), data=data)
        tifffile.imwrite(folder / name, plane, description=text, metadata=None)
    assert values(folder) == [2, 3, 1, 0]
    (folder / "p_4.tif").write_bytes((folder / "p_3.tif").read_bytes())
    assert values(folder) == [0, 1, 2, 3, 3]  # not all files are listed: the names count


def test_a_set_that_lacks_its_end_is_warned_of(tmp_path, caplog):
    folder = micro_manager(tmp_path / "set", 1, 6)
    for z in (0, 5):
        (folder / f"img_c0_z{z:03d}.ome.tif").unlink()
    assert values(folder) == [1, 2, 3, 4]
    assert "holds 4 of the 6 planes along z that OME-XML lists" in caplog.text


def test_planes_of_imagej_that_state_other_pixel_sizes_are_warned_of(tmp_path, caplog):
    for number, per_unit in enumerate((0.25, 0.25, 0.125)):
        options = in_imagej((per_unit, per_unit), unit="nm", spacing=5)
        options["metadata"]["axes"] = "YX"
        tifffile.imwrite(tmp_path / f"p_{number}.tif", numbered(1)[0], **options)
    open_tiff_folder(tmp_path)
    assert "p_2.tif states another pixel size than p_0.tif, which is used" in caplog.text


def test_planes_of_either_byte_order_make_a_stack(tmp_path):
    for number, byteorder in enumerate("<><"):
        plane = np.full((12, 13), 300 + number, np.uint16)
        tifffile.imwrite(tmp_path / f"p_{number}.tif", plane, byteorder=byteorder)
    assert values(tmp_path) == [300, 301, 302]


def test_channels_in_names_of_plain_files(tmp_path):
    for c in (0, 1):
        for z in range(3):
            plane = np.full((2, 3), (10 * c + z) % 256, np.uint8)
            tifffile.imwrite(tmp_path / f"img_ch{c:02d}_z{z:03d}.tif", plane)
    with pytest.raises(ValueError, match="has the channels 0, 1; choose one with --channel"):
        open_tiff_folder(tmp_path)
    assert values(tmp_path, CHANNEL_1) == [10, 11, 12]


def test_a_set_describes_its_files_once(tmp_path):
    """Each file describes all others: read from each, it takes the square of their number."""
    folder = micro_manager(tmp_path / "set", 1, 60)
    described = []
    original = parse_ome_xml

    def counted(text, **options):
        described.append(text)
        return original(text, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asem.volume.tiff_metadata.parse_ome_xml", counted)
        open_tiff_folder(folder)
    assert len(described) == 1


def in_ome(**sizes):
    return {"ome": True, "metadata": {"axes": "ZYX", **sizes}}


def in_imagej(resolution, **metadata):
    return {"imagej": True, "resolution": resolution, "metadata": {"axes": "ZYX", **metadata}}


def physical(z, y, x):
    return {"PhysicalSizeZ": z, "PhysicalSizeY": y, "PhysicalSizeX": x}


UNITS = {"PhysicalSizeZUnit": "Å", "PhysicalSizeYUnit": "nm", "PhysicalSizeXUnit": "µm"}


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (in_ome(**physical(52, 4, 0.004), **UNITS), (5.2, 4, 4)),
        (in_ome(**physical(0.00524, 0.004, 0.004)), (5.24, 4, 4)),
        (in_imagej((250, 200), spacing=0.0052, unit="micron"), (5.2, 5, 4)),
        (in_imagej((0.25, 0.2), spacing=8, unit="nm"), (8, 5, 4)),
        (in_imagej((250, 250), spacing=0.005, unit="\\u00B5m"), (5, 4, 4)),
        (in_imagej((250, 250), spacing=-0.005, unit="um"), (5, 4, 4)),
    ],
)
def test_the_voxel_size_of_the_file_counts(tmp_path, options, size):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, numbered(3), **options)
    assert open_source(path).voxel_size == pytest.approx(size)
    near = tuple(1.005 * nm for nm in size)
    assert open_source(path, voxel_size=near).voxel_size == near
    other = (size[0], size[1], 1.02 * size[2])
    with pytest.raises(ValueError, match=r"states voxels of .* give --voxel-size-override"):
        open_source(path, voxel_size=other)
    override = SourceOptions(voxel_size_override=True)
    assert open_source(path, voxel_size=other, options=override).voxel_size == other


@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        in_imagej((72, 72), unit="inch", spacing=1),
        in_imagej((1, 1), unit="pixel", spacing=1),
        in_ome(),
    ],
)
def test_print_resolutions_and_pixels_are_no_voxel_size(tmp_path, options):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, numbered(3), **options)
    with pytest.raises(ValueError, match="does not state its voxel size; give --voxel-size"):
        open_source(path)
    assert open_source(path, voxel_size=(5, 5, 5)).voxel_size == (5, 5, 5)


def test_a_part_of_a_voxel_size_is_compared(tmp_path):
    path = tmp_path / "s.tif"
    metadata = {"axes": "ZYX", "unit": "nm"}
    tifffile.imwrite(path, numbered(3), imagej=True, resolution=(0.25, 0.25), metadata=metadata)
    with pytest.raises(ValueError, match=r"states \?,4,4\); give --voxel-size"):
        open_source(path)
    assert open_source(path, voxel_size=(5, 4, 4)).voxel_size == (5, 4, 4)
    with pytest.raises(ValueError, match=r"states voxels of \?,4,4 nm"):
        open_source(path, voxel_size=(5, 5, 5))


@pytest.mark.parametrize("size", [(0.01, 0.01, 0.01), (5, 5, 2000)])
def test_voxels_of_no_microscope_are_warned_of(tmp_path, caplog, size):
    tifffile.imwrite(tmp_path / "s.tif", numbered(3), photometric="minisblack")
    open_source(tmp_path / "s.tif", voxel_size=size)
    assert "are outside of 0.5 to 1000 nm" in caplog.text
