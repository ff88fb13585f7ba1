"""`asem annotate`: a window of napari with the annotation in it."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asem.plugin.desk import Desk

FIRST_STRUCTURE = "mito"
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


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
    if sys.platform == "linux" and not any(os.environ.get(name) for name in SCREENS):
        raise OSError("there is no screen: annotation opens a window (DISPLAY is not set)")
    desk = open_desk(raw, session, structure)
    try:
        show(desk)
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
