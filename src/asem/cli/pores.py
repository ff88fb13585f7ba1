"""Command that measures nuclear pores, and combines the pores of several cells."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from asem.cli.combine_options import Folders, check_only_folders
from asem.cli.options import (
    DEFAULT_OUTPUT,
    IN_PROCESS,
    Flag,
    OptionalAddress,
    OutputOptions,
    OutputPath,
    WorkerOptions,
    open_requested_executor,
)
from asem.cli.printing import print_result
from asem.cli.progress import show_progress

Up = Annotated[Literal["z", "-z", "y", "-y", "x", "-x"], Parameter(allow_leading_hyphen=True)]


def pores(
    segmentation: OptionalAddress = None,
    raw: OptionalAddress = None,
    /,
    *,
    out: OutputPath,
    combine: Folders = None,
    up: Up = "z",
    review: Flag = False,
    decisions: Path | None = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Measure the diameters of nuclear pores on the image; a row for each.

    Parameters
    ----------
    segmentation
        Label image of the pores, path or URL: one label, or an id per pore.
    raw
        Image of the same voxel size, path or URL.
    out
        Folder to write: pores.csv, pores.parquet, statistics.json, figures (diameters, profiles,
        gallery, map, height), and provenance.json, which describes the columns.
    combine
        Instead of SEGMENTATION and RAW: folders that asem pores wrote, one per cell. Writes one
        table with a column of their names, and pooled and per-cell statistics.
    up
        Axis that points away from the coverslip, for the figure of diameter against height.
    review
        Also write review.html, a page on which a person accepts or rejects each pore.
    decisions
        File of decisions that the page saved; replaces review.csv in the folder, the decisions
        that are used otherwise.
    overwrite
        Replace earlier results in the folder, but for review.csv.
    """
    if combine is not None:
        check_only_folders("pores", combine, of_one_cell=[segmentation, decisions], review=review)
        from asem.workflows.combine_pores import combine_pores

        print_result(combine_pores(combine, out, overwrite=overwrite), as_json=output_options.json)
        return
    if segmentation is None or raw is None:
        raise ValueError(
            "give SEGMENTATION and RAW, or --combine with folders that asem pores wrote"
        )
    from asem.workflows.pores import measure_pores
    from asem.workflows.review import ReviewOptions

    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        result = measure_pores(
            segmentation,
            raw,
            out,
            up=up,
            review=ReviewOptions(review, decisions),
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(result, as_json=output_options.json)
