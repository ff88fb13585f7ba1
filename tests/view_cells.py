"""A small cell of which every position is known, and pictures of views of it.

::

    raw               8 x 5 x 4 nm, at (100.5, 203, -51): a bright cuboid CUBOID_NM in the dark
    labels/mito       16 x 10 x 8 nm, on the same corners: 1 in the cuboid, unlabelled along an edge
    exclusion/mito    the same: 1 in the cuboid
    predictions/mito  probability and instances: id 7 in the cuboid; meshes of it
"""

from contextlib import contextmanager
from dataclasses import dataclass

import imagecodecs
import numpy as np

from asem.blocks.output_image import create_image
from asem.view.open_view import ViewOptions, open_view
from asem.view.screenshot import request_picture
from asem.volume.volume import Volume
from asem.workflows.mesh import mesh_instances

VOXEL_NM = np.array([8.0, 5.0, 4.0])
OFFSET_NM = np.array([100.5, 203.0, -51.0])
SHAPE = (24, 40, 96)
"""Two levels: the second one has voxels of 8 x 10 x 8 nm."""
CUBOID = (slice(8, 16), slice(20, 36), slice(4, 20))
"""Voxels of raw."""
CORNER_NM = OFFSET_NM - VOXEL_NM / 2
LOW_NM, HIGH_NM = (
    CORNER_NM + VOXEL_NM * np.array([getattr(one, end) for one in CUBOID])
    for end in ("start", "stop")
)
"""Corners of the cuboid."""
OBJECT = 7
GREY_DARK, GREY_BRIGHT = 40, 220


def write_image(path, voxels, voxel_nm=VOXEL_NM, offset_nm=OFFSET_NM, kind="image", command="test"):
    size, offset = tuple(map(float, voxel_nm)), tuple(map(float, offset_nm))
    volume = Volume(voxels, size, offset, kind=kind)
    with create_image(path, volume, command=command, request={}, sources=[]) as output:
        output.fill(volume.read, stage="test", voxel_bytes=8)
    return path


def draw_raw():
    raw = np.full(SHAPE, GREY_DARK, np.uint8)
    raw[CUBOID] = GREY_BRIGHT
    return raw


def write_cell(cell):
    """Write the cell."""
    raw = draw_raw()
    write_image(cell / "raw", raw)
    coarse = np.zeros(np.array(SHAPE) // 2, np.uint8)
    coarse[tuple(slice(one.start // 2, one.stop // 2) for one in CUBOID)] = 1
    place = {"voxel_nm": 2 * VOXEL_NM, "offset_nm": CORNER_NM + VOXEL_NM, "kind": "labels"}
    write_image(cell / "exclusion/mito", coarse, **place)
    folder = cell / "predictions/mito"
    write_image(folder / "probability", (raw > 100) * np.uint8(255), command="predict")
    instances = write_image(folder / "instances", coarse * np.uint32(OBJECT), **place)
    mesh_instances(instances, folder / "meshes")
    coarse[:, :3, :3] = 255
    write_image(cell / "labels/mito", coarse, **place)
    return cell


@dataclass(frozen=True)
class Picture:
    """A picture of a view with four panels: xy and xz above, 3D and yz below.

    Parameters
    ----------
    pixels
        RGB, (height, width, 3), float.
    position_nm
        Where the planes cross, along (z, y, x).
    pixel_nm
        Edge of a pixel.
    """

    pixels: np.ndarray
    position_nm: np.ndarray
    pixel_nm: float

    @classmethod
    def decode(cls, png, state):
        pixels = imagecodecs.png_decode(png)[..., :3].astype(float)
        units = np.array([state["dimensions"][name][0] * 1e9 for name in "zyx"])
        scale = state["crossSectionScale"] * units.min()
        return cls(pixels, units * state["position"][::-1], scale)

    def colour(self, panel, point_nm):
        """Return the colour of the pixel at a position in the plane of a panel."""
        height, width = self.pixels.shape[:2]
        z, y, x = (np.asarray(point_nm) - self.position_nm) / self.pixel_nm
        column, row = {"xy": (x, y), "xz": (x, z), "yz": (-z, y)}[panel]
        column += width / 4 + (width / 2 if panel != "xy" else 0)
        row += height / 4 + (height / 2 if panel == "yz" else 0)
        assert 0 <= column < width
        assert 0 <= row < height
        return self.pixels[int(row), int(column)]

    def saturation(self, panel, point_nm):
        colour = self.colour(panel, point_nm)
        return colour.max() - colour.min()


def points_at_faces(panel, reach_nm, shift_nm=(0, 0, 0)):
    """Return positions in a plane, inside and outside of the cuboid by a distance from its faces.

    The plane passes through the cuboid; axis lines of the client, which start in its middle, are
    avoided.
    """
    axes = {"xy": (1, 2), "xz": (0, 2), "yz": (0, 1)}[panel]
    middle, half = (LOW_NM + HIGH_NM) / 2 + shift_nm, (HIGH_NM - LOW_NM) / 2
    inside, outside = [], []
    for axis in axes:
        (other,) = set(axes) - {axis}
        for sign in (-1, 1):
            point = middle.copy()
            point[other] -= half[other] / 2
            point[axis] += sign * (half[axis] - reach_nm)
            inside.append(point)
            point = point.copy()
            point[axis] += sign * 2 * reach_nm
            outside.append(point)
    return inside, outside


def is_probe(fault):
    """Return whether a request may fail: for what a format may have, or a state that has changed.

    The client searches metadata above N5, and of an array in a group of Zarr 2. A state that it
    sends while the test sets another one is refused (412), and it reads the new one.
    """
    url = fault["params"].get("entry", {}).get("url", "")
    return url.endswith(("/attributes.json", "/.zarray")) or "/state/" in url


@contextmanager
def displaying(browser, paths, *, position_nm, width_nm=320.0, size=(640, 480)):
    """Open a view in the browser; yield it, and a function that returns a picture.

    Its argument is the only layer to display; its keywords are settings of all layers.
    """
    options = ViewOptions(position_nm, width_nm, panel=(size[1] // 2, size[0] // 2))
    with open_view(paths, options) as view:
        browser.open(view.url)

        def take_picture(shown=None, **settings):
            state = dict(view.state)
            visible = {} if shown is None else {"visible": False}
            state["layers"] = [
                {**one, **visible, **settings} | ({"visible": True} if one["name"] == shown else {})
                for one in state["layers"]
            ]
            view.server.set_state(state)
            wait = request_picture(view.server, size)
            for _ in range(600):
                browser.evaluate("0")  # collects events
                if png := wait(0.02):
                    return Picture.decode(png, view.state)
            raise TimeoutError("the view was not displayed")

        try:
            yield view, take_picture
            faults = browser.find_faults((view.server.origin + "/", "blob:", "data:"))
            assert [one for one in faults if not is_probe(one)] == []
        finally:
            browser.open("about:blank")
