"""Annotation of a volume, window by window: what the plugin does, without a screen.

::

    cell.zarr/raw                      the image
    cell.zarr/annotations/             its session, beside the data (`asem.annotate.session`)
        mito/...                       strokes and finished windows of a structure
        .asem/regions/...              what of each window needs no strokes, computed once
    cell.zarr/labels/mito              the finished windows, as labels; all else is unknown
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.annotate.annotation import Guess
from asem.annotate.graphcut import (
    GraphCutConfig,
    Region,
    check_widths,
    memory_of,
    prepared,
)
from asem.annotate.kept import kept
from asem.annotate.session import Session
from asem.annotate.windows import Windows
from asem.blocks.destination import check_way
from asem.blocks.journal import NAME
from asem.blocks.output import new_image
from asem.blocks.run import Progress, silent
from asem.image.labels import unknown_id
from asem.structures import Structure
from asem.system.resources import free_memory
from asem.volume.contrast import to_unit, window_of
from asem.volume.formats import open_volume, refuse_labels
from asem.volume.roi import Roi, negative
from asem.volume.volume import Volume
from asem.workflows.describe import describe_volume
from asem.workflows.labels import label_volume

WINDOW_EDGE = 200
"""Voxels: a window is prepared in seconds, and cut in a fraction of one."""
ANNOTATIONS = "annotations"


def session_folder(raw: Path) -> Path:
    """Return where the annotations of an image lie, unless one says otherwise.

    Examples
    --------
    >>> session_folder(Path("/data/cell.zarr/raw")).as_posix()
    '/data/cell.zarr/annotations'
    >>> session_folder(Path("stack.tif")).as_posix()
    'stack.tif.annotations'
    """
    cell = next((folder for folder in raw.absolute().parents if folder.suffix == ".zarr"), None)
    return cell / ANNOTATIONS if cell else raw.with_name(f"{raw.name}.{ANNOTATIONS}")


def open_session(raw: Path, folder: Path | None = None) -> tuple[Volume, Session]:
    """Open an image and its annotations, or begin them.

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
        `raw` is no image, or the session that of another one.
    """
    volume = open_volume(raw)
    refuse_labels(volume)
    window_of(volume)  # or ValueError
    session = Session.open(folder or session_folder(raw), volume.identity, volume.shape)
    return volume, session


def windows_of(volume: Volume, edge: int = WINDOW_EDGE) -> Windows:
    """Cut a volume in windows of about the same shape, at most `edge` voxels along an axis."""
    if edge < 1:
        raise ValueError(f"a window has an edge of 1 voxel and more, not {edge}")
    return Windows(volume.roi, edge)


def prepare_window(volume: Volume, window: Roi, config: GraphCutConfig, folder: Path) -> Region:
    """Do what of a window's cut needs no strokes, or read it if it was done before.

    Parameters
    ----------
    volume
        Raw.
    window
        In the voxels of raw.
    config
        The energy.
    folder
        Of the session, beside which it is kept for the next time; none need have begun.

    Raises
    ------
    ValueError
        All its voxels are equal, or it does not fit into memory.
    """
    check_memory(window, volume, "take smaller windows")

    def prepare() -> Region:
        unit = to_unit(volume.read(window), window_of(volume))
        return prepared(unit, volume.voxel_size, config)

    if config.energy == "paper":
        return prepare()
    check_widths(window.shape, volume.voxel_size, config.membranes)
    # The weights of the energy change nothing of what is kept.
    fragments = config.membranes.fragments.model_dump(mode="json")
    request = {"raw": volume.identity, "window": str(window), "fragments": fragments}
    key = sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / NAME / "regions" / f"{key}.npz"
    return kept(path, prepare, config.membranes, shape=window.shape, voxel_size=volume.voxel_size)


def guess_window(
    volume: Volume,
    window: Roi,
    checkpoint: Path,
    session: Session,
    progress: Progress = silent,
) -> Guess:
    """Predict a window, so that strokes need only correct what a network finds.

    Parameters
    ----------
    volume, session
        From `open_session`.
    window
        In the voxels of raw.
    checkpoint
        As `asem.workflows.predict.predict_volume` takes it.
    progress
        Who is told; what it raises ends the prediction.

    Returns
    -------
    Guess
        For `asem.annotate.graphcut.cut`, and for the session to keep.
    """
    from asem.workflows.predict import predict_volume  # torch takes seconds, and is seldom needed

    destination = session.folder / NAME / "guess"
    raw = Path(volume.name)
    done = predict_volume(
        checkpoint, raw, destination, roi=str(window), overwrite=True, progress=progress
    )
    weights = describe_volume(destination)["made_by"]["request"]["weights"]
    return Guess(done.read(done.roi), {"network": str(checkpoint.resolve()), "weights": weights})


def check_memory(window: Roi, volume: Volume, advice: str) -> None:
    """Raise ValueError if a region of a volume does not fit into memory."""
    needed, free = memory_of(window.shape, volume.voxel_size), free_memory()
    if needed > free:
        raise ValueError(
            f"a region of {window.shape} voxels takes about {needed / 1e9:.0f} GB, of which "
            f"{free / 1e9:.0f} are free; {advice}"
        )


def save_labels(
    volume: Volume,
    session: Session,
    structure: str,
    destination: Path,
    *,
    preset: Structure | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Volume:
    """Write the accepted windows of a structure as labels.

    Parameters
    ----------
    volume, session
        From `open_session`.
    structure
        Its name in the session.
    destination
        The label image to write: 1 foreground, 0 background, 255 unknown, over the box around the
        accepted windows. What is unknown counts for nothing in training and scores.
    preset
        Clean and widen them as `asem labels` does; what was accepted goes to ``DESTINATION_drawn``.
    overwrite
        Replace an image at `destination`.
    progress
        Who is told.

    Raises
    ------
    ValueError
        No window is accepted.
    """
    annotation = session.structure(structure)
    windows = sorted(annotation.accepted, key=lambda window: window.offset)
    if not windows:
        raise ValueError(f"no window of {structure} is accepted; accept one first")
    box = Roi.between(
        np.min([window.offset for window in windows], 0).tolist(),
        np.max([window.end for window in windows], 0).tolist(),
    )
    drawn = destination if preset is None else destination.with_name(f"{destination.name}_drawn")
    sources = [session.folder, Path(volume.name)]
    for path in {drawn, destination}:
        check_way(path, sources, overwrite=overwrite)
    # As they are now, whatever is accepted meanwhile; a bit for each voxel.
    found = {window: np.packbits(annotation.labels(window)) for window in windows}
    networks = [by for window in windows if (by := annotation.begun_by(window))]
    begun_by = [by for number, by in enumerate(networks) if by not in networks[:number]]
    made = [f"{window} {sha256(bits.tobytes()).hexdigest()[:16]}" for window, bits in found.items()]
    request = {"raw": volume.identity, "structure": structure, "windows": made}
    with new_image(
        drawn,
        volume.blank(box, dtype=np.uint8, kind="labels", window=None),
        command="annotate",
        request=request,
        sources=sources,
        inputs=[volume],
        overwrite=overwrite,
        progress=progress,
    ) as output:
        output.facts["strokes"] = len(annotation.marks)
        output.facts["begun_by"] = begun_by
        output.fill(
            lambda block: _labels(found, block.shift(box.offset)),
            stage="store",
            voxel_bytes=2,
        )
    if preset is not None:
        label_volume(drawn, destination, preset, overwrite=overwrite, progress=progress)
    return open_volume(destination)


def _labels(accepted: dict[Roi, npt.NDArray[np.uint8]], block: Roi) -> npt.NDArray[Any]:
    """Return the labels of a block of raw."""
    labels = np.full(block.shape, unknown_id(np.dtype(np.uint8)), np.uint8)
    for window, bits in accepted.items():
        both = window.intersect(block)
        if both.size:
            found = np.unpackbits(bits, count=window.size).reshape(window.shape)
            here = found[both.shift(negative(window.offset)).slices]
            labels[both.shift(negative(block.offset)).slices] = here
    return labels
