"""Constants of panel, mouse and layers: brush modes, colours, opacities, axis orders."""

from asem.annotate.edits import BACKGROUND, ERASE, FOREGROUND

STROKE_LABEL_NAMES = {FOREGROUND: "foreground", BACKGROUND: "background"}
"""Stroke labels from which a window is cut; also names of modes and colours."""
STROKE_MODES = {name: label for label, name in STROKE_LABEL_NAMES.items()} | {"erase": ERASE}
DECISION_MODES = {"accept": FOREGROUND, "reject": BACKGROUND}
MODES = (*STROKE_MODES, *DECISION_MODES, "move")
MAX_BRUSH_RADIUS = 100
"""Voxels; larger brushes cover a window."""

COLORS = {"foreground": "#22c7ff", "background": "#ff7a1a", "cut": "#ffe14d", "marker": "#ff3fd0"}
"""Distinguishable with red-green colour blindness."""
CUT_OPACITY, STROKES_OPACITY = 0.35, 0.6
MARKER_SIZE = 12
"""Diameter of the marker of a voxel, voxels."""
AXIS_ORDERS = {"Z": (0, 1, 2), "Y": (1, 0, 2), "X": (2, 0, 1)}
"""Viewing axis: it comes first, the others are rows and columns of the screen."""
