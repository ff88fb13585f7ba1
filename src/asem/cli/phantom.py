"""Command that writes a synthetic cell: phantom."""

from typing import Literal

from asem.cli.options import (
    DEFAULT_OUTPUT,
    IN_PROCESS,
    Flag,
    OutputOptions,
    OutputPath,
    WorkerOptions,
    open_requested_executor,
    parse_voxel_size,
)
from asem.cli.printing import print_result
from asem.cli.progress import show_progress
from asem.config import shorten
from asem.volume.roi import IntZYX


def phantom(
    destination: OutputPath,
    /,
    *,
    shape: str = "512,512,512",
    voxel_size: str = "5,5,5",
    seed: int = 0,
    preparation: Literal["hpfs", "cf"] = "hpfs",
    pores: int | None = None,
    pore_diameter: float = 92.0,
    pore_diameter_sd: float = 13.0,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Write a synthetic cell with all its organelles: image, labels, and a table of each object.

    Parameters
    ----------
    destination
        Group to write, for instance phantom.zarr: the image raw, labels by structure, and the
        folder truth with tables of the pores, coated pits, mitochondria and others.
    shape
        Voxels z,y,x. The cell fills the box, 800 to 40,000 nm along each axis.
    voxel_size
        Edges of a voxel z,y,x in nm, 2 to 20, or one number.
    seed
        Number that selects the cell; the same number gives the same cell.
    preparation
        hpfs (high-pressure freezing) or cf (chemical fixation): contrast, smoothness and noise.
    pores
        Number of nuclear pores; default 7 per square micrometre of the envelope.
    pore_diameter
        Mean diameter of the pores in nm.
    pore_diameter_sd
        Standard deviation of their diameters in nm; 0: all pores are equal.
    overwrite
        Replace an earlier phantom in the group.
    """
    from asem.phantom.generate_cell import CellConfig
    from asem.workflows.phantom import write_phantom

    config = CellConfig.from_dict(
        {
            "preparation": preparation,
            "pores": pores,
            "pore_diameter_nm": pore_diameter,
            "pore_diameter_sd_nm": pore_diameter_sd,
        },
        source="the options of asem phantom",
    )
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        result = write_phantom(
            destination,
            shape=_parse_shape(shape),
            voxel_size=parse_voxel_size(voxel_size),
            seed=seed,
            config=config,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(result, as_json=output_options.json)


def _parse_shape(text: str) -> IntZYX:
    """Read ``z,y,x``, or one number for all axes; raise ValueError for anything else."""
    parts = text.split(",")
    if all(part.strip().isdecimal() for part in parts) and len(parts) in (1, 3):
        z, y, x = (int(part) for part in (parts * 3 if len(parts) == 1 else parts))
        return z, y, x
    raise ValueError(f"--shape {shorten(text, str)}: write three numbers of voxels, z,y,x")
