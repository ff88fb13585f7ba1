"""Plan a prediction: check its inputs; choose precision, tile and blocks for the workers."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.destination import check_destination
from asem.blocks.executors import Executor
from asem.blocks.output_ownership import read_request
from asem.config import NmZYX
from asem.image.clahe import ClaheConfig
from asem.image.common_roi import find_common_roi
from asem.model.block_prediction import find_required_raw
from asem.model.checkpoint import find_checkpoint, hash_weights, read_checkpoint_info, read_weights
from asem.model.checkpoint_info import CheckpointInfo
from asem.model.device_pool import DevicePool, NetworkSpec
from asem.model.tiling import plan_tiles
from asem.model.unet import lattice
from asem.model.voxel_size_range import format_voxel_size_range, network_voxel_size
from asem.system.resources import check_free_memory
from asem.volume import ngff
from asem.volume.address import local_paths
from asem.volume.contrast import contrast_window_of
from asem.volume.roi import Roi, parse_roi, per_axis
from asem.volume.sources import check_is_image, open_volume
from asem.volume.volume import Volume, format_nm, same_voxel_size
from asem.volume.voxel_size_view import view_at_voxel_size, warn_about_resampling
from asem.volume.zarr_arrays import SHARD
from asem.workflows.prediction_inputs import MAX_TILE_OPTION, PredictionInput, PredictionModel
from asem.workflows.probability_check import uint8_threshold
from asem.workflows.worker_capabilities import (
    WorkerCapabilities,
    common_precision,
    find_common_tile,
    rank_workers,
)

LOG = logging.getLogger(__name__)
COMMAND = "predict"
MIN_EFFICIENT_TILE = 64
"""With the paper's context a smaller tile reads more than sixteen times its output."""
MAX_BLOCK_SHARDS = 2
"""Shards along an axis of a block: 512 voxels, which the largest tile of a GPU covers."""


@dataclass(frozen=True)
class PlannedModel:
    """Network of a plan.

    Parameters
    ----------
    model
        The network as requested.
    network
        The network with its resolved options.
    request
        Everything on which its output depends.
    """

    model: PredictionModel
    network: NetworkSpec
    request: dict[str, Any]


@dataclass(frozen=True)
class PredictionPlan:
    """Plan of the prediction of an image; nothing is written yet.

    Parameters
    ----------
    sources
        The local paths that are read, except for checkpoints.
    raw, predicted_roi, mask
        The image, the predicted part, and the mask of its specimen.
    clahe
        Configuration of CLAHE, if requested.
    models
        The networks.
    devices
        Devices of the computation.
    parallel_blocks
        Blocks that are computed at a time: devices of this process, or Dask workers.
    shards_per_block
        Shards of a block along each axis.
    """

    sources: tuple[Path, ...]
    raw: Volume
    predicted_roi: Roi
    mask: Volume | None
    clahe: ClaheConfig | None
    models: tuple[PlannedModel, ...]
    devices: DevicePool
    parallel_blocks: int
    shards_per_block: int

    @classmethod
    def from_input(
        cls, prediction: PredictionInput, *, device: str, overwrite: bool, executor: Executor
    ) -> "PredictionPlan":
        """Check an input and plan its prediction for the workers of an executor.

        Raises
        ------
        ValueError, FileNotFoundError
            An input is missing, damaged or does not fit the others.
        """
        raw = open_volume(prediction.raw)
        check_is_image(raw)
        contrast_window_of(raw)  # raises for 16 bits without a window
        predicted_roi = parse_roi(prediction.roi, raw.shape) if prediction.roi else raw.roi
        mask = open_volume(prediction.mask) if prediction.mask else None
        if mask is not None:
            find_common_roi(raw, mask)  # raises for a mask elsewhere
        clahe = ClaheConfig() if prediction.clahe else None
        shared = {
            "raw": raw.identity,
            "roi": str(predicted_roi),
            "mask": mask and mask.identity,
            "clahe": clahe and clahe.model_dump(mode="json"),
        }
        workers = executor.run_on_workers(partial(WorkerCapabilities.of_this_process, device))
        unfinished = [
            _read_unfinished_settings(model, overwrite=overwrite) for model in prediction.model
        ]
        networks = [
            _plan_network(model, raw, workers, settings, resample=prediction.resample)
            for model, settings in zip(prediction.model, unfinished, strict=True)
        ]
        # Journals of unfinished outputs name blocks.
        stored_shards = (settings["shards"] for settings in unfinished if "shards" in settings)
        shards = next(stored_shards, None) or max(
            _shards_per_tile(network, raw) for network, _ in networks
        )
        models = tuple(
            PlannedModel(model, network, {**shared, **request, "shards": shards})
            for model, (network, request) in zip(prediction.model, networks, strict=True)
        )
        free = max(worker.free_bytes for worker in workers)
        for planned in models:
            _check_read_memory(planned, raw, predicted_roi, shards, free)
        ranks = rank_workers(workers)
        parallel_blocks = len(ranks) or len(workers[0].devices)
        sources = tuple(local_paths(prediction.raw, prediction.mask))
        devices = DevicePool(device, ranks or None)
        return cls(
            sources, raw, predicted_roi, mask, clahe, models, devices, parallel_blocks, shards
        )

    def check_destinations(self, *, overwrite: bool) -> None:
        """Raise an error if an output may not be written; called before any output is deleted."""
        for planned in self.models:
            sources = [*self.sources, planned.model.checkpoint]
            check_destination(planned.model.out, sources, overwrite=overwrite)

    def output_template(self, planned: PlannedModel) -> Volume:
        """Return a volume of zeros with shape, dtype and metadata of a network's output."""
        if planned.model.threshold is None:
            kind: dict[str, Any] = {"kind": "image", "window": (0.0, 255.0)}
        else:
            kind = {"kind": "labels", "window": None}
        return self.raw.zeros(self.predicted_roi, dtype=np.uint8, **kind)


def is_finished(planned: PlannedModel) -> bool:
    """Whether the output exists and is finished; its tile and precision may be others."""
    if not ngff.is_image(planned.model.out):
        return False
    made_by = ngff.read_image_metadata(planned.model.out).asem_metadata.made_by or {
        "command": None,
        "request": {},
    }
    ignored = {"tile", "precision", "shards"}
    requested = {key: value for key, value in planned.request.items() if key not in ignored}
    existing = {key: value for key, value in made_by["request"].items() if key not in ignored}
    return bool(made_by["command"] == COMMAND and existing == json.loads(json.dumps(requested)))


def _plan_network(
    model: PredictionModel,
    raw: Volume,
    workers: Sequence[WorkerCapabilities],
    unfinished: dict[str, Any],
    *,
    resample: bool,
) -> tuple[NetworkSpec, dict[str, Any]]:
    """Return a network with its resolved options, and its part of the request."""
    folder = find_checkpoint(model.checkpoint)
    info = read_checkpoint_info(folder)
    read_weights(folder, info.model)  # raises for damage before anything is created
    weights = hash_weights(folder)
    voxel_size = _log_network_voxel_size(raw, info)
    view_at_voxel_size(raw, voxel_size, allow_resampling=resample)
    precision = model.precision
    if precision == "auto":
        precision = unfinished.get("precision") or common_precision(workers)
    tile = model.tile or unfinished.get("tile")
    if tile is None:
        tile = find_common_tile(info.model, precision, workers)
        if tile < MIN_EFFICIENT_TILE:
            LOG.warning(
                "there is memory only for tiles of %d voxels, most of whose work is spent on their "
                "context; free memory, or choose another --device",
                tile,
            )
    step = lattice(info.model)
    plan_tiles(info.model, Roi((0, 0, 0), (step, step, step)), tile)  # raises for an invalid tile
    warn_about_resampling(raw, voxel_size)
    network = NetworkSpec(
        folder=folder.resolve(),
        weights_hash=weights,
        config=info.model,
        voxel_size=voxel_size,
        precision=precision,
        tile=tile,
        uint8_threshold=None if model.threshold is None else uint8_threshold(model.threshold),
        mirror=model.mirror,
    )
    return network, {
        "threshold": model.threshold,
        "mirror": model.mirror,
        "weights": weights,
        "checkpoint": info.model_dump(mode="json"),
        "tile": tile,
        "precision": precision,
    }


def _check_read_memory(
    planned: PlannedModel, raw: Volume, predicted_roi: Roi, shards: int, free_bytes: int
) -> None:
    """Raise ValueError if there is no memory for what a network reads of raw for one block."""
    shape = per_axis(lambda size, shard: min(size, shards * shard), predicted_roi.shape, SHARD)
    block = Roi(predicted_roi.offset, shape)
    required_bytes = find_required_raw(planned.network, raw, block).size * raw.dtype.itemsize
    what = f"{raw.name}: a block with the context of {planned.model.checkpoint}"
    advice = "check that voxels of image and network are in nm, or predict a part with --roi"
    check_free_memory(required_bytes, what, advice, free_bytes=free_bytes)


def _read_unfinished_settings(model: PredictionModel, *, overwrite: bool) -> dict[str, Any]:
    """Return the valid settings of an interrupted prediction, with which it is resumed.

    Invalid ones are left out, so that the journal reports the request as a different one.
    """
    stored = {} if overwrite else read_request(model.out)
    allowed: dict[str, Any] = {
        "shards": range(1, MAX_BLOCK_SHARDS + 1),
        "tile": range(1, MAX_TILE_OPTION + 1),
        "precision": ("32", "bf16"),
    }
    return {
        key: stored[key]
        for key, values in allowed.items()
        if type(stored.get(key)) in (int, str) and stored[key] in values
    }


def _log_network_voxel_size(raw: Volume, info: CheckpointInfo) -> NmZYX:
    """Return the voxel size at which a network reads raw; log it if it is not the network's."""
    size = network_voxel_size(raw.voxel_size, info.voxel_size, info.voxel_size_range)
    if not same_voxel_size(size, info.voxel_size):
        LOG.info(
            "%s: voxels of %s nm are not resampled; the network was trained on %s nm",
            raw.name,
            format_nm(size),
            format_voxel_size_range(info.voxel_size, info.voxel_size_range),
        )
    return size


def _shards_per_tile(network: NetworkSpec, raw: Volume) -> int:
    """Return the number of shards of raw that a tile covers along its shortest axis."""
    covered = per_axis(
        lambda size, raw_size, shard: network.tile * size / raw_size / shard,
        network.voxel_size,
        raw.voxel_size,
        SHARD,
    )
    return max(1, min(MAX_BLOCK_SHARDS, int(min(covered))))
