"""Command `asem demo`: the whole method on a synthetic cell."""

import sys

from asem.cli.options import DEFAULT_OUTPUT, Flag, OutputOptions, OutputPath
from asem.cli.printing import print_result
from asem.cli.progress import show_progress
from asem.cli.streams import escape_control_characters


def demo(
    directory: OutputPath,
    /,
    *,
    iterations: int = 300,
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Run the whole method on a small synthetic cell, in a few minutes.

    Parameters
    ----------
    directory
        Folder to create; report.html in it shows the result.
    iterations
        Iterations of the training; 150 check an installation in half of the time.
    overwrite
        Replace the demo in DIRECTORY.
    """
    from asem.workflows.demo import format_demo_summary, run_demo

    with show_progress() as report_progress:
        result = run_demo(
            directory, iterations=iterations, overwrite=overwrite, progress=report_progress
        )
    if output_options.json:
        print_result(result, as_json=True)
    else:
        sys.stdout.write(escape_control_characters(format_demo_summary(result)))
