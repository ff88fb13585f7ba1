"""Small arrays in chunked formats, written by the reference libraries."""

import json

import numpy as np
import tensorstore as ts
import zarr

COMPRESSIONS = {"blosc": {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}}


def write_n5(folder, voxels, attributes=None, *, chunk=8, compression="gzip"):
    """Write an array, axes in the order of numpy, as N5 with the axes reversed."""
    reversed_axes = np.ascontiguousarray(voxels.transpose())
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {
            "dimensions": list(reversed_axes.shape),
            "blockSize": [min(chunk, n) for n in reversed_axes.shape],
            "dataType": voxels.dtype.name,
            "compression": COMPRESSIONS.get(compression, {"type": compression}),
        },
    }
    ts.open(spec, create=True).result().write(reversed_axes).result()
    add_attributes(folder / "attributes.json", attributes or {})
    return folder


def add_attributes(document, attributes):
    """Add entries to a JSON document, which may not exist yet."""
    document.parent.mkdir(parents=True, exist_ok=True)
    old = json.loads(document.read_text()) if document.exists() else {}
    document.write_text(json.dumps(old | attributes))


def write_zarr(folder, voxels, attributes=None, *, zarr_format=2, chunk=8, **options):
    """Write an array of Zarr 2 or 3 by zarr-python."""
    array = zarr.create_array(
        str(folder),
        shape=voxels.shape,
        dtype=voxels.dtype,
        chunks=tuple(min(chunk, n) for n in voxels.shape),
        zarr_format=zarr_format,
        attributes=attributes or {},
        **options,
    )
    array[...] = voxels
    return folder
