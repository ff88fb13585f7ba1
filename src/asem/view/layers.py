"""Layers of neuroglancer: how each kind of image is displayed, in its place in nm.

::

    asem           centre of voxel i at offset_nm + i * voxel_size
    neuroglancer   voxel i from i to i + 1, in voxels
    transform      position in nm = voxel_size * i + (offset_nm - voxel_size / 2)

The axes of a view are x, y, z in nm: neuroglancer's first panel shows the plane xy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from asem.config import NmZYX
from asem.view.client_formats import ClientImage
from asem.volume.label_views import unlabelled_id
from asem.volume.shard_files import find_stored_box
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import ZarrArray

LayerKind = Literal["image", "probability", "labels", "segmentation", "instances", "zone"]
NM = (1e-9, "m")
DIMENSIONS = dict.fromkeys("xyz", NM)
"""Axes of a view, in their order."""
COLOURS = {
    "mito": "#ff8c1a",
    "er": "#35b6a5",
    "golgi": "#d65fb3",
    "npc": "#f2d024",
    "ccp": "#5aa9ff",
    "nucleus": "#8f7fe8",
}
OTHER_COLOURS = ("#ff8c1a", "#5aa9ff", "#6fcf57", "#d65fb3", "#35b6a5", "#f2d024")
ZONE_COLOUR, BOX_COLOUR = "#ffd84d", "#5c6570"
LABEL_ALPHA, ZONE_ALPHA = 0.45, 0.3
GREY_SHADER = """#uicontrol invlerp contrast
void main() {
  emitGrayscale(contrast());
}
"""
PROBABILITY_SHADER = """#uicontrol float threshold slider(min=0, max=1, default=0.1)
#uicontrol float alpha slider(min=0, max=1, default=0.6)
void main() {
  float p = VALUE(getDataValue());
  if (!(p >= threshold) || p == 0.0) {  // NaN as well
    emitTransparent();
    return;
  }
  vec3 low = vec3(0.25, 0.05, 0.45), middle = vec3(0.85, 0.25, 0.3), high = vec3(1.0, 0.9, 0.35);
  vec3 colour = p < 0.5 ? mix(low, middle, 2.0 * p) : mix(middle, high, 2.0 * p - 1.0);
  emitRGBA(vec4(colour, alpha));
}
"""


@dataclass(frozen=True)
class Placement:
    """Where a source is: its axes, voxel sizes and first corner.

    Parameters
    ----------
    axes
        Names in the order of the source.
    voxel_size
        nm, in the order of `axes`.
    origin_nm
        Position of index 0 of the source, in the order of `axes`.
    """

    axes: Sequence[str]
    voxel_size: Sequence[float]
    origin_nm: Sequence[float]

    def to_json(self) -> dict[str, Any]:
        """Return the transform of a source, as neuroglancer's JSON.

        Voxel sizes are those of its input dimensions, so that the matrix is the identity beside the
        translation.
        """
        matrix = [
            [*(float(row == column) for column in range(len(self.axes))), origin]
            for row, origin in enumerate(self.origin_nm)
        ]
        sizes = zip(self.axes, self.voxel_size, strict=True)
        return {
            "matrix": matrix,
            "inputDimensions": {name: [size * 1e-9, "m"] for name, size in sizes},
            "outputDimensions": {name: list(NM) for name in self.axes},
        }


def place_image(image: ClientImage, finest: Volume) -> Placement:
    """Return where an image is, whose first voxel is `ClientImage.first` for the client."""
    order = ["zyx".index(name) for name in image.axes]
    sizes = [finest.voxel_size[axis] for axis in order]
    centres = [finest.offset_nm[axis] for axis in order]
    origins = [
        centre - (0.5 + first) * size
        for centre, size, first in zip(centres, sizes, image.first, strict=True)
    ]
    return Placement(image.axes, sizes, origins)


def make_source(url: str, driver: str, placement: Placement) -> dict[str, Any]:
    """Return a source of a layer.

    Parameters
    ----------
    url
        Of the folder.
    driver
        Format, as neuroglancer names it.
    placement
        Where it is.
    """
    return {"url": f"{url}/|{driver}:", "transform": placement.to_json()}


def make_image_layer(
    name: str, source: dict[str, Any], volume: Volume, *, visible: bool = True
) -> dict[str, Any]:
    """Return a layer of grey values: 8-bit from 0 to 255, others by their contrast window.

    Without a window, the client takes the range of the values that it displays.
    """
    window = (0.0, 255.0) if volume.dtype == np.uint8 else volume.window
    controls = {"contrast": {"range": list(window), "window": list(window)}} if window else {}
    return {
        "type": "image",
        "name": name,
        "source": source,
        "tab": "rendering",
        "codeVisible": False,  # of the shader; its controls are
        "shader": GREY_SHADER,
        "shaderControls": controls,
        "opacity": 1.0,
        "annotationColor": BOX_COLOUR,
        "visible": visible,
    }


def make_probability_layer(
    name: str, source: dict[str, Any], volume: Volume, *, visible: bool = True
) -> dict[str, Any]:
    """Return a layer of a probability: a ramp of colours, transparent below a threshold."""
    convert = "toRaw" if volume.dtype.kind == "f" else "toNormalized"  # the latter: to [0, 1]
    return {
        "type": "image",
        "name": name,
        "source": source,
        "tab": "rendering",
        "codeVisible": False,  # of the shader; its controls are
        "shader": PROBABILITY_SHADER.replace("VALUE", convert),
        "opacity": 1.0,
        "annotationColor": BOX_COLOUR,
        "visible": visible,
    }


def make_label_layer(
    name: str,
    sources: Sequence[dict[str, Any]],
    kind: LayerKind,
    volume: Volume | None,
    *,
    segments: Sequence[int] = (),
    visible: bool = True,
) -> dict[str, Any]:
    """Return a layer of labels, instances or an exclusion zone.

    Parameters
    ----------
    name
        Of the layer.
    sources
        The labels, and meshes of them.
    kind
        Instances and labels have a colour for each id, a segmentation and a zone have one.
    volume
        The labels; None: meshes only.
    segments
        Ids whose meshes are displayed.
    visible
        Whether the layer is displayed.
    """
    layer: dict[str, Any] = {
        "type": "segmentation",
        "name": name,
        "source": list(sources),
        "tab": "segments",
        "selectedAlpha": ZONE_ALPHA if kind == "zone" else LABEL_ALPHA,
        "notSelectedAlpha": LABEL_ALPHA if segments else 0,
        "segments": [str(one) for one in segments],
        "hideSegmentZero": True,
        "annotationColor": BOX_COLOUR,
        "visible": visible,
    }
    if kind == "zone":
        layer["segmentDefaultColor"] = ZONE_COLOUR
    elif kind == "segmentation":
        layer["segmentDefaultColor"] = find_colour(name)
    elif kind == "labels":
        layer["segmentColors"] = {"1": find_colour(name)}
    if volume is not None:
        # An unlabelled voxel belongs to segment 0, which is hidden.
        layer["equivalences"] = [["0", str(unlabelled_id(volume.dtype))]]
    return layer


def find_colour(name: str) -> str:
    """Return the colour of a structure that is part of a name, or one by the name's letters.

    Examples
    --------
    >>> find_colour("predictions/mito/segmentation") == COLOURS["mito"]
    True
    """
    parts = name.split("/")
    found = next((colour for key, colour in COLOURS.items() if key in parts), None)
    return found or OTHER_COLOURS[sum(name.encode()) % len(OTHER_COLOURS)]


def extent_nm(volume: Volume) -> tuple[NmZYX, NmZYX]:
    """Return the positions of the first and the last corner of the stored part of a volume, nm.

    That is the box of the shards that have a file, where metadata list them; else the volume.
    """
    array = volume.array
    stored = find_stored_box(array.files) if isinstance(array, ZarrArray) else None
    low, high = stored or ((0, 0, 0), volume.shape)
    z, y, x = zip(volume.offset_nm, volume.voxel_size, low, high, strict=True)
    return (_edge(*z[:3]), _edge(*y[:3]), _edge(*x[:3])), (
        _edge(*z[:2], z[3]),
        _edge(*y[:2], y[3]),
        _edge(*x[:2], x[3]),
    )


def _edge(centre: float, size: float, voxel: int) -> float:
    """Return the position of the lower face of a voxel, nm."""
    return centre + (voxel - 0.5) * size
