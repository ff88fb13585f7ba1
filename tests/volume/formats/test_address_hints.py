"""Messages about addresses that are no image contain the address that was probably meant."""

import h5py
import mrcfile
import numpy as np
import pytest

from asem.cli import main
from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from chunked import write_n5, write_zarr
from remote_servers import serve_files

VOXELS = np.ones((3, 4, 5), np.uint8)


def fails(address):
    with pytest.raises((ValueError, OSError)) as error:
        open_source_image(Address.parse(str(address)))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("written", ["{}/volumes/raw", "{}:volumes/raw", "{}/raw"])
@pytest.mark.parametrize("name", ["cell.h5", "Cell.HDF5", "cell.ims"])
def test_a_dataset_after_a_wrong_separator(tmp_path, written, name):
    file = tmp_path / name
    with h5py.File(file, "w") as opened:
        opened["volumes/raw"] = opened["raw"] = VOXELS
    address = written.format(file)
    inner = address.removeprefix(str(file))[1:]
    meant = f"{file}:/{inner}"
    assert fails(address) == (
        f"there is nothing at {address}; write a dataset in a file as {meant}"
    )
    assert open_source_image(Address.parse(meant)).levels[0].array.shape == VOXELS.shape


def test_no_dataset_is_suggested_in_a_file_that_does_not_exist(tmp_path):
    for address in (tmp_path / "cell.h5/raw", f"{tmp_path}/cell.h5:raw", tmp_path / "cell/raw"):
        assert fails(address) == f"there is nothing at {address}"


def test_a_part_of_an_image_names_the_image(tmp_path):
    write_zarr(tmp_path / "a.zarr", VOXELS, zarr_format=3)
    write_n5(tmp_path / "b.n5/s0", VOXELS)
    for part, image in {
        "a.zarr/c": "a.zarr", "a.zarr/c/0/0": "a.zarr", "a.zarr/zarr.json": "a.zarr",
        "b.n5/s0/0": "b.n5/s0", "b.n5/s0/attributes.json": "b.n5/s0",
    }.items():  # fmt: skip
        message = f"{tmp_path}/{part} is a part of an image; name the image: {tmp_path}/{image}"
        assert fails(tmp_path / part) == message
    with serve_files(tmp_path) as server:
        address = f"{server.url}/b.n5/s0/0"
        message = f"there is no image at {address}; the image above it is {server.url}/b.n5/s0"
        assert fails(address) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.tif", "a.tif is no TIFF file; it holds MRC: rename it with the suffix .mrc"),
        ("a.nii", "a.nii is no NIfTI file; it holds MRC: rename it with the suffix .mrc"),
        ("a.h5", "a.h5 is no HDF5 file; it holds MRC: rename it with the suffix .mrc"),
    ],
)
def test_a_wrong_suffix(tmp_path, name, message):
    mrcfile.write(tmp_path / "a.mrc", VOXELS.astype(np.int16))
    (tmp_path / "a.mrc").rename(tmp_path / name)
    assert fails(tmp_path / name).endswith(message)
    (tmp_path / name).write_bytes(b"notes")
    assert "rename" not in fails(tmp_path / name)


def test_a_damaged_file_with_the_right_suffix_is_no_wrong_suffix(tmp_path):
    mrcfile.write(tmp_path / "a.mrc", VOXELS.astype(np.int16))
    (tmp_path / "a.rec").write_bytes((tmp_path / "a.mrc").read_bytes()[:-1])
    assert "it is truncated or damaged: copy it again" in fails(tmp_path / "a.rec")


def test_sources_of_neuroglancer(tmp_path, capsys):
    write_n5(tmp_path / "b.n5/s0", VOXELS)
    with serve_files(tmp_path) as server:
        for source in ("n5://{}/b.n5/s0", "{}/b.n5/s0/|n5:", "N5://{}/b.n5/s0"):
            assert main(["info", source.format(server.url)]) == 0
            assert "3 x 4 x 5" in capsys.readouterr().out
