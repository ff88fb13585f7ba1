"""How a prediction is done: its jobs, checked, and fitted to the processes that compute them."""

import json
import logging
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asem.blocks.destination import check_way
from asem.blocks.executors import Executor
from asem.blocks.journal import request_of
from asem.config import Nm3
from asem.image.clahe import ClaheConfig
from asem.model.checkpoint import find_checkpoint, read_info, read_weights, weights_hash
from asem.model.config import CheckpointInfo
from asem.model.deployment import Devices, Network, free_on
from asem.model.device import Precision, resolve_devices, resolve_precision
from asem.model.inference import fitting_tile, plan_tiles
from asem.model.predictor import needed_of
from asem.model.unet import lattice
from asem.model.voxel_range import range_text, seen_voxel_size
from asem.system.resources import refuse_without_memory
from asem.volume import ngff
from asem.volume.arrays import SHARD
from asem.volume.contrast import window_of
from asem.volume.formats import open_volume, refuse_labels
from asem.volume.roi import Roi, Triple, add, parse_roi
from asem.volume.volume import Volume, nm, same_voxel_size
from asem.volume.voxel_size import at_voxel_size, warn_of_resampling
from asem.workflows.predict_jobs import LARGEST_TILE, InputJob, ModelJob
from asem.workflows.segment import least_value

LOG = logging.getLogger(__name__)
COMMAND = "predict"
SMALL_TILE = 64
"""A network with the paper's context reads sixteen times as much as a smaller one keeps."""
MOST_SHARDS = 2
"""Along an axis of a block: 512 voxels, which a GPU's largest tile covers."""


@dataclass(frozen=True)
class Offer:
    """What one process offers to compute with.

    Parameters
    ----------
    host, worker
        Its machine, and its address as a Dask worker; None where it is none.
    devices
        That it sees.
    bf16
        Whether they have instructions for it.
    free
        Bytes of memory, of the device that has least.
    """

    host: str
    worker: str | None
    devices: tuple[str, ...]
    bf16: bool
    free: int

    @classmethod
    def here(cls, device: str) -> "Offer":
        """Return what this process offers."""
        names = resolve_devices(device)
        there = [torch.device(name) for name in names]
        free, address = min(map(free_on, there)), None
        if "distributed" in sys.modules:
            from asem.blocks.cluster import this_worker

            worker = this_worker()
            if worker is not None:
                address = worker.address
                if worker.memory and there[0].type == "cpu":
                    free = min(free, worker.memory)
        bf16 = all(resolve_precision("auto", one) == "bf16" for one in there)
        return cls(socket.gethostname(), address, names, bf16, free)

    def free_for(self, workers: int) -> int:
        """Return the bytes for one of several workers on this machine, which share its devices."""
        return self.free // ceil(workers / len(self.devices))


@dataclass(frozen=True)
class Planned:
    """One network of a plan.

    Parameters
    ----------
    job
        What was asked for.
    network
        How it is used.
    request
        What decides its output.
    """

    job: ModelJob
    network: Network
    request: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How an image is predicted; nothing is written yet.

    Parameters
    ----------
    sources
        The paths that are read, but for checkpoints.
    raw, part, mask
        The image, what is predicted of it, and where its sample is.
    clahe
        How it is equalized.
    models
        The networks.
    devices
        Who computes.
    lanes
        Blocks that are computed at a time: devices of this process, or Dask workers.
    shards
        Of a block, along each axis.
    """

    sources: tuple[Path, ...]
    raw: Volume
    part: Roi
    mask: Volume | None
    clahe: ClaheConfig | None
    models: tuple[Planned, ...]
    devices: Devices
    lanes: int
    shards: int

    @classmethod
    def of(cls, job: InputJob, *, device: str, overwrite: bool, executor: Executor) -> "Plan":
        """Check a job and plan it for who computes it.

        Raises
        ------
        ValueError, FileNotFoundError
            It cannot be done.
        """
        raw = open_volume(job.raw)
        refuse_labels(raw)
        window_of(raw)  # refuses 16 bits without a window
        part = parse_roi(job.roi, raw.shape) if job.roi else raw.roi
        mask = open_volume(job.mask) if job.mask else None
        if mask is not None:
            raw.common(mask)  # refuses a mask that misses
        clahe = ClaheConfig() if job.clahe else None
        shared = {
            "raw": raw.identity,
            "roi": str(part),
            "mask": mask and mask.identity,
            "clahe": clahe and clahe.model_dump(mode="json"),
        }
        offers = executor.ask(partial(Offer.here, device))
        planned = [
            _planned(one, raw, offers, resample=job.resample, overwrite=overwrite)
            for one in job.model
        ]
        begun = [_begun(one, overwrite=overwrite).get("shards") for one in job.model]
        kept = next((shards for shards in begun if shards), None)  # journals name blocks
        along = kept or max(_shards(network, raw) for network, _ in planned)
        models = tuple(
            Planned(one, network, {**shared, **request, "shards": along})
            for one, (network, request) in zip(job.model, planned, strict=True)
        )
        for model in models:
            _check_read(model, raw, part, along, max(offer.free for offer in offers))
        ranks: dict[str, int] = {}
        for offer in sorted(offers, key=lambda offer: offer.worker or ""):
            if offer.worker is not None:
                ranks[offer.worker] = sum(
                    1 for other in offers if other.worker in ranks and other.host == offer.host
                )
        lanes = len(ranks) or len(offers[0].devices)
        sources = (job.raw, *([job.mask] if job.mask else []))
        devices = Devices(device, ranks or None)
        return cls(sources, raw, part, mask, clahe, models, devices, lanes, along)

    def check_ways(self, *, overwrite: bool) -> None:
        """Refuse outputs that cannot be written; nothing is deleted before all were looked at."""
        for model in self.models:
            sources = [*self.sources, model.job.checkpoint]
            check_way(model.job.out, sources, overwrite=overwrite)

    def template(self, model: Planned) -> Volume:
        """Return the pattern of a network's output."""
        if model.job.threshold is None:
            kind: dict[str, Any] = {"kind": "image", "window": (0.0, 255.0)}
        else:
            kind = {"kind": "labels", "window": None}
        return self.raw.blank(self.part, dtype=np.uint8, **kind)


def is_made(model: Planned) -> bool:
    """Whether the output of a plan lies there finished, whatever tile and precision it took."""
    if not ngff.is_image(model.job.out):
        return False
    made = ngff.read_metadata(model.job.out).own.made_by or {"command": None, "request": {}}
    free = {"tile", "precision", "shards"}
    asked = {key: value for key, value in model.request.items() if key not in free}
    there = {key: value for key, value in made["request"].items() if key not in free}
    return bool(made["command"] == COMMAND and there == json.loads(json.dumps(asked)))


def _planned(
    job: ModelJob,
    raw: Volume,
    offers: Sequence[Offer],
    *,
    resample: bool,
    overwrite: bool,
) -> tuple[Network, dict[str, Any]]:
    """Return how a network is used on raw, and what of that its request says."""
    folder = find_checkpoint(job.checkpoint)
    info = read_info(folder)
    read_weights(folder, info.model)  # refuses damage before anything is created
    weights = weights_hash(folder)
    voxel_size = _seen_voxel_size(raw, info)
    at_voxel_size(raw, voxel_size, resample=resample)
    begun = _begun(job, overwrite=overwrite)
    precision: Precision = job.precision
    if precision == "auto":
        precision = begun.get("precision") or _precision(offers)
    tile = job.tile or begun.get("tile")
    if tile is None:
        beside = Counter(offer.host for offer in offers)
        tile = min(
            fitting_tile(
                info.model,
                precision,
                torch.device(offer.devices[0]),
                offer.free_for(beside[offer.host]),
            )
            for offer in offers
        )
        if tile < SMALL_TILE:
            LOG.warning(
                "there is memory for tiles of %d only, which waste most of the work on their "
                "surroundings; free some, or choose another --device",
                tile,
            )
    step = lattice(info.model)
    plan_tiles(info.model, Roi((0, 0, 0), (step, step, step)), tile)  # refuses a bad tile
    warn_of_resampling(raw, voxel_size)
    network = Network(
        folder=folder.resolve(),
        weights=weights,
        config=info.model,
        voxel_size=voxel_size,
        precision=precision,
        tile=tile,
        least=None if job.threshold is None else least_value(job.threshold),
        mirror=job.mirror,
    )
    return network, {
        "threshold": job.threshold,
        "mirror": job.mirror,
        "weights": weights,
        "checkpoint": info.model_dump(mode="json"),
        "tile": tile,
        "precision": precision,
    }


def _check_read(model: Planned, raw: Volume, part: Roi, along: int, free: int) -> None:
    """Refuse a network that has no memory for what it reads of raw for one block."""
    edges = zip(part.shape, SHARD, strict=True)
    block = Roi.between(part.offset, add(part.offset, _triple(min(s, along * e) for s, e in edges)))
    needed = needed_of(model.network, raw, block).size * raw.dtype.itemsize
    what = f"{raw.name}: a block with all that {model.job.checkpoint} sees of it"
    advice = "check that voxels of image and network are in nm, or predict a part with --roi"
    refuse_without_memory(needed, what, advice, free=free)


def _triple(numbers: Iterable[int]) -> Triple:
    z, y, x = numbers
    return z, y, x


def _begun(job: ModelJob, *, overwrite: bool) -> dict[str, Any]:
    """Return how an interrupted prediction was begun, as it is resumed, where that can have been.

    What cannot have been is left out; the journal then refuses the request as another one.
    """
    found = {} if overwrite else request_of(job.out)
    allowed: dict[str, Any] = {
        "shards": range(1, MOST_SHARDS + 1),
        "tile": range(1, LARGEST_TILE + 1),
        "precision": ("32", "bf16"),
    }
    return {
        key: found[key]
        for key, values in allowed.items()
        if type(found.get(key)) in (int, str) and found[key] in values
    }


def _seen_voxel_size(raw: Volume, info: CheckpointInfo) -> Nm3:
    """Return the voxel size at which a network sees raw; log it where it is not the network's."""
    size = seen_voxel_size(raw.voxel_size, info.voxel_size, info.voxel_size_range)
    if not same_voxel_size(size, info.voxel_size):
        LOG.info(
            "%s: voxels of %s nm are used as they are; the network was trained on %s nm",
            raw.name,
            nm(size),
            range_text(info.voxel_size, info.voxel_size_range),
        )
    return size


def _precision(offers: Sequence[Offer]) -> Precision:
    return "bf16" if all(offer.bf16 for offer in offers) else "32"


def _shards(network: Network, raw: Volume) -> int:
    """Return how many shards of raw a network's tile covers along its shortest axis."""
    voxel = zip(network.voxel_size, raw.voxel_size, SHARD, strict=True)
    covered = min(network.tile * size / fine / shard for size, fine, shard in voxel)
    return max(1, min(MOST_SHARDS, int(covered)))
