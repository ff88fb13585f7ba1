"""From TIFF planes to training data, from Python: each verb is a function of `asem.workflows`.

::

    python examples/prepare_cell.py stack mito_annotation cell.zarr --voxel-size 5 --workers 2

makes cell.zarr/raw, clahe, mask, labels/mito, exclusion/mito and instances/mito. Stopped, it goes
on where it was when started again.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from asem.blocks.executors import open_executor
from asem.image.masks import MaskConfig
from asem.structures import structure
from asem.volume.formats import open_volume
from asem.volume.ngff import is_image
from asem.workflows.clahe import clahe_volume
from asem.workflows.importing import import_volume
from asem.workflows.instances import number_objects
from asem.workflows.labels import label_volume
from asem.workflows.mask import mask_volume


def prepare(
    stack: Path, annotation: Path, cell: Path, *, voxel_size: float, workers: int | None
) -> None:
    """Make everything that training wants; what is finished is left alone."""
    size = (voxel_size, voxel_size, voxel_size)
    raw, drawn, labels = cell / "raw", cell / "annotation", cell / "labels/mito"
    zone, instances = cell / "exclusion/mito", cell / "instances/mito"
    with open_executor(workers) as executor:
        by = {"executor": executor}
        steps: dict[Path, Callable[[], object]] = {
            raw: lambda: import_volume(stack, raw, voxel_size=size, **by),
            drawn: lambda: import_volume(annotation, drawn, voxel_size=size, kind="labels", **by),
            cell / "clahe": lambda: clahe_volume(raw, cell / "clahe", **by),
            # Look at the mask: its grey values and sizes are tuned for each cell.
            cell / "mask": lambda: mask_volume(
                raw, cell / "mask", config=MaskConfig(below=250), **by
            ),
            zone: lambda: label_volume(drawn, labels, structure("mito"), exclusion_zone=zone, **by),
            instances: lambda: number_objects(
                labels, instances, sizes=cell.with_suffix(".csv"), **by
            ),
        }
        for made, step in steps.items():
            if not is_image(made):
                step()
            print(f"{made}: {open_volume(made).shape}")


# Dask's workers read this file anew: what follows is for the first reading only.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stack", type=Path)
    parser.add_argument("annotation", type=Path)
    parser.add_argument("cell", type=Path)
    parser.add_argument("--voxel-size", type=float, required=True, help="nm")
    parser.add_argument("--workers", type=int, help="Dask workers; none: this process")
    given = parser.parse_args()
    prepare(
        given.stack,
        given.annotation,
        given.cell,
        voxel_size=given.voxel_size,
        workers=given.workers,
    )
