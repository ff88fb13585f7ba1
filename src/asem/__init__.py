"""Segment and measure organelles in FIB-SEM image stacks.

The folders are the layers of the package, lowest first: `system` (files, locks, memory), `volume`
(arrays with voxel size and position), `blocks` (block-wise execution), `image` (operations on
voxels), `measure` (scores), `phantom` (synthetic cells), `annotate` (labels from strokes), `model`
(the 3D U-Net), `training` (sampling, augmentation, optimization), `report` (figures and pages),
`workflows` (the commands), `plugin` (napari) and `cli` (the command line).
"""

from importlib.metadata import version

from asem.system.compiler_caches import set_numba_cache

__version__ = version("asem")
set_numba_cache()
