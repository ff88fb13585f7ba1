"""Render a synthetic cell at any voxel size, block by block: image and labels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.phantom.cell_geometry import ENVELOPE_HALF_NM, CellGeometry
from asem.phantom.compartments import (
    CAVEOLA,
    COATED_PIT,
    COATED_VESICLE,
    ER,
    GOLGI,
    MITOCHONDRION,
    OUTSIDE,
    SECRETORY_PIT,
)
from asem.phantom.frame import Frame, sample_surface_distance
from asem.phantom.membrane_layers import Layers, build_layers
from asem.phantom.microscope import (
    MICROSCOPES,
    MicroscopeConfig,
    blur_halo,
    expose,
    plane_brightness,
    plane_drift,
)
from asem.phantom.nuclear_envelope import MASK_MARGIN_NM
from asem.phantom.pits import COAT_NM
from asem.phantom.shape_arrays import ShapeArrays
from asem.phantom.specimen import STAINS, StainConfig, sample_noise, stain_block
from asem.phantom.stain_kernels import DOT_NM
from asem.volume.roi import IntZYX, Roi, per_axis

HALF_MEMBRANE_NM = 5.0
"""From the middle of a membrane to the border of labels that contain it."""
SLAB = 32
"""Planes rendered at a time, which bounds memory."""
Labels = npt.NDArray[np.uint32]
CHROMATIN_NM, TEXTURE_NM = (200.0, 90.0), (90.0, 45.0)
"""Lengths of the octaves of smooth noise."""


def _number_where(kinds: tuple[int, ...], margin_nm: float) -> Callable[[Layers], Labels]:
    """Return a function that labels objects of these compartments, with a margin around them."""

    def label(layers: Layers) -> Labels:
        inside = np.isin(layers.kind, kinds) & (layers.distance < margin_nm)
        return np.where(inside, layers.number, 0)

    return label


def _label_pores(layers: Layers) -> Labels:
    thickness = ENVELOPE_HALF_NM + HALF_MEMBRANE_NM
    inside = (layers.gap < MASK_MARGIN_NM) & (np.abs(layers.nucleus) < thickness)
    return np.where(inside, layers.pore, 0)


def _label_membrane(layers: Layers) -> Labels:
    is_cell = np.isin(layers.kind, (OUTSIDE, CAVEOLA)) & (
        np.abs(layers.distance) < HALF_MEMBRANE_NM
    )
    return is_cell.astype(np.uint32)


LABELS: dict[str, Callable[[Layers], Labels]] = {
    "mito": _number_where((MITOCHONDRION,), HALF_MEMBRANE_NM),
    "er": lambda layers: np.where(
        (layers.kind == ER) & (layers.distance < HALF_MEMBRANE_NM), np.uint32(1), np.uint32(0)
    ),
    "golgi": _number_where((GOLGI,), HALF_MEMBRANE_NM),
    "npc": _label_pores,
    "ccp": _number_where((COATED_PIT, SECRETORY_PIT, COATED_VESICLE), COAT_NM),
    "caveolae": _number_where((CAVEOLA,), HALF_MEMBRANE_NM),
    "nucleus": lambda layers: (layers.nucleus < 0).astype(np.uint32),
    "plasma_membrane": _label_membrane,
}
"""Names of the label volumes; each returns the labels of a block.

Coated vesicles have numbers after those of the pits."""


@dataclass(frozen=True)
class SyntheticVolume:
    """A synthetic cell under a simulated microscope; only its methods compute voxels.

    Parameters
    ----------
    shapes
        The cell.
    shape, voxel_size
        Voxels along (z, y, x), and nm.
    stain, microscope
        Preparation and imaging.
    seed
        Of noise and texture.
    drift, brightness
        Of each plane.
    """

    shapes: ShapeArrays
    shape: IntZYX
    voxel_size: NmZYX
    stain: StainConfig
    microscope: MicroscopeConfig
    seed: int
    drift: npt.NDArray[np.float64]
    brightness: npt.NDArray[np.float32]

    @classmethod
    def of_cell(
        cls,
        cell: CellGeometry,
        shape: IntZYX,
        voxel_size: NmZYX,
        *,
        preparation: str,
        seed: int,
        microscope: MicroscopeConfig | None = None,
    ) -> "SyntheticVolume":
        """Return the volume of a cell with the presets of a preparation."""
        config = MICROSCOPES[preparation] if microscope is None else microscope
        drift = plane_drift(shape[0], config, seed)
        brightness = plane_brightness(shape[0], config, seed)
        return cls(
            ShapeArrays(cell),
            shape,
            voxel_size,
            STAINS[preparation],
            config,
            seed,
            drift,
            brightness,
        )

    @property
    def halo(self) -> IntZYX:
        """Voxels around a block that its image depends on: blur, and the radius of a dot."""
        blur = blur_halo(self.microscope, self.voxel_size)
        return per_axis(lambda b, size: b + int(np.ceil(DOT_NM / size)), blur, self.voxel_size)

    def render(self, block: Roi) -> tuple[npt.NDArray[np.uint8], dict[str, Labels]]:
        """Render image and all labels of a block, slab by slab.

        Parameters
        ----------
        block
            In the voxels of the volume.

        Returns
        -------
        image
            uint8.
        labels
            uint32 ids by the names of `LABELS`; 0 background.
        """
        image = np.empty(block.shape, np.uint8)
        labels = {name: np.empty(block.shape, np.uint32) for name in LABELS}
        for slab in _slabs(block):
            planes = slice(slab.offset[0] - block.offset[0], slab.end[0] - block.offset[0])
            layers, frame = self._layers(slab.grow(self.halo))
            image[planes] = self._image(slab, layers, frame)
            inner = crop_layers(layers, self.halo)
            for name, label in LABELS.items():
                labels[name][planes] = label(inner)
        return image, labels

    def _layers(self, roi: Roi) -> tuple[Layers, Frame]:
        frame = Frame.of_block(roi, self.voxel_size, self.drift)
        cell = self.shapes.cell
        surfaces = (sample_surface_distance(s, frame) for s in (cell.nucleus, cell.cell))
        return build_layers(self.shapes, frame, *surfaces), frame

    def _image(self, slab: Roi, layers: Layers, frame: Frame) -> npt.NDArray[np.uint8]:
        padded, blur = slab.grow(self.halo), blur_halo(self.microscope, self.voxel_size)
        noises = (
            sample_noise(frame, CHROMATIN_NM, self.seed * 16 + 1),
            sample_noise(frame, TEXTURE_NM, self.seed * 16 + 4),
        )
        first = np.array(padded.offset)
        density = stain_block(layers, frame, first, self.stain, noises, self.seed * 16 + 7)
        cut = tuple(
            slice(h - b, n - h + b) for h, b, n in zip(self.halo, blur, density.shape, strict=True)
        )
        return expose(
            np.ascontiguousarray(density[cut]),
            np.array(slab.offset),
            self.voxel_size,
            self.microscope,
            self.brightness,
            self.seed * 16 + 10,
        )


def _slabs(block: Roi) -> Iterator[Roi]:
    """Split a block into slabs of `SLAB` planes."""
    for first in range(block.offset[0], block.end[0], SLAB):
        planes = min(SLAB, block.end[0] - first)
        yield Roi((first, *block.offset[1:]), (planes, *block.shape[1:]))


def crop_layers(layers: Layers, halo: IntZYX) -> Layers:
    """Return the layers without a halo."""
    cut = tuple(slice(h, n - h) for h, n in zip(halo, layers.distance.shape, strict=True))
    return Layers(**{name: values[cut] for name, values in vars(layers).items()})
