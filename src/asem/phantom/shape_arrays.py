"""The shapes of a synthetic cell as arrays of parameters for `asem.phantom.shape_kernels`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from asem.phantom.cell_geometry import CellGeometry, Sheet, Sphere, Tube
from asem.phantom.compartments import CAVEOLA, COATED_PIT, SECRETORY_PIT, SPHERES
from asem.phantom.frame import Frame
from asem.phantom.shape_kernels import REACH_NM

PORE_REACH_NM = 110.0
"""Distance from the wall of a pore up to which it changes the image: chromatin spares it."""


@dataclass(frozen=True)
class ShapeArrays:
    """The shapes of a cell as arrays for the kernels, each with the boxes that hold its rows."""

    cell: CellGeometry

    @cached_property
    def pores(self) -> "Rows":
        """Rows of `add_pores`."""
        rows = [
            [*pore.centre, *pore.normal, pore.radius_nm, number]
            for number, pore in enumerate(self.cell.pores, 1)
        ]
        return Rows.of(rows, 8, [row[6] + PORE_REACH_NM for row in rows])

    @cached_property
    def er_tubules(self) -> "Rows":
        """Rows of `add_tubes`."""
        return _tube_rows(self.cell.er_tubules)

    @cached_property
    def mitochondria(self) -> "Rows":
        """Rows of `add_tubes`."""
        return _tube_rows(self.cell.mitochondria)

    @cached_property
    def er_sheets(self) -> "SheetRows":
        """Rows of `add_sheets`."""
        return SheetRows.of(list(self.cell.er_sheets), [1] * len(self.cell.er_sheets))

    @cached_property
    def cisternae(self) -> "SheetRows":
        """Rows of `add_sheets`; the number is that of the stack."""
        pairs = [
            (sheet, number)
            for number, stack in enumerate(self.cell.golgi, 1)
            for sheet in stack.cisternae
        ]
        return SheetRows.of([sheet for sheet, _ in pairs], [number for _, number in pairs])

    @cached_property
    def spheres(self) -> dict[str, "Rows"]:
        """Rows of `add_spheres` by the names of `SPHERES`; coated vesicles follow the pits."""
        first = {"coated_vesicles": 1 + len(self.cell.pits)}
        return {
            name: _sphere_rows(getattr(self.cell, name), first.get(name, 1)) for name in SPHERES
        }

    @cached_property
    def pits(self) -> "Rows":
        """Rows of `add_pits`."""
        rows = []
        for number, pit in enumerate(self.cell.pits, 1):
            bud = [0.0, 0.0, 0.0, 0.0]
            kind = COATED_PIT if pit.coated else CAVEOLA
            if pit.endosome >= 0:
                kind = SECRETORY_PIT
                parent = self.cell.endosomes[pit.endosome]
                bud = [*parent.centre, parent.radius_nm]
            shape = (pit.height_nm, pit.half_width_nm, pit.half_height_nm, pit.neck_radius_nm)
            rows.append([*pit.position, *pit.normal, *shape, kind, number, *bud])
        return Rows.of(rows, 16, [max(row[6], row[7]) + 2 * REACH_NM for row in rows])


@dataclass(frozen=True)
class Rows:
    """Rows of parameters, and the box that holds all voxels each changes.

    Parameters
    ----------
    values
        Shape (n, columns).
    low, high
        Corners of the boxes, shape (n, 3), nm.
    """

    values: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]], columns: int, reach: Sequence[float]) -> "Rows":
        """Return rows that begin with a position, around which `reach` nm are changed."""
        values = np.array(rows, float).reshape(-1, columns)
        margin = np.array(reach, float)[:, None]
        return cls(values, values[:, :3] - margin, values[:, :3] + margin)

    def near(self, frame: Frame) -> npt.NDArray[np.float64]:
        """Return the rows whose boxes meet a frame."""
        return self.values[self.is_near(frame)]

    def is_near(self, frame: Frame) -> npt.NDArray[np.bool_]:
        """Whether the box of each row meets a frame."""
        low, high = frame.bounds()
        return np.asarray(np.all((self.low <= high) & (self.high >= low), axis=1))


@dataclass(frozen=True)
class SheetRows:
    """Rows of sheets, and their holes."""

    rows: Rows
    holes: npt.NDArray[np.float64]

    @classmethod
    def of(cls, sheets: Sequence[Sheet], numbers: Sequence[int]) -> "SheetRows":
        """Return the rows of sheets that belong to objects of these numbers."""
        ends = np.cumsum([len(sheet.holes) for sheet in sheets])
        rows = [
            [
                *sheet.centre, *sheet.normal, sheet.curvature_radius_nm, sheet.radius_nm,
                sheet.half_nm, number, end - len(sheet.holes), end,
            ]
            for sheet, number, end in zip(sheets, numbers, ends, strict=True)
        ]  # fmt: skip
        holes = [np.reshape(sheet.holes, (-1, 4)) for sheet in sheets]
        return cls(
            Rows.of(rows, 12, [row[7] + row[8] + REACH_NM for row in rows]),
            np.concatenate([np.zeros((0, 4)), *holes]),
        )


def _sphere_rows(spheres: Sequence[Sphere], first: int) -> Rows:
    """Return one row per sphere, numbered from `first`."""
    rows = [[*s.centre, s.radius_nm, number] for number, s in enumerate(spheres, first)]
    return Rows.of(rows, 5, [row[3] + REACH_NM for row in rows])


def _tube_rows(tubes: Sequence[Tube]) -> Rows:
    """Return one row per segment of the tubes."""
    rows = []
    for number, tube in enumerate(tubes, 1):
        before = 0.0
        for start, stop in zip(tube.points[:-1], tube.points[1:], strict=True):
            rows.append([*start, *stop, tube.radius_nm, number, before])
            before += float(np.linalg.norm(stop - start))
    longest = [
        row[6] + REACH_NM + float(np.linalg.norm(np.subtract(row[3:6], row[:3]))) for row in rows
    ]
    return Rows.of(rows, 9, longest)
