"""From TIFF planes to training data, from Python: each verb is a function of `asem.workflows`.

::

    python examples/prepare_cell.py stack mito_annotation cell.zarr --voxel-size 5 --workers 2

writes cell.zarr/raw, clahe, mask, labels/mito, exclusion/mito and instances/mito. After an
interruption, the same command resumes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from asem.blocks.open_executor import open_executor
from asem.image.sample_mask import MaskConfig
from asem.structures import find_preset
from asem.volume.ngff import is_image
from asem.volume.sources import open_volume
from asem.workflows.clahe import clahe_volume
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.labels import label_volume
from asem.workflows.mask import mask_volume


def prepare(
    stack: Path, annotation: Path, cell: Path, *, voxel_size: float, workers: int | None
) -> None:
    """Write all images that training needs; skip those that are finished."""
    size = (voxel_size, voxel_size, voxel_size)
    raw, annotated, labels = cell / "raw", cell / "annotation", cell / "labels/mito"
    zone, instances = cell / "exclusion/mito", cell / "instances/mito"
    with open_executor(workers) as executor:
        common = {"executor": executor}
        steps: dict[Path, Callable[[], object]] = {
            raw: lambda: import_volume(stack, raw, voxel_size=size, **common),
            annotated: lambda: import_volume(
                annotation, annotated, voxel_size=size, kind="labels", **common
            ),
            cell / "clahe": lambda: clahe_volume(raw, cell / "clahe", **common),
            # Check the mask: its grey values and sizes must be tuned for each cell.
            cell / "mask": lambda: mask_volume(
                raw, cell / "mask", config=MaskConfig(below=250), **common
            ),
            zone: lambda: label_volume(
                annotated, labels, find_preset("mito"), exclusion_zone=zone, **common
            ),
            instances: lambda: label_instances(
                labels, instances, size_table=cell.with_suffix(".csv"), **common
            ),
        }
        for image, step in steps.items():
            if not is_image(image):
                step()
            print(f"{image}: {open_volume(image).shape}")


# Dask workers import this file, too; they must not run the commands below.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stack", type=Path)
    parser.add_argument("annotation", type=Path)
    parser.add_argument("cell", type=Path)
    parser.add_argument("--voxel-size", type=float, required=True, help="nm")
    parser.add_argument("--workers", type=int, help="Dask workers; by default, this process")
    options = parser.parse_args()
    prepare(
        options.stack,
        options.annotation,
        options.cell,
        voxel_size=options.voxel_size,
        workers=options.workers,
    )
