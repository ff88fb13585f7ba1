"""Command that measures coated pits, vesicles and caveolae, and combines several cells."""

from pathlib import Path

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


def pits(
    segmentation: OptionalAddress = None,
    raw: OptionalAddress = None,
    /,
    *,
    out: OutputPath,
    plasma_membrane: OptionalAddress = None,
    mask: OptionalAddress = None,
    combine: Folders = None,
    review: Flag = False,
    decisions: Path | None = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Measure coated pits, coated vesicles and caveolae on the image; a row for each.

    Parameters
    ----------
    segmentation
        Label image of pits and vesicles, path or URL: one label, or an id per object.
    raw
        Image of the same voxel size, path or URL.
    out
        Folder to write: pits.csv, pits.parquet, statistics.json, figures (depth, neck, shapes,
        gallery), and provenance.json, which describes the columns.
    plasma_membrane
        Labels of the plasma membrane, path or URL: pits of it, and vesicles within 400 nm, are
        endocytic; the others are secretory.
    mask
        Instead of --plasma-membrane: mask of the cell, whose border is the plasma membrane.
    combine
        Instead of SEGMENTATION and RAW: folders that asem pits wrote, one per cell. Writes one
        table with a column of their names, and pooled and per-cell statistics.
    review
        Also write review.html, a page on which a person accepts or rejects each object.
    decisions
        File of decisions that the page saved; replaces review.csv in the folder, the decisions
        that are used otherwise.
    overwrite
        Replace earlier results in the folder, but for review.csv.
    """
    if combine is not None:
        of_one_cell = [segmentation, raw, plasma_membrane, mask, decisions]
        check_only_folders("pits", combine, of_one_cell=of_one_cell, review=review)
        from asem.workflows.combine_pits import combine_pits

        print_result(combine_pits(combine, out, overwrite=overwrite), as_json=output_options.json)
        return
    if segmentation is None or raw is None:
        raise ValueError(
            "give SEGMENTATION and RAW, or --combine with folders that asem pits wrote"
        )
    from asem.workflows.pits import measure_pits
    from asem.workflows.review import ReviewOptions

    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        result = measure_pits(
            segmentation,
            raw,
            out,
            plasma_membrane=plasma_membrane,
            mask=mask,
            review=ReviewOptions(review, decisions),
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(result, as_json=output_options.json)
