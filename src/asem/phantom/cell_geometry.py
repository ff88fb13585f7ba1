"""Geometry of a synthetic cell in nm: surfaces, pores, tubes, sheets, spheres and pits."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.phantom.smooth_surface import SmoothSurface

Points = npt.NDArray[np.float64]
"""Positions or directions along (z, y, x), shape (3,) or (n, 3), nm."""
ENVELOPE_HALF_NM = 15.0
"""From the middle of the nuclear envelope to the middle of each of its membranes."""
NO_HOLES = np.zeros((0, 4))


@dataclass(frozen=True)
class Pore:
    """A nuclear pore: a hole of the envelope whose rim is half a torus.

    Parameters
    ----------
    centre, normal
        On the middle surface of the envelope; unit vector out of the nucleus.
    radius_nm
        From the axis to the innermost point of the membrane, half of the diameter.
    """

    centre: Points
    normal: Points
    radius_nm: float


@dataclass(frozen=True)
class Tube:
    """A bent tube with round ends: a mitochondrion or a tubule of the ER.

    Parameters
    ----------
    points
        Points along its axis, in order, shape (n, 3).
    radius_nm
        From the axis to the (outer) membrane.
    """

    points: Points
    radius_nm: float


@dataclass(frozen=True)
class Sheet:
    """A round sheet, curved as a part of a sphere: a cisterna of the Golgi or of the ER.

    Parameters
    ----------
    centre, normal
        Of its middle surface; unit vector away from the centre of curvature.
    curvature_radius_nm
        Of its middle surface.
    radius_nm
        From its axis to the rim of its lumen.
    half_nm
        From its middle surface to the membranes.
    holes
        Fenestrations, shape (n, 4): position (z, y, x) on the middle surface, and radius.
    """

    centre: Points
    normal: Points
    curvature_radius_nm: float
    radius_nm: float
    half_nm: float
    holes: Points = field(default_factory=lambda: NO_HOLES)


@dataclass(frozen=True)
class Golgi:
    """A stack of cisternae, from the cis to the trans side."""

    cisternae: tuple[Sheet, ...]


@dataclass(frozen=True)
class Sphere:
    """A vesicle, lysosome or endosome.

    Parameters
    ----------
    centre
        nm.
    radius_nm
        To its membrane.
    """

    centre: Points
    radius_nm: float


@dataclass(frozen=True)
class Pit:
    r"""An invagination of a membrane: a solid of revolution about the normal of the membrane.

    ::

        outside     ----.   .----   plane of the membrane
                        )   (       neck
        cytosol        /     \
                      (       )     bulb, an ellipsoid
                       `-----'      depth `height_nm`

    Parameters
    ----------
    position, normal
        On the membrane; unit vector into the cytosol.
    height_nm
        From the plane of the membrane to the deepest point.
    half_width_nm, half_height_nm
        Semi-axes of the bulb, across and along the normal.
    neck_radius_nm
        Of the neck that joins the bulb to the outside; 0: none, the bulb is open.
    coated
        Whether clathrin covers its cytosolic side; False: a caveola.
    endosome
        Number of the endosome that it buds from (secretory); -1: the plasma membrane (endocytic).
    """

    position: Points
    normal: Points
    height_nm: float
    half_width_nm: float
    half_height_nm: float
    neck_radius_nm: float
    coated: bool
    endosome: int = -1


@dataclass(frozen=True)
class CellGeometry:
    """A synthetic cell in a box that starts at (0, 0, 0).

    Parameters
    ----------
    extent_nm
        Size of the box.
    cell, nucleus
        Plasma membrane, and middle of the nuclear envelope.
    pores, er_tubules, er_sheets, golgi, mitochondria
        Organelles; the ER is continuous with the envelope.
    pits
        Coated pits and caveolae of the plasma membrane, and secretory pits of endosomes.
    vesicles, coated_vesicles, lysosomes, endosomes
        Spheres.
    """

    extent_nm: NmZYX
    cell: SmoothSurface
    nucleus: SmoothSurface
    pores: tuple[Pore, ...] = ()
    er_tubules: tuple[Tube, ...] = ()
    er_sheets: tuple[Sheet, ...] = ()
    golgi: tuple[Golgi, ...] = ()
    mitochondria: tuple[Tube, ...] = ()
    pits: tuple[Pit, ...] = ()
    vesicles: tuple[Sphere, ...] = ()
    coated_vesicles: tuple[Sphere, ...] = ()
    lysosomes: tuple[Sphere, ...] = ()
    endosomes: tuple[Sphere, ...] = ()
