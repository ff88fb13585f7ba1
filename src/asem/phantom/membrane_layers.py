"""Layers of a block of a synthetic cell: the nearest membrane, and the distance to it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.phantom.cell_geometry import ENVELOPE_HALF_NM
from asem.phantom.compartments import ER, GOLGI, MITOCHONDRION, OUTSIDE, SPHERES
from asem.phantom.frame import CoarseGrid, Float32, Frame
from asem.phantom.shape_arrays import PORE_REACH_NM, ShapeArrays, SheetRows
from asem.phantom.shape_kernels import (
    FAR,
    add_envelope,
    add_pits,
    add_pores,
    add_sheets,
    add_spheres,
    add_tubes,
)


@dataclass(frozen=True)
class Layers:
    """What is where in a block.

    Parameters
    ----------
    distance
        float32, signed distance to the nearest membrane, nm; negative within its compartment.
    kind, number
        uint8 compartment and uint32 number of the object of that membrane, from 1.
    along
        float32, length along the axis of a mitochondrion, nm.
    nucleus
        float32, signed distance to the middle of the nuclear envelope, nm.
    gap, pore
        float32 distance to the wall of the nearest pore, from its axis, nm; its uint32 number.
    """

    distance: Float32
    kind: npt.NDArray[np.uint8]
    number: npt.NDArray[np.uint32]
    along: Float32
    nucleus: Float32
    gap: Float32
    pore: npt.NDArray[np.uint32]


def build_layers(
    shapes: ShapeArrays, frame: Frame, nucleus: CoarseGrid, cell: CoarseGrid
) -> Layers:
    """Compute the layers of a block.

    Parameters
    ----------
    shapes
        The cell.
    frame
        The block.
    nucleus, cell
        Distances to the surfaces of nucleus and cell on a grid that covers the frame.
    """
    place = frame.geometry
    outside = cell.interpolate(frame)
    layers = Layers(
        -outside,
        np.full(frame.shape, OUTSIDE, np.uint8),
        np.zeros(frame.shape, np.uint32),
        np.zeros(frame.shape, np.float32),
        nucleus.interpolate(frame),
        np.full(frame.shape, FAR, np.float32),
        np.zeros(frame.shape, np.uint32),
    )
    target = layers.distance, layers.kind, layers.number
    add_pores(layers.gap, layers.pore, shapes.pores.near(frame), PORE_REACH_NM, *place)
    er = np.full(frame.shape, FAR, np.float32)
    ignored = np.zeros(frame.shape, np.uint8), np.zeros(frame.shape, np.uint32)
    unused = np.zeros(frame.shape, np.float32)
    add_tubes(er, *ignored, unused, shapes.er_tubules.near(frame), ER, *place)
    _add_sheet_rows((er, *ignored), shapes.er_sheets, ER, frame)
    half = np.float32(ENVELOPE_HALF_NM)
    add_envelope(layers.distance, layers.kind, layers.nucleus, layers.gap, er, half, ER)
    _add_sheet_rows(target, shapes.cisternae, GOLGI, frame)
    rows = shapes.mitochondria.near(frame)
    add_tubes(
        layers.distance, layers.kind, layers.number, layers.along, rows, MITOCHONDRION, *place
    )
    for name, kind in SPHERES.items():
        add_spheres(*target, shapes.spheres[name].near(frame), kind, *place)
    add_pits(*target, outside, shapes.pits.near(frame), *place)
    return layers


def _add_sheet_rows(target: tuple[Any, ...], sheets: SheetRows, kind: int, frame: Frame) -> None:
    distance, kinds, numbers = target
    rows = sheets.rows.near(frame)
    add_sheets(distance, kinds, numbers, rows, sheets.holes, kind, *frame.geometry)
