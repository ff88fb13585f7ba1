"""Annotation workflow: open a session, prepare and predict windows, write accepted ones as labels.

::

    cell.zarr/raw                      the image
    cell.zarr/annotations/             its session, next to the data (`asem.annotate.session`)
        mito/...                       strokes and accepted windows of a structure
        .asem/regions/...              cache of prepared windows (`asem.annotate.region_cache`)
    cell.zarr/labels/mito              the accepted windows as labels; the rest is unlabelled
"""

import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.annotate.graphcut import (
    ENERGIES,
    GraphCutConfig,
    estimate_memory_bytes,
    prepare_region,
)
from asem.annotate.prepared_region import PreparedRegion
from asem.annotate.region_cache import CachedRegion, read_or_prepare_region
from asem.annotate.session import AnnotationSession
from asem.annotate.window_files import PriorPrediction
from asem.annotate.window_grid import WindowGrid
from asem.blocks.destination import check_destination
from asem.blocks.output_image import create_image
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.labels import unlabelled_id
from asem.structures import Structure
from asem.system.resources import free_memory_bytes
from asem.volume.address import Address, AddressLike, local_paths
from asem.volume.contrast import contrast_window_of, scale_to_unit
from asem.volume.roi import Roi, negate
from asem.volume.sources import check_is_image, open_volume
from asem.volume.volume import Volume
from asem.workflows.annotation_paths import session_folder
from asem.workflows.describe import describe_volume
from asem.workflows.labels import label_volume

LOG = logging.getLogger(__name__)
WINDOW_EDGE = 200
"""Maximum edge of a window, voxels: it is prepared in seconds, and cut in a fraction of one."""


def open_session(raw: AddressLike, folder: Path | None = None) -> tuple[Volume, AnnotationSession]:
    """Open an image and its annotation session, or create the session.

    Parameters
    ----------
    raw
        The image, uint8 or with a contrast window.
    folder
        Of the session; None: `session_folder`.

    Raises
    ------
    BlockingIOError
        The session is open elsewhere.
    ValueError
        `raw` is no image, or the session belongs to another one.
    """
    volume = open_volume(raw)
    check_is_image(volume)
    contrast_window_of(volume)  # or ValueError
    if folder is None:
        folder = session_folder(raw)
        if Address.parse(raw).is_remote:
            LOG.warning("%s: its annotations are in %s (--session)", volume.name, folder.resolve())
    session = AnnotationSession.open(folder, volume.identity, volume.shape)
    return volume, session


def window_grid_of(volume: Volume, edge: int = WINDOW_EDGE) -> WindowGrid:
    """Divide a volume into windows of about the same shape, at most `edge` voxels along an axis."""
    if edge < 1:
        raise ValueError(f"a window has an edge of at least 1 voxel, not {edge}")
    return WindowGrid(volume.roi, edge)


def prepare_window(
    volume: Volume, window: Roi, config: GraphCutConfig, folder: Path
) -> PreparedRegion:
    """Prepare a window for cuts by any strokes, or read it from the cache.

    Parameters
    ----------
    volume
        Raw.
    window
        In the voxels of raw.
    config
        The energy.
    folder
        Of the session, which has the cache; it is created if missing.

    Raises
    ------
    ValueError
        All voxels are equal, or the window does not fit into memory.
    """
    check_free_memory(window, volume, "use smaller windows")

    def prepare() -> PreparedRegion:
        intensity = scale_to_unit(volume.read(window), contrast_window_of(volume))
        return prepare_region(intensity, volume.voxel_size, config)

    cache_format = ENERGIES[config.energy].cache
    if cache_format is None:
        return prepare()
    entry = CachedRegion(
        volume.identity, window, volume.voxel_size, config.energy_config, cache_format
    )
    return read_or_prepare_region(folder / JOURNAL_FOLDER / "regions", entry, prepare)


def predict_window(
    volume: Volume,
    window: Roi,
    checkpoint: Path,
    session: AnnotationSession,
    progress: Progress = no_progress,
) -> PriorPrediction:
    """Predict a window with a network, for strokes to correct.

    Parameters
    ----------
    volume, session
        From `open_session`.
    window
        In the voxels of raw.
    checkpoint
        As in `asem.workflows.predict.predict_volume`.
    progress
        Progress callback; an exception that it raises stops the prediction.

    Returns
    -------
    PriorPrediction
        For `asem.annotate.graphcut.cut_region`, and for storage in the session.
    """
    from asem.workflows.predict import predict_volume  # torch imports slowly

    destination = session.folder / JOURNAL_FOLDER / "prediction"
    raw = Address.parse(volume.name)
    prediction = predict_volume(
        checkpoint, raw, destination, roi=str(window), overwrite=True, progress=progress
    )
    weights = describe_volume(destination)["made_by"]["request"]["weights"]
    return PriorPrediction(
        prediction.read(prediction.roi), {"network": str(checkpoint.resolve()), "weights": weights}
    )


def check_free_memory(window: Roi, volume: Volume, advice: str) -> None:
    """Raise ValueError if a region of a volume does not fit into memory.

    Parameters
    ----------
    window, volume
        The region, and the volume that it is read from.
    advice
        End of the message: what to do.
    """
    needed, free = estimate_memory_bytes(window.shape, volume.voxel_size), free_memory_bytes()
    if needed > free:
        raise ValueError(
            f"a region of {window.shape} voxels needs about {needed / 1e9:.0f} GB, of which "
            f"{free / 1e9:.0f} are free; {advice}"
        )


def save_labels(
    volume: Volume,
    session: AnnotationSession,
    structure: str,
    destination: Path,
    *,
    preset: Structure | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Volume:
    """Write the accepted windows of a structure as labels.

    Parameters
    ----------
    volume, session
        From `open_session`.
    structure
        Its name in the session.
    destination
        The label image to write: 1 foreground, 0 background, 255 unlabelled, over the bounding box
        of the accepted windows. Training and scores ignore unlabelled voxels.
    preset
        Clean and dilate the labels as `asem labels` does; the accepted ones are written to
        ``DESTINATION_drawn``.
    overwrite
        Replace an image at `destination`.
    progress
        Progress callback.

    Raises
    ------
    ValueError
        No window is accepted.
    """
    annotation = session.open_structure(structure)
    windows = sorted(annotation.accepted_windows, key=lambda window: window.offset)
    if not windows:
        raise ValueError(f"no window of {structure} is accepted; accept one first")
    box = Roi.from_bounds(
        np.min([window.offset for window in windows], 0).tolist(),
        np.max([window.end for window in windows], 0).tolist(),
    )
    drawn = destination if preset is None else destination.with_name(f"{destination.name}_drawn")
    sources = [session.folder, *local_paths(volume.name)]
    for path in {drawn, destination}:
        check_destination(path, sources, overwrite=overwrite)
    # A copy, so that windows accepted meanwhile change nothing; one bit per voxel.
    bits = {window: np.packbits(annotation.read_labels(window)) for window in windows}
    models = [model for window in windows if (model := annotation.read_initial_model(window))]
    initial_models = [model for index, model in enumerate(models) if model not in models[:index]]
    hashes = {window: sha256(packed.tobytes()).hexdigest()[:16] for window, packed in bits.items()}
    request = {
        "raw": volume.identity,
        "structure": structure,
        "windows": [f"{window} {digest}" for window, digest in hashes.items()],
    }
    with create_image(
        drawn,
        volume.zeros(box, dtype=np.uint8, kind="labels", window=None),
        command="annotate",
        request=request,
        sources=sources,
        inputs=[volume],
        overwrite=overwrite,
        progress=progress,
    ) as output:
        output.provenance["strokes"] = len(annotation.edits)
        output.provenance["begun_by"] = initial_models
        output.fill(
            lambda block: _labels_of_block(bits, block.shift(box.offset)),
            stage="store",
            voxel_bytes=2,
        )
    if preset is not None:
        label_volume(drawn, destination, preset, overwrite=overwrite, progress=progress)
    return open_volume(destination)


def _labels_of_block(accepted: dict[Roi, npt.NDArray[np.uint8]], block: Roi) -> npt.NDArray[Any]:
    """Return the labels of a block of raw; `accepted` has one bit per voxel."""
    labels = np.full(block.shape, unlabelled_id(np.dtype(np.uint8)), np.uint8)
    for window, bits in accepted.items():
        overlap = window.intersect(block)
        if overlap.size:
            foreground = np.unpackbits(bits, count=window.size).reshape(window.shape)
            part = foreground[overlap.shift(negate(window.offset)).slices]
            labels[overlap.shift(negate(block.offset)).slices] = part
    return labels
