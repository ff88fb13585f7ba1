"""Inputs of `asem evaluate`: options, and predictions and labels with their common box."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import shorten
from asem.image.common_roi import find_common_roi
from asem.image.labels import is_foreground, unlabelled_id
from asem.image.morphology import ElementShape
from asem.measure.boundary_distance import DEFAULT_MAX_NM
from asem.measure.score_counts import NOT_SCORED
from asem.structures import Structure, load_structure
from asem.volume.address import AddressLike
from asem.volume.id_selection import IdSelection
from asem.volume.label_views import select_ids
from asem.volume.roi import Roi, negate, parse_roi
from asem.volume.sources import open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume
from asem.workflows.probability_check import FOREGROUND_UINT8

SINGLE = ""
"""Name of a prediction that is scored alone."""
_NAME = re.compile(r"[\w.+-]{1,60}")


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What is scored, and how.

    Parameters
    ----------
    structure_name
        Preset of the exclusion zone and of the centre-line distance, or a TOML file with one
        (`asem.structures.Structure`).
    zone_out_nm, zone_in_nm
        Widths of the zone in nm, both, in place of those of `structure_name`.
    zone_shape
        ``"diamond"`` as in the paper, or ``"ball"``, which is wider: report it with the score.
    mask
        Sample mask; only voxels that are not 0 in it are scored.
    roi
        Part of the (first) prediction to score, ``z0:z1,y0:y1,x0:x1``.
    ids
        Ids of the labels that are foreground, others are background; None: all ids are foreground.
    curves, objects, boundary
        Also score over the width of the zone and the threshold; objects; distances of boundaries.
    max_width_nm
        Largest width of the curve over zones, nm (`asem.measure.zone_curve.plan_curve`).
    centre_line_nm
        Distance within which a centre line is covered, nm; None: that of the structure, which may
        have none.
    max_distance_nm
        Largest distance of boundaries that is measured, nm.
    cube_nm
        Edge of the cubes of the bootstrap, nm (`asem.measure.score_counts.CubeGrid`).
    seed
        Of the bootstrap.
    """

    structure_name: str | None = None
    zone_out_nm: float | None = None
    zone_in_nm: float | None = None
    zone_shape: ElementShape = "diamond"
    mask: AddressLike | None = None
    roi: str | None = None
    ids: IdSelection | None = None
    curves: bool = False
    objects: bool = False
    boundary: bool = False
    max_width_nm: float | None = None
    centre_line_nm: float | None = None
    max_distance_nm: float = DEFAULT_MAX_NM
    cube_nm: float | None = None
    seed: int = 0

    @property
    def has_intervals(self) -> bool:
        """Whether confidence intervals are computed: with any part that is not computed always."""
        return self.curves or self.objects or self.boundary

    def load_structure(self) -> Structure | None:
        """Return the structure, if one is named."""
        return None if self.structure_name is None else load_structure(self.structure_name)

    def zone_widths(self) -> tuple[float, float] | None:
        """Return the widths of the exclusion zone outside and inside, nm; None without a zone.

        Raises
        ------
        ValueError
            Both a structure and widths are given, or one width, or it is out of range.
        """
        out_nm, in_nm = self.zone_out_nm, self.zone_in_nm
        preset = self.load_structure()
        if preset is not None:
            if out_nm is not None or in_nm is not None:
                raise ValueError("give --structure, or --zone-out-nm and --zone-in-nm, not both")
            return preset.zone_out_nm, preset.zone_in_nm
        if out_nm is None and in_nm is None:
            return None
        if (
            out_nm is None
            or in_nm is None
            or not 0 <= min(out_nm, in_nm) <= max(out_nm, in_nm) < 1e6
        ):
            raise ValueError(
                "give both --zone-out-nm and --zone-in-nm, each at least 0 nm and below 1e6 nm"
            )
        return out_nm, in_nm

    def line_distance(self) -> float | None:
        """Return the distance within which centre lines are covered, nm; None: not scored."""
        preset = self.load_structure()
        distance = self.centre_line_nm
        if distance is None:
            return preset.centre_line_nm if preset is not None and self.objects else None
        if not 0 <= distance < 1e6:
            raise ValueError(
                f"--centre-line-nm {distance:g}: give a distance of at least 0 nm and below 1e6 nm"
            )
        return distance


@dataclass(frozen=True)
class ScoredPair:
    """A prediction and the labels that it is compared with. Can be pickled.

    Parameters
    ----------
    name
        Of the prediction.
    predicted, labels, mask
        The volumes; of one voxel size, shifted by whole voxels.
    roi
        The box that is scored, in the voxels of the prediction, as all boxes here.
    """

    name: str
    predicted: Volume
    labels: Volume
    mask: Volume | None
    roi: Roi

    @property
    def inputs(self) -> tuple[Volume | None, ...]:
        """The volumes."""
        return self.predicted, self.labels, self.mask

    @property
    def is_probability(self) -> bool:
        """Whether the prediction is a probability; else labels."""
        return self.predicted.kind == "image"

    def to_labels(self, box: Roi) -> Roi:
        """Return a box in the voxels of the labels."""
        return box.shift(negate(self.predicted.roi_of(self.labels).offset))

    def read_labels(self, block: Roi) -> npt.NDArray[Any]:
        """Read the labels in a block of the scored box."""
        return self.labels.read(self.to_labels(block))

    def read_values(self, block: Roi) -> npt.NDArray[np.uint8]:
        """Read the prediction as a stored probability: labels are 255 where foreground, else 0."""
        voxels = self.predicted.read(block)
        if self.is_probability:
            return np.ascontiguousarray(voxels)
        return is_foreground(voxels).view(np.uint8) * np.uint8(255)

    def read_objects(self, block: Roi) -> npt.NDArray[Any]:
        """Read the objects of the prediction: ids, or 1 where a probability is foreground."""
        voxels = self.predicted.read(block)
        if self.is_probability:
            return (voxels >= FOREGROUND_UINT8).view(np.uint8)
        return clear_unlabelled(voxels)

    def make_truth(self, labels: npt.NDArray[Any], block: Roi) -> npt.NDArray[np.uint8]:
        """Return `BACKGROUND`, `FOREGROUND` or `NOT_SCORED` for the labels of a block."""
        truth: npt.NDArray[np.uint8] = (labels != 0).view(
            np.uint8
        )  # `BACKGROUND` is 0, `FOREGROUND` 1
        truth[labels == unlabelled_id(labels.dtype)] = NOT_SCORED
        if self.mask is not None:
            truth[self.predicted.read_aligned(self.mask, block) == 0] = NOT_SCORED
        return truth


def clear_unlabelled(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels whose unlabelled voxels are 0."""
    return np.where(is_foreground(labels), labels, labels.dtype.type(0))


def open_pairs(
    predictions: Mapping[str, AddressLike], labels: AddressLike, options: EvaluationOptions
) -> list[ScoredPair]:
    """Open predictions and labels; the scored box is the part that all of them share.

    Parameters
    ----------
    predictions
        Addresses by name (`SINGLE`: of one that is scored alone).
    labels
        Address of the truth.
    options
        Mask, ROI and ids.

    Raises
    ------
    ValueError
        A name is invalid, an input is of the wrong kind or voxel size, or there is no common voxel.
    """
    for name in predictions:
        if name != SINGLE and not _NAME.fullmatch(name):
            raise ValueError(
                f"--prediction {shorten(name, str)}=...: a name has 1 to 60 letters, digits or "
                "characters of _.+-"
            )
    opened = open_labels(labels)
    warn_of_grey_values(opened)
    truth = select_ids(opened, options.ids)
    sample = open_volume(options.mask) if options.mask else None
    pairs, common = [], truth.roi
    for index, (name, address) in enumerate(predictions.items()):
        predicted = open_volume(address)
        box = find_common_roi(predicted, truth)
        if sample is not None:
            box = box.intersect(find_common_roi(predicted, sample))
        if options.roi is not None and index == 0:
            box = box.intersect(parse_roi(options.roi, predicted.shape))
        pair = ScoredPair(name, predicted, truth, sample, box)
        pairs.append(pair)
        common = common.intersect(pair.to_labels(box)) if box.size else box
        if common.size == 0:
            what = "prediction" if len(predictions) == 1 else "predictions"
            raise ValueError(f"{what}, labels, mask and roi have no voxel in common")
    return [
        ScoredPair(
            pair.name,
            pair.predicted,
            truth,
            sample,
            common.shift(pair.predicted.roi_of(truth).offset),
        )
        for pair in pairs
    ]
