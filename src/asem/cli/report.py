"""Command `asem report`: one HTML page of runs, images, scores and tables."""

from pathlib import Path

from asem.cli.options import DEFAULT_OUTPUT, Flag, ImageAddress, OutputOptions, OutputPath
from asem.cli.printing import print_result


def report(
    *paths: ImageAddress,
    out: OutputPath = Path("report.html"),
    title: str | None = None,
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Write one HTML page of a training, a cell, scores and tables: numbers, pictures, curves.

    Parameters
    ----------
    paths
        What is reported, several in any mix: a run of asem train, cell.zarr or an image in it, a
        folder of asem evaluate, measure, pores or pits, a table (.parquet, .csv), or a folder with
        any of these, for instance that of asem demo.
    out
        The page to write; it is complete, and loads nothing from the network.
    title
        Heading of the page; default: the names of what is reported.
    overwrite
        Replace a report that asem wrote.
    """
    from asem.workflows.report import write_report

    result = write_report(paths, out, title=title, overwrite=overwrite)
    print_result(result, as_json=output_options.json)
