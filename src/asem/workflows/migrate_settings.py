"""Settings of the published training (``config_training.yaml``) as those of a training file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asem.config import NmZYX
from asem.workflows.migration_notes import MigrationNote, flatten


def _whole(value: Any) -> int:
    """Return a whole number; raise ValueError for a fraction."""
    if _number(value) != int(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


SAME_NAME: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "seed": ("seed", _whole),
    "training.iterations": ("iterations", _whole),
    "validation.validate_every": ("validate_every", _whole),
    "training.optimizer.lr": ("optimizer.learning_rate", _number),
    "training.optimizer.weight_decay": ("optimizer.weight_decay", _number),
    "training.reject.min_masked": ("sampling.min_foreground", _number),
    "training.reject.reject_probability": ("sampling.reject", _number),
    "training.augmentation.intensity.scale": ("augment.contrast", _number),
    "training.augmentation.intensity.shift": ("augment.brightness", _number),
    "model.num_fmaps": ("model.features", _whole),
    "model.fmap_inc_factor": ("model.growth", _whole),
}
"""Published key -> key of a training file, with the same value."""
SAME_VALUE: dict[str, Any] = {
    "training.pipeline": "baseline_with_context",
    "validation.pipeline": "baseline_with_context",
    "sources.class": "DataSourcesSemantic",
    "data.downsample_factor": 1,
    "data.num_classes": 2,
    "model.type": "Unet",
    "model.num_fmaps_out": 2,
    "model.constant_upsample": True,
    "loss.type": "cross_entropy_scaling",
    "loss.weight": [1.0, 1.0],
    "loss.balance_labels.clipmin": 0.01,
    "loss.balance_labels.clipmax": 0.99,
    "training.augmentation.simple.transpose_only": [0, 1, 2],
}
"""Published key -> the only value that asem has; with it, nothing is lost."""
FROM_NETWORK = (
    "training.output_size_voxels",
    "validation.input_size_voxels",
    "validation.output_size_voxels",
)
"""Sizes that follow from the network and from `patch`."""
NO_COUNTERPART = {
    "directories.runs": ("asem train has its run directory as an option", "--out"),
    "training.save_every": ("a checkpoint is saved at each validation", "validate_every"),
    "training.log_every": ("the loss of each iteration is stored", ""),
    "training.augmentation.elastic.subsample": ("displacements are computed for each voxel", ""),
    "training.snapshot.every": ("patches are not stored", ""),
    "training.profiling_stats.every": ("the time of each stage is always stored", ""),
    "training.precache.cache_size": ("patches are made in the training process", ""),
    "training.precache.num_workers": ("patches are made in the training process", ""),
    "validation.snapshot.every": ("patches are not stored", ""),
    "sacred.log_every": ("there is no database of runs", "metrics are files, or --mlflow"),
    "training.start_from": ("a training file names no checkpoint", "asem finetune CHECKPOINT FILE"),
    "training.continue_id": ("runs are resumed in place", "asem train FILE --resume"),
}
"""Published key -> why it has no counterpart, and what asem has instead."""
LOCATIONS = ("directories.data", "training.data", "validation.data", "data.voxel_size")
"""Keys that are read with the data configs."""
ELASTIC = "training.augmentation.elastic."


def convert_settings(
    settings: Mapping[str, Any], voxel_size: NmZYX, file: Path
) -> tuple[dict[str, Any], list[MigrationNote]]:
    """Return the keys of a training file by their dotted names, and what has no counterpart.

    Parameters
    ----------
    settings
        Content of the published file.
    voxel_size
        nm, of the data; published lengths of augmentation are in voxels.
    file
        For messages.

    Raises
    ------
    ValueError
        A value has another type, or the voxel size differs from that of the data.
    """
    values: dict[str, Any] = {}
    notes: list[MigrationNote] = []
    for key, value in flatten(settings):
        if key in (*LOCATIONS, *FROM_NETWORK):
            continue
        try:
            found = _convert(key, value, voxel_size)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise ValueError(f"{file}: '{key}' cannot be {value!r:.60}") from error
        if isinstance(found, MigrationNote):
            notes.append(found)
        else:
            values |= found
    given = settings.get("data")
    own = given.get("voxel_size") if isinstance(given, Mapping) else None
    if own is not None and (not isinstance(own, list) or tuple(own) != voxel_size):
        raise ValueError(
            f"{file}: 'data.voxel_size' is {own!r:.60}, that of the data {list(voxel_size)}"
        )
    return values, notes


def _convert(key: str, value: Any, voxel_size: NmZYX) -> dict[str, Any] | MigrationNote:
    """Return the entries of a training file for one published key, or why there are none."""
    if key in SAME_NAME:
        target, cast = SAME_NAME[key]
        return {target: cast(value)}
    if key in SAME_VALUE:
        allowed = SAME_VALUE[key]
        return {} if value == allowed else MigrationNote(key, value, f"asem has {allowed} only")
    if key in NO_COUNTERPART:
        return MigrationNote(key, value, *NO_COUNTERPART[key])
    special = _SPECIAL.get(key)
    if special is None:
        return MigrationNote(key, value, "it is no key of the published files", "it is left out")
    return special(key, value, voxel_size)


def _patch(key: str, value: Any, _: NmZYX) -> dict[str, Any] | MigrationNote:
    edges = [_whole(edge) for edge in value]
    if len(edges) != 3 or len(set(edges)) != 1:
        return MigrationNote(key, value, "patches are cubes", "the recipe sets patch")
    return {"patch": edges[0]}


def _levels(key: str, value: Any, _: NmZYX) -> dict[str, Any] | MigrationNote:
    if any(list(factors) != [2, 2, 2] for factors in value):
        return MigrationNote(key, value, "poolings are by 2 along all axes", "the network differs")
    return {"model.levels": len(value) + 1}


def _elastic_length(key: str, value: Any, voxel_size: NmZYX) -> dict[str, Any] | MigrationNote:
    """Convert voxels along (z, y, x) to nm; the length along the finest axis where they differ."""
    lengths = [_number(count) * nm for count, nm in zip(value, voxel_size, strict=True)]
    names = {"control_point_spacing": "elastic_spacing_nm", "jitter_sigma": "elastic_sigma_nm"}
    return {f"augment.{names[key.removeprefix(ELASTIC)]}": min(lengths)}


def _device(key: str, value: Any, _: NmZYX) -> dict[str, Any] | MigrationNote:
    return {"device": "cpu" if value == "cpu" else f"cuda:{_whole(value)}"}


_SPECIAL: dict[str, Callable[[str, Any, NmZYX], dict[str, Any] | MigrationNote]] = {
    "training.input_size_voxels": _patch,
    "model.downsample_factors": _levels,
    f"{ELASTIC}control_point_spacing": _elastic_length,
    f"{ELASTIC}jitter_sigma": _elastic_length,
    "torch.device": _device,
}
