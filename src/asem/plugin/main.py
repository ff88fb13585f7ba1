"""`asem annotate`: a window of napari with the annotation in it."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asem.plugin.window import NOT_INSTALLED, check_window
from asem.system.signals import handled_as_interrupt

if TYPE_CHECKING:
    from asem.plugin.desk import Desk

FIRST_STRUCTURE = "mito"


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
        The system lacks a library that Qt needs, there is no screen, or the session is open
        elsewhere.
    """
    if find_spec("napari") is None:
        raise ValueError(NOT_INSTALLED)
    check_window(os.environ)
    try:
        import napari

        from asem.plugin.annotate import open_desk
    except ImportError as error:
        raise ValueError(f"{NOT_INSTALLED} ({error})") from error
    desk = open_desk(raw, session, structure)
    try:
        show(desk)
        with handled_as_interrupt():
            napari.run()
    finally:
        desk.close()


def show(desk: "Desk") -> Any:
    """Open a viewer on a desk and return it."""
    import napari

    from asem.plugin.annotate import NAME, AnnotateWidget

    viewer = napari.Viewer(title=f"asem annotate {desk.volume.name}", show=False)
    viewer.window.add_dock_widget(AnnotateWidget(viewer, desk), name=NAME, area="right")
    viewer.show()
    return viewer
