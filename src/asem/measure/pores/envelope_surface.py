r"""Surface through the centres of pores: an alpha shape, closed or open.

The Delaunay triangulation of the points has tetrahedra and triangles; a triangle belongs to the
alpha complex if an empty sphere of radius alpha has its corners on it (Edelsbrunner and Mücke, ACM
Trans. Graph. 13, 1994). Points on a surface are connected by triangles of about the radius of their
distances, while the tetrahedra that fill the nucleus have spheres as large as the nucleus::

     . - . - .         alpha about the spacing: triangles of the surface, and flat tetrahedra
   .           .       alpha about the radius: the whole nucleus
    ' - . - . '

alpha is the smallest one with which all points are in one component. If up to `MAX_CLOSING` times
as large an alpha encloses a cavity, the envelope is closed: its surface is then the boundary of all
that cannot be reached from outside. Else (a part of a nucleus) it is open: all triangles.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import Delaunay, QhullError

from asem.measure.pores.point_surface import FloatArray

IntArray = npt.NDArray[np.int64]
MAX_CLOSING = 3.0
"""Largest alpha at which a cavity may be enclosed / smallest one of one component."""
CLOSING_STEPS = 12
MIN_CAVITY = 0.25
"""Volume of the cavity of a closed envelope / that of the convex hull."""
FLAT_FRACTION = 1e-4
"""Points are in a plane if their thickness is at most this fraction of their extent."""


@dataclass(frozen=True)
class Surface:
    """Triangles between points.

    Parameters
    ----------
    points_nm
        (n, 3).
    triangles
        Rows of their corners, (t, 3). Counter-clockwise as seen from outside if `is_closed`.
    is_closed
        Whether the triangles enclose a volume.
    alpha_nm
        Radius of the largest spheres; nan without triangles.
    """

    points_nm: FloatArray
    triangles: IntArray
    is_closed: bool
    alpha_nm: float

    @property
    def normals(self) -> FloatArray:
        """Normals of the triangles, of twice their area, (t, 3)."""
        a, b, c = (self.points_nm[self.triangles[:, k]] for k in range(3))
        return np.cross(b - a, c - a)

    @property
    def edges(self) -> IntArray:
        """Pairs of points that a triangle connects, (e, 2)."""
        return find_edges(self.triangles)


def find_edges(triangles: IntArray) -> IntArray:
    """Return the distinct edges of triangles, sorted, (e, 2)."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]])
    return np.unique(np.sort(pairs, axis=1), axis=0).reshape(-1, 2)


def triangulate_surface(points_nm: FloatArray) -> Surface:
    """Return the alpha shape of points on a surface.

    Parameters
    ----------
    points_nm
        Distinct points, (n, 3). Fewer than three, and points on a line, have no triangles; points
        in a plane are triangulated in it.
    """
    empty = Surface(points_nm, np.zeros((0, 3), np.int64), False, np.nan)
    if len(points_nm) < 3:
        return empty
    centred = points_nm - points_nm.mean(axis=0)
    _, extent, axes = np.linalg.svd(centred, full_matrices=False)
    if extent[1] <= FLAT_FRACTION * extent[0]:
        return empty
    if len(points_nm) > 3 and extent[2] > FLAT_FRACTION * extent[0]:
        try:
            return _find_alpha_shape(points_nm, Delaunay(centred))
        except QhullError:  # in a plane, within its precision
            pass
    try:
        flat = Delaunay(centred @ axes[:2].T)
    except QhullError:
        return empty
    triangles = flat.simplices.astype(np.int64)
    radii = triangle_radii(points_nm, triangles)
    alpha = find_connecting_radius(len(points_nm), triangles, radii)
    return Surface(points_nm, triangles[radii <= alpha], False, alpha)


@dataclass(frozen=True)
class _Complex:
    """Tetrahedra of a Delaunay triangulation and their faces.

    Parameters
    ----------
    faces
        Rows of corners, sorted, (f, 3).
    owners
        Tetrahedra on both sides of each face; -1: outside, (f, 2).
    apexes
        The corners of these tetrahedra that are not in the face; -1: outside, (f, 2).
    face_radii, cell_radii
        Radius of the smallest empty sphere through the corners of a face (f,), and of the sphere of
        a tetrahedron (t,).
    cell_volumes
        (t,).
    """

    faces: IntArray
    owners: IntArray
    apexes: IntArray
    face_radii: FloatArray
    cell_radii: FloatArray
    cell_volumes: FloatArray


def _find_alpha_shape(points: FloatArray, delaunay: Delaunay) -> Surface:
    cells = _make_complex(points, delaunay.simplices.astype(np.int64))
    alpha = find_connecting_radius(len(points), cells.faces, cells.face_radii)
    for factor in np.geomspace(1, MAX_CLOSING, CLOSING_STEPS):
        outside = _find_outside(cells, alpha * factor)
        enclosed = ~outside[:-1] & (cells.cell_radii > alpha * factor)
        cavity = cells.cell_volumes[enclosed].sum()
        if cavity >= max(MIN_CAVITY * cells.cell_volumes.sum(), (1.6 * alpha) ** 3):
            return Surface(points, _find_boundary(points, cells, outside), True, alpha * factor)
    return Surface(points, cells.faces[cells.face_radii <= alpha], False, alpha)


def _make_complex(points: FloatArray, simplices: IntArray) -> _Complex:
    sides = np.array([(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)])
    corners = np.sort(simplices[:, sides].reshape(-1, 3), axis=1)
    faces, row = np.unique(corners, axis=0, return_inverse=True)
    row = row.ravel()
    order = np.argsort(row, kind="stable")
    is_second = np.zeros(len(order), np.intp)
    is_second[1:] = row[order][1:] == row[order][:-1]
    owners, apexes = np.full((2, len(faces), 2), -1, np.int64)
    owners[row[order], is_second] = order // 4
    apexes[row[order], is_second] = simplices.ravel()[order]
    cell_radii, volumes = _measure_cells(points, simplices)
    radii, centres = _find_circles(points, faces)
    free = np.ones(len(faces), bool)
    for side in range(2):
        apex = points[apexes[:, side]]
        inside = np.linalg.norm(apex - centres, axis=1) < radii * (1 - 1e-9)
        free &= ~(inside & (apexes[:, side] >= 0))
    beside = np.where(owners >= 0, cell_radii[owners], np.inf).min(axis=1)
    return _Complex(faces, owners, apexes, np.where(free, radii, beside), cell_radii, volumes)


def _measure_cells(points: FloatArray, simplices: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the radius of the sphere through the corners of each tetrahedron, and its volume."""
    origin = points[simplices[:, 0]]
    edges = points[simplices[:, 1:]] - origin[:, None]
    volume = np.abs(np.linalg.det(edges)) / 6
    squares = (edges**2).sum(axis=2)
    radii = np.full(len(simplices), np.inf)
    solid = volume > 1e-9 * squares.max(axis=1) ** 1.5
    centre = np.linalg.solve(2 * edges[solid], squares[solid][:, :, None])[:, :, 0]
    radii[solid] = np.linalg.norm(centre, axis=1)
    return radii, volume


def _find_circles(points: FloatArray, triangles: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return radius and centre of the circle through the corners of each triangle."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    p, q = b - a, c - a
    normal = np.cross(p, q)
    square = (normal**2).sum(axis=1)
    pp, qq = (p**2).sum(axis=1)[:, None], (q**2).sum(axis=1)[:, None]
    safe = np.maximum(square, 1e-300)[:, None]
    offset = np.cross(pp * q - qq * p, normal) / (2 * safe)
    flat = square <= 1e-18 * (pp * qq)[:, 0]
    radius = np.where(flat, np.inf, np.linalg.norm(offset, axis=1))
    return radius, a + offset


def triangle_radii(points: FloatArray, triangles: IntArray) -> FloatArray:
    """Return the radius of the circle through the corners of each triangle, (t,)."""
    return _find_circles(points, triangles)[0]


def find_connecting_radius(count: int, triangles: IntArray, radii: FloatArray) -> float:
    """Return the smallest radius with which triangles connect `count` points.

    It is the largest weight of the minimum spanning tree of the edges, each of which has that of
    the smallest triangle that contains it.
    """
    order = np.argsort(-radii, kind="stable")  # later entries replace earlier ones
    pairs = np.concatenate([triangles[order][:, k] for k in ((0, 1), (1, 2), (0, 2))])
    weights = np.tile(radii[order], 3)
    finite = np.isfinite(weights)
    pairs, weights = np.sort(pairs[finite], axis=1), weights[finite]
    keys, row = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
    smallest = np.full(len(keys), np.inf)
    np.minimum.at(smallest, row.ravel(), weights)
    graph = coo_array((smallest, (keys // count, keys % count)), shape=(count, count))
    return float(minimum_spanning_tree(graph.tocsr()).data.max())


def _find_outside(cells: _Complex, alpha: float) -> npt.NDArray[np.bool_]:
    """Return which tetrahedra are reached from outside; the last value is the outside itself."""
    count = len(cells.cell_radii)
    open_faces = cells.face_radii > alpha
    a, b = np.where(cells.owners < 0, count, cells.owners)[open_faces].T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(count + 1, count + 1))
    _, part = connected_components(graph, directed=False)
    return np.asarray(part == part[count])


def _find_boundary(points: FloatArray, cells: _Complex, outside: npt.NDArray[np.bool_]) -> IntArray:
    """Return the faces between the enclosed tetrahedra and the outside, oriented outward."""
    is_out = outside[np.where(cells.owners < 0, len(outside) - 1, cells.owners)]
    chosen = is_out[:, 0] != is_out[:, 1]
    faces = cells.faces[chosen]
    inner = np.where(is_out[chosen, 0], cells.apexes[chosen, 1], cells.apexes[chosen, 0])
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = np.einsum("fa,fa->f", np.cross(b - a, c - a), points[inner] - a) > 0
    return np.asarray(np.where(inward[:, None], faces[:, [0, 2, 1]], faces), np.int64)
