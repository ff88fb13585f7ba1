"""View images, meshes and tables in neuroglancer: `asem view`."""

import logging
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asem.blocks.output_nesting import check_output_path
from asem.config import NmZYX
from asem.system.atomic_rename import rename_no_replace
from asem.system.files import replace_file
from asem.system.overwrite_policy import OutputKind
from asem.volume.address import AddressLike
from asem.volume.png_file import add_header_chunks, is_written_by_asem

LOG = logging.getLogger(__name__)
NOT_INSTALLED = (
    "asem view needs neuroglancer; install it: pip install 'asem[view]' (in a clone: '.[view]')"
)
SCREENSHOT_SIZE = (1600, 1000)
MIN_PIXELS, MAX_PIXELS = 64, 8192
"""Edges of a picture."""


def view_in_browser(
    addresses: Sequence[AddressLike],
    announce: Callable[[dict[str, Any]], None],
    *,
    position_nm: NmZYX | None = None,
    width_nm: float | None = None,
    port: int = 0,
    open_browser: bool = False,
) -> None:
    """Serve a view of images, meshes and tables in neuroglancer, until an interrupt (Ctrl-C).

    Parameters
    ----------
    addresses
        Images in any format, cells, mesh folders and tables; paths or URLs.
    announce
        Called when the view can be opened, with ``url``, ``position_nm``, ``layers``, and
        ``without_meshes``: displayed instances that the 3D panel does not contain.
    position_nm
        Where the planes cross, nm along (z, y, x); None: the middle of the labels or the image.
    width_nm
        Width of what a panel displays, nm; None: everything fits.
    port
        Of the server on 127.0.0.1; 0: any free one.
    open_browser
        Whether to open the view in the browser of this machine.

    Raises
    ------
    FileNotFoundError
        Nothing exists at an address.
    OSError
        Something cannot be read, or the port is in use.
    ValueError
        An address is nothing that can be viewed, or neuroglancer is not installed.
    """
    check_view_request(addresses)
    from asem.view.open_view import ViewOptions, open_view
    from asem.view.redirect_page import make_redirect_page

    options = ViewOptions(position_nm, width_nm, port)
    with ExitStack() as stack:
        opened = stack.enter_context(open_view(addresses, options))
        with suppress(KeyboardInterrupt):  # the usual end of a view
            announce(opened.describe())
            if open_browser:
                page = stack.enter_context(make_redirect_page(opened.url))
                if not webbrowser.open(page.as_uri()):
                    LOG.warning("no browser is found on this machine; open the link in one")
            wait_for_interrupt()


def wait_for_interrupt() -> None:
    """Wait until KeyboardInterrupt is raised: by Ctrl-C, or another signal that ends commands."""
    threading.Event().wait()


def save_screenshot(
    addresses: Sequence[AddressLike],
    path: Path,
    *,
    size: tuple[int, int] = SCREENSHOT_SIZE,
    position_nm: NmZYX | None = None,
    width_nm: float | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Save a picture of a view, when all that it displays is loaded.

    Parameters
    ----------
    addresses, position_nm, width_nm
        As those of `view_in_browser`.
    path
        PNG file to write.
    size
        Width and height, pixels.
    overwrite
        Replace an earlier picture.

    Returns
    -------
    dict
        ``screenshot``, the file; ``position_nm``, ``layers`` and ``without_meshes``.

    Raises
    ------
    FileExistsError
        The file exists, and is no picture of asem or may not be replaced.
    FileNotFoundError
        Nothing exists at an address, or Chromium is not installed.
    OSError
        Something cannot be read or written.
    ValueError
        An address is nothing that can be viewed, the size is invalid, or neuroglancer is not
        installed.
    """
    check_view_request(addresses)
    _check_picture(path, size, overwrite=overwrite)
    from asem.view.open_view import ViewOptions, open_view
    from asem.view.screenshot import find_browser, take_screenshot

    find_browser()
    options = ViewOptions(position_nm, width_nm, panel=(size[1] // 2, size[0] // 2))
    with open_view(addresses, options) as opened:
        picture = take_screenshot(opened.server, size)
        described, pixel_nm = opened.describe(), opened.pixel_nm
    _write_picture(path, add_header_chunks(picture, (pixel_nm, pixel_nm)), overwrite=overwrite)
    return {"screenshot": str(path), **{k: v for k, v in described.items() if k != "url"}}


def check_view_request(addresses: Sequence[AddressLike]) -> None:
    """Raise ValueError where nothing is named, or neuroglancer is not installed."""
    if not addresses:
        raise ValueError("give at least one PATH, for instance cell.zarr")
    if find_spec("neuroglancer") is None:
        raise ValueError(NOT_INSTALLED)


def _check_picture(path: Path, size: tuple[int, int], *, overwrite: bool) -> None:
    if not all(MIN_PIXELS <= edge <= MAX_PIXELS for edge in size):
        raise ValueError(
            f"a picture of {size[0]} x {size[1]} pixels; its edges have {MIN_PIXELS} to "
            f"{MAX_PIXELS}"
        )
    check_output_path(path)
    PICTURE.check_replaceable(path, overwrite=overwrite)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: a picture is a PNG file; give it the suffix .png")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: its folder does not exist")


def _find_foreign(path: Path) -> Path | None:
    """Return ``Path()`` where a path is no PNG file of asem."""
    return None if path.is_file() and is_written_by_asem(path) else Path()


PICTURE = OutputKind("a picture", _find_foreign, is_file=True)


def _write_picture(path: Path, content: bytes, *, overwrite: bool) -> None:
    """Write a picture, if what is at its path may still be replaced."""

    def publish(partial: Path) -> None:
        if overwrite:
            PICTURE.check_replaceable(path, overwrite=True)
            partial.replace(path)
        else:
            rename_no_replace(partial, path)

    with replace_file(path, publish) as file:
        file.write(content)
