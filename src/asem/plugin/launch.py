"""Launch napari for `asem annotate`."""

import os
from importlib.util import find_spec
from pathlib import Path

from asem.plugin.display_check import NOT_INSTALLED, check_qt_display
from asem.structures import DEFAULT_STRUCTURE
from asem.system.signals import forward_to_sigint_handler
from asem.volume.address import AddressLike


def annotate(
    raw: AddressLike, session: Path | None = None, structure: str = DEFAULT_STRUCTURE
) -> None:
    """Annotate a volume in a viewer; returns when it is closed.

    Parameters
    ----------
    raw
        Path or URL of the image.
    session
        Folder of the annotations; None: next to the image.
    structure
        The structure to annotate first.

    Raises
    ------
    ValueError
        `raw` is no image, the session belongs to another one, or napari is not installed.
    OSError
        A system library that Qt needs is missing, there is no display, or the session is open in
        another process.
    """
    if find_spec("napari") is None:
        raise ValueError(NOT_INSTALLED)
    check_qt_display(os.environ)
    try:
        import napari

        from asem.plugin.annotate_widget import open_annotation, start_viewer
    except ImportError as error:
        raise ValueError(f"{NOT_INSTALLED} ({error})") from error
    model = open_annotation(raw, session, structure)
    try:
        start_viewer(model)
        with forward_to_sigint_handler():
            napari.run()
    finally:
        model.close()
