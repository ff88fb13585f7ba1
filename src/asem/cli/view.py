"""Command that displays images, meshes and tables in neuroglancer."""

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from asem.cli.options import (
    DEFAULT_OUTPUT,
    Flag,
    ImageAddress,
    OptionalOutput,
    OutputOptions,
    SignedText,
    parse_nm_triple,
)
from asem.cli.printing import print_lines, print_result
from asem.cli.streams import escape_control_characters
from asem.config import shorten


def view(
    *paths: ImageAddress,
    link: Flag = False,
    open_browser: Annotated[bool, Parameter(name="--open", negative="")] = False,
    screenshot: OptionalOutput = None,
    size: str | None = None,
    position: SignedText = None,
    width: float | None = None,
    port: int = 0,
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """View cells, images, meshes and tables in a browser, with neuroglancer; any size.

    Serves them on this machine only, by a link with a secret token, until Ctrl-C.

    Parameters
    ----------
    paths
        Any number of cells (cell.zarr: all images in it), images (path or URL), mesh folders, and
        tables of asem measure, pores or pits (their folder, or a CSV or Parquet file).
    link
        Print the link (the default).
    open_browser
        Also open it in the browser of this machine.
    screenshot
        Instead, write a picture of the view to this PNG file, with Chromium, and end.
    size
        Width and height of the picture, pixels; 1600,1000 by default.
    position
        Where the planes cross, nm, z,y,x; by default the middle of the labels, or of the image.
    width
        Width of what a panel shows, nm; by default everything fits.
    port
        Port of the server; 0: any free one. For ssh -L from another machine.
    overwrite
        Replace the file of --screenshot.
    """
    from asem.workflows.view import SCREENSHOT_SIZE, save_screenshot, view_in_browser

    position_nm = None if position is None else parse_nm_triple(position, "--position")
    if screenshot is not None:
        if link or open_browser or port:
            raise ValueError("give either --screenshot, or --link, --open or --port")
        result = save_screenshot(
            paths,
            screenshot,
            size=SCREENSHOT_SIZE if size is None else _parse_size(size),
            position_nm=position_nm,
            width_nm=width,
            overwrite=overwrite,
        )
        _advise_meshes(result)
        if not output_options.json:
            del result["without_meshes"]
        print_result(result, as_json=output_options.json)
        return
    if size is not None or overwrite:
        raise ValueError("--size and --overwrite are those of a picture: give --screenshot, too")

    def announce(result: dict[str, Any]) -> None:
        hidden = [name for name, state in result["layers"].items() if state == "hidden"]
        more = f"hidden layers: {', '.join(hidden)}; " if hidden else ""
        _advise_meshes(result)
        sys.stderr.write(escape_control_characters(f"{more}Ctrl-C ends the view") + "\n")
        print_lines([result["url"]], result, as_json=output_options.json)
        sys.stdout.flush()

    view_in_browser(
        paths,
        announce,
        position_nm=position_nm,
        width_nm=width,
        port=port,
        open_browser=open_browser,
    )


def _advise_meshes(result: dict[str, Any]) -> None:
    """Print how to get the surfaces of instances that the 3D panel does not contain."""
    if without := result["without_meshes"]:
        line = f"no surfaces in 3D of {', '.join(without)}: asem mesh makes them (docs/meshes.md)"
        sys.stderr.write(escape_control_characters(line) + "\n")


def _parse_size(text: str) -> tuple[int, int]:
    """Read ``--size W,H``."""
    parts = text.split(",")
    if len(parts) != 2 or not all(
        part.strip().isascii() and part.strip().isdigit() for part in parts
    ):
        raise ValueError(f"--size {shorten(text, str)}: write width and height in pixels, W,H")
    return int(parts[0]), int(parts[1])
