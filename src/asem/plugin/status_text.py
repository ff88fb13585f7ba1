"""Texts of the status box and the progress line of the annotation panel."""

from asem.annotate.edits import BACKGROUND
from asem.annotate.energy import Cut
from asem.plugin.display_options import STROKE_LABEL_NAMES
from asem.plugin.window_state import WindowState
from asem.volume.roi import IntZYX

ALREADY_ACCEPTED = "already accepted; draw or press Update cut (C) to change it"


def progress_text(
    state: WindowState, accepted_count: int, window_count: int, predicted_fraction: float | None
) -> str:
    """Return the progress of the annotation.

    Parameters
    ----------
    state
        The current window.
    accepted_count, window_count
        Accepted windows of all windows.
    predicted_fraction
        Finished part of a running prediction; None: none is running.
    """
    text = f"{accepted_count} of {window_count} windows accepted"
    if state.accepted_labels is not None:
        text += f"; this one {'is accepted' if state.is_unchanged else 'has changed'}"
    if state.prediction is not None:
        text += "; started from a prediction"
    return text if predicted_fraction is None else f"{text}; predicting, {predicted_fraction:.0%}"


def missing_strokes_text(state: WindowState) -> str:
    """Return which strokes the cut of a window needs; empty if none."""
    if state.prediction is not None:
        return ""
    present = state.stroke_labels
    missing = [name for label, name in STROKE_LABEL_NAMES.items() if label not in present]
    if not missing:
        return ""
    return f"draw {' and '.join(missing)}{' too' if len(missing) == 1 else ''}"


def acceptance_problem(state: WindowState, *, is_cutting: bool) -> str:
    """Return why a window cannot be accepted now; empty if it can."""
    if is_cutting:
        return "cut in progress: accept the window when it has finished"
    if state.is_cut_outdated:
        return "the cut is outdated: press Update cut (C), then accept"
    if state.cut is not None:
        return ""
    if state.is_unchanged:
        return ALREADY_ACCEPTED
    if state.stroke_labels != {BACKGROUND}:
        return "nothing to accept: draw strokes (only background if the structure is absent)"
    return ""


def least_certain_text(cut: Cut | None, voxel: IntZYX | None) -> str:
    """Return the status when the least certain voxel of a cut is shown."""
    if cut is None:
        return "no cut yet: draw foreground and background"
    if voxel is None:
        return "strokes already determine every voxel of this window"
    return "least certain voxel: draw a stroke here if the cut is wrong"
