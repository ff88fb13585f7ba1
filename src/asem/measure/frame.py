"""Local frames of an object: an origin and three unit vectors, of which the third is its axis."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Origin, (3,), nm, and unit vectors u, v and the normal w as rows, (3, 3), in (z, y, x)."""

    origin_nm: FloatArray
    axes: FloatArray

    @classmethod
    def from_normal(cls, origin_nm: FloatArray, normal: FloatArray) -> "Frame":
        """Return a frame; u is perpendicular to the axis that is farthest from the normal."""
        w = normal / np.linalg.norm(normal)
        u = np.cross(w, np.eye(3)[np.argmin(np.abs(w))])
        u /= np.linalg.norm(u)
        return cls(origin_nm, np.stack([u, np.cross(w, u), w]))

    @property
    def normal(self) -> FloatArray:
        """The unit vector w."""
        return np.asarray(self.axes[2])

    def to_world(self, points: FloatArray) -> FloatArray:
        """Return world positions of points (..., 3) in (u, v, w), nm."""
        return np.asarray(points @ self.axes + self.origin_nm)
