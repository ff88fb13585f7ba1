"""A stroke of foreground and one of background on the synthetic cell of the plugin's tests."""

from asem.annotate.edits import Stroke

FOREGROUND = Stroke(1, 0, 2, False, ((24, 4, 43), (24, 4, 50)))
BACKGROUND = Stroke(2, 0, 2, False, ((24, 24, 4), (24, 24, 50)))
