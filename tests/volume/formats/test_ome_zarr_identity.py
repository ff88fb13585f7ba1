"""Identity of images of other programs: another one after any array has been replaced."""

import shutil

import numpy as np
import pytest
import zarr

from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.sources import open_volume
from chunked import add_attributes, write_zarr
from remote_servers import serve_files

VOXELS = np.zeros((4, 5, 6), np.uint8)


def write_image(folder, zarr_format, axes):
    names = [{"name": name, "type": "space", "unit": "nanometer"} for name in axes]
    names[0]["type"] = "channel" if axes[0] == "c" else "space"
    scale = {"type": "scale", "scale": [8.0] * len(axes)}
    datasets = [{"path": f"s{n}", "coordinateTransformations": [scale]} for n in range(2)]
    multiscales = [{"axes": names, "datasets": datasets}]
    for dataset in datasets:
        write_array(folder / dataset["path"], zarr_format, axes)
    if zarr_format == 2:
        add_attributes(folder / ".zgroup", {"zarr_format": 2})
        add_attributes(folder / ".zattrs", {"multiscales": [multiscales[0] | {"version": "0.4"}]})
    else:
        group = zarr.open_group(str(folder), mode="a", zarr_format=3)
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return folder


def write_array(folder, zarr_format, axes, **options):
    voxels = VOXELS[None] if axes[0] == "c" else VOXELS
    write_zarr(folder, voxels, zarr_format=zarr_format, **options)


@pytest.mark.parametrize("axes", ["zyx", "czyx"])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("is_remote", [False, True])
def test_a_replaced_array_changes_the_identity(tmp_path, zarr_format, axes, is_remote):
    folder = write_image(tmp_path / "a", zarr_format, axes)
    with serve_files(tmp_path) as server:
        address = f"{server.url}/a" if is_remote else str(folder)
        volume = open_volume(address)
        assert open_source_image(Address.parse(address)).identity == volume.identity
        check_not_replaced([volume])
        shutil.rmtree(folder / "s1")
        write_array(folder / "s1", zarr_format, axes, chunk=4)
        with pytest.raises(OSError, match="a was replaced, moved or deleted"):
            check_not_replaced([volume])
