"""From a FIB-SEM stack to segmented, measured organelles.

The folders are the steps of the method, from the bottom up: `volume` (arrays with a place in
space), `blocks` (work block by block), `image` (operations on voxels), `measure` (scores),
`phantom` (synthetic cells), `annotate` (labels from strokes), `model` (the 3D U-Net), `training`
(what it learns from, and how), `report` (figures and pages), `workflows` (the verbs), `plugin`
(the window of napari) and `cli` (the command line).
"""

from importlib.metadata import version

from asem.system.kernel_cache import choose_cache

__version__ = version("asem")
choose_cache()
