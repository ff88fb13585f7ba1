"""Which part of a prediction is compared with labels: that of an evaluation, else all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asem.config import NmZYX
from asem.structures import PRESETS
from asem.volume.roi import Roi, parse_roi, per_axis
from asem.volume.volume import Volume
from asem.workflows.reports.images import Layers, ReportImage
from asem.workflows.reports.inputs import ResultsInput
from asem.workflows.reports.sampling import SampledBox
from asem.workflows.reports.scores import Scores


@dataclass(frozen=True)
class Zone:
    """Widths of the exclusion zone, nm; both 0: none."""

    out_nm: float = 0
    in_nm: float = 0

    @property
    def exists(self) -> bool:
        """Whether any voxel is excluded."""
        return max(self.out_nm, self.in_nm) > 0


@dataclass(frozen=True)
class Comparison:
    """How a prediction is compared with labels.

    Parameters
    ----------
    layers
        With the labels of the evaluation.
    zone
        The exclusion zone.
    roi
        As text, in voxels of the prediction; None: all.
    """

    layers: Layers
    zone: Zone
    roi: str | None = None

    def find_scored(self, prediction: Volume, labels: Volume) -> Roi:
        """Return the part that both cover, in the voxels of the prediction; empty: none."""
        low = per_axis(
            lambda nm, start, size: round((nm - start) / size),
            labels.offset_nm, prediction.offset_nm, prediction.voxel_size,
        )  # fmt: skip
        shape = per_axis(
            lambda n, own, size: round(n * own / size),
            labels.shape, labels.voxel_size, prediction.voxel_size,
        )  # fmt: skip
        common = Roi(low, shape).intersect(prediction.roi)
        if self.roi is not None:
            common = common.intersect(parse_roi(self.roi, prediction.shape))
        return common


def compare(
    layers: Layers,
    evaluations: Sequence[tuple[ResultsInput, Mapping[str, Scores]]],
    images: Sequence[ReportImage],
) -> Comparison:
    """Return the comparison of the last evaluation of a structure; else one with its preset."""
    own = {
        image.identity
        for image in (layers.segmentation, layers.instances, layers.probability)
        if image is not None
    }
    for results, named in reversed(evaluations):
        request = results.request
        predictions = request.get("predictions")
        if isinstance(predictions, dict) and own & set(map(str, predictions.values())):
            labels = next((i for i in images if i.identity == request.get("labels")), layers.labels)
            roi = request.get("roi")
            zone = _zone_of(next(iter(named.values())))
            return Comparison(
                replace(layers, labels=labels), zone, roi if isinstance(roi, str) else None
            )
    preset = PRESETS.get(layers.structure)
    return Comparison(layers, Zone(preset.zone_out_nm, preset.zone_in_nm) if preset else Zone())


def _zone_of(scores: Mapping[str, Any]) -> Zone:
    zone = scores.get("zone") or {}
    return Zone(float(zone.get("out_nm", 0)), float(zone.get("in_nm", 0)))


def corners_nm(prediction: Volume, scored: Roi) -> tuple[NmZYX, NmZYX] | None:
    """Return both corners of the scored part; None where it is all."""
    if scored == prediction.roi or scored.size == 0:
        return None
    box = SampledBox.of_roi(prediction, scored)
    edges = [box.edges_um(axis) for axis in range(3)]
    low = per_axis(lambda ends: 1000 * ends[0], edges)
    return low, per_axis(lambda ends: 1000 * ends[1], edges)
