"""`asem annotate`: a window of napari with the annotation in it."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asem.plugin.desk import Desk

FIRST_STRUCTURE = "mito"
OTHER_SCREENS = ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
"""Where a window may open instead of DISPLAY."""
FIRST_PORT = 6000
PATIENCE = 5.0
"""Seconds."""


def annotate(raw: Path, session: Path | None = None, structure: str = FIRST_STRUCTURE) -> None:
    """Annotate a volume in a window, until it is closed.

    Parameters
    ----------
    raw
        The image.
    session
        Folder of the strokes; None: beside the data.
    structure
        What to begin with.

    Raises
    ------
    ValueError
        `raw` is no image, the session that of another one, or napari is not installed.
    OSError
        There is no screen, or the session is open elsewhere.
    """
    try:
        import napari

        from asem.plugin.annotate import open_desk
    except ImportError as error:
        raise ValueError(
            f"annotation needs napari and Qt: pip install 'asem[napari]' ({error})"
        ) from error
    check_screen(os.environ)
    desk = open_desk(raw, session, structure)
    try:
        show(desk)
        napari.run()
    finally:
        desk.close()


def check_screen(environ: Mapping[str, str]) -> None:
    """Raise OSError where there is no screen, on which Qt would end the process."""
    display = environ.get("DISPLAY", "")
    if sys.platform != "linux" or any(environ.get(name) for name in OTHER_SCREENS):
        return
    if not display:
        raise OSError("there is no screen: annotation opens a window (DISPLAY is not set)")
    if not answers(display):
        raise OSError(f"there is no screen: no X server answers at DISPLAY={display}")


def answers(display: str) -> bool:
    """Whether an X server can be reached; display N is a socket, or port 6000 + N of a host."""
    host, _, place = display.rpartition(":")
    number = place.partition(".")[0]
    if not number.isdigit():
        return False
    if any(sign in host for sign in "/["):  # a protocol or an address, which Qt may know
        return True
    path = f"/tmp/.X11-unix/X{number}"
    local = host in ("", "unix")
    # The kernel has names of sockets that are no files; they begin with a 0.
    ways = [f"\0{path}", path] if local else [(host, FIRST_PORT + int(number))]
    for way in ways:
        with socket.socket(socket.AF_UNIX if local else socket.AF_INET) as server:
            server.settimeout(PATIENCE)
            try:
                server.connect(way)
            except OSError:
                continue
            return True
    return False


def show(desk: "Desk") -> Any:
    """Open a viewer on a desk and return it."""
    import napari

    from asem.plugin.annotate import NAME, AnnotateWidget

    viewer = napari.Viewer(title=f"asem annotate {desk.volume.name}", show=False)
    viewer.window.add_dock_widget(AnnotateWidget(viewer, desk), name=NAME, area="right")
    viewer.show()
    return viewer
