"""The .npz files of windows: accepted labels, and predictions of a network.

Errors of a file that is missing or damaged are OSError, with advice how to write it again.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.system.json_toml import parse_json
from asem.system.nofollow_files import make_folder_nofollow, replace_file_nofollow
from asem.system.npz import DAMAGED_TEXT, ArraySpec, read_npz
from asem.volume.roi import Roi


@dataclass(frozen=True, eq=False)
class PriorPrediction:
    """Prediction of a window by a network, which strokes correct.

    Parameters
    ----------
    probability
        uint8, 255 times the probability of foreground.
    model
        Identity of the network, JSON values.
    """

    probability: npt.NDArray[np.uint8]
    model: dict[str, Any]


def window_path(folder: Path, window: Roi) -> Path:
    """Return the file of a window.

    Examples
    --------
    >>> window_path(Path("accepted"), Roi((0, 8, 0), (64, 64, 72))).as_posix()
    'accepted/0-64_8-72_0-72.npz'
    """
    spans = [f"{o}-{e}" for o, e in zip(window.offset, window.end, strict=True)]
    return folder / f"{'_'.join(spans)}.npz"


def write_labels(
    path: Path, foreground: npt.NDArray[np.bool_], initial_model: dict[str, Any] | None
) -> None:
    """Write the labels of a window, and the network whose prediction they started from."""
    with _replace_file(path) as file:
        model = np.array(json.dumps(initial_model))
        np.savez_compressed(file, foreground=foreground, begun_by=model)


def read_labels(path: Path, window: Roi) -> npt.NDArray[np.bool_]:
    """Return the labels of a window."""
    specs = {"foreground": ArraySpec("bool", window.shape)}
    return _read_arrays(path, _advise_acceptance(window), specs)["foreground"]


def read_initial_model(path: Path, window: Roi) -> dict[str, Any] | None:
    """Return the network whose prediction the labels of a window started from; None without one."""
    model: dict[str, Any] | None = _read_json(
        path, "begun_by", _advise_acceptance(window), allowed=dict | None
    )
    return model


def write_prediction(path: Path, prediction: PriorPrediction) -> None:
    """Write the prediction of a window."""
    with _replace_file(path) as file:
        model = np.array(json.dumps(prediction.model))
        np.savez(file, probability=prediction.probability, by=model)


def read_prediction(path: Path, window: Roi) -> PriorPrediction:
    """Return the prediction of a window."""
    advice = f"predict the window {window} again"
    specs = {"probability": ArraySpec("uint8", window.shape)}
    probability = _read_arrays(path, advice, specs)["probability"]
    return PriorPrediction(probability, _read_json(path, "by", advice, allowed=dict))


def _advise_acceptance(window: Roi) -> str:
    return f"accept the window {window} again"


@contextmanager
def _replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Write the file of a window atomically; an earlier file remains until then."""
    make_folder_nofollow(path.parent)
    with replace_file_nofollow(path) as file:
        yield file


def _read_arrays(
    path: Path, advice: str, specs: Mapping[str, ArraySpec]
) -> dict[str, npt.NDArray[Any]]:
    try:
        return read_npz(path, specs)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing; {advice}") from error
    except ValueError as error:
        reason = str(error).partition(DAMAGED_TEXT)[2]
        raise OSError(f"{path} is damaged; {advice} ({reason})") from error


def _read_json(path: Path, name: str, advice: str, *, allowed: type | UnionType) -> Any:
    """Read a value that is stored as JSON: a table, or also null."""
    text = str(_read_arrays(path, advice, {name: ArraySpec("U")})[name])
    try:
        value = parse_json(text, source=f"'{name}'")
    except ValueError as error:
        raise OSError(f"{path} is damaged; {advice} ({error})") from error
    if not isinstance(value, allowed):
        raise OSError(f"{path} is damaged; {advice} ('{name}' is no table)")
    return value
