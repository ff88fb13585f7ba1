"""Mesh the objects of a block by marching cubes (zmesh), closed at the border of the volume.

A block of cells is read with the voxels at both ends of each cell, background beyond the border of
the volume::

    cells             0 | 1 | 2 | 3 | 4        block of cells 0-1, and of cells 2-4
    voxels          0   #   #   .   #   0      0: background
                    |--- read --|
                            |----- read ----|

Both blocks mesh the plane of voxel 1 alike, so that their vertices on it are equal.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from asem.image.labels import is_foreground
from asem.measure.mesh_levels import LevelMesh
from asem.measure.object_columns import BlockObjects
from asem.volume.id_selection import IdSelection
from asem.volume.roi import IntZYX, Roi, negate
from asem.volume.volume import Volume

MESHED_VOXEL_BYTES = 64
"""Memory of each voxel of a block, bytes: labels and their copies, and the triangles of blocks that
are full of surfaces."""


def read_block(labels: Volume, cells: Roi) -> npt.NDArray[Any]:
    """Read the voxels at both ends of a block of cells; background beyond the border.

    Returns
    -------
    ndarray
        One voxel more than cells along each axis; unlabelled voxels are background.
    """
    roi = Roi(cells.offset, cells.shape).shift((-1, -1, -1))
    roi = Roi(roi.offset, (roi.shape[0] + 1, roi.shape[1] + 1, roi.shape[2] + 1))
    voxels = np.zeros(roi.shape, labels.dtype)
    part = roi.intersect(labels.roi)
    read = labels.read(part)
    voxels[part.shift(negate(roi.offset)).slices] = np.where(is_foreground(read), read, 0)
    return voxels


def select_objects(voxels: npt.NDArray[Any], ids: IdSelection | None) -> npt.NDArray[Any]:
    """Return the labels with the objects that are not selected as background."""
    return voxels if ids is None else np.where(ids.contains(voxels), voxels, 0)


def count_voxels(
    objects: BlockObjects, shape: IntZYX
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the ids of the objects in a block, without the voxels that overlap, and their sizes.

    Parameters
    ----------
    objects
        Objects of the voxels that `read_block` returned. The first plane along each axis is of the
        block before.
    shape
        Shape of these voxels.
    """
    rows = objects.rows.reshape(shape)[1:, 1:, 1:].ravel()
    counts = np.bincount(rows, minlength=len(objects.ids) + 1)[:-1]
    return objects.ids[counts > 0].astype(np.uint64), counts[counts > 0].astype(np.int64)


def mesh_block(objects: BlockObjects, numbers: npt.NDArray[np.uint32], cells: Roi) -> LevelMesh:
    """Mesh all objects of a block, at level 0.

    Parameters
    ----------
    objects, numbers
        Objects of the voxels that `read_block` returned for `cells`, and the number of each voxel's
        object, 0 background.
    cells
        The block, in cells.
    """
    from zmesh import Mesher

    mesher = Mesher((1.0, 1.0, 1.0))
    mesher.mesh(numbers)
    present = sorted(mesher.ids())  # an object that fills the block has no surface in it
    keys, faces, owners = [np.empty((0, 3), np.int32)], [np.empty((0, 3), np.int32)], []
    first = 0
    for row, number in enumerate(present):
        mesh = mesher.get(number)
        mesher.erase(number)
        keys.append(np.rint(2 * mesh.vertices).astype(np.int32))
        faces.append(mesh.faces.astype(np.int32) + first)
        owners.append(np.full(len(mesh.vertices), row, np.int32))
        first += len(mesh.vertices)
    coordinates = np.concatenate(keys)
    coordinates += 2 * np.array(cells.offset, np.int32)
    ids = objects.ids[np.array(present, np.int64) - 1].astype(np.uint64)
    return LevelMesh.from_coordinates(
        ids, np.concatenate([np.empty(0, np.int32), *owners]), coordinates, np.concatenate(faces)
    )


def open_at_border(mesh: LevelMesh, shape: IntZYX) -> LevelMesh:
    """Remove the triangles beyond the centres of the outermost voxels, at level 0.

    Objects that touch the border of the volume, of `shape` voxels, are then open there.
    """
    middle = mesh.keys[mesh.faces].sum(axis=1)  # 3 x the coordinates of the centroids
    inside = ((middle > 3 * 2) & (middle < 3 * 2 * np.array(shape))).all(axis=1)
    faces = mesh.faces[inside]
    used = np.zeros(len(mesh.keys), np.bool_)
    used[faces] = True
    rows = np.cumsum(used, dtype=np.int32) - 1
    return LevelMesh.from_coordinates(mesh.ids, mesh.owners[used], mesh.keys[used], rows[faces])
