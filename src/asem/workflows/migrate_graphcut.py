"""Settings of the published graph-cut tool (gc_segment, YAML) as those of `asem graphcut`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asem.config import shorten
from asem.system.toml_text import TomlTable
from asem.workflows.migration_notes import MigratedFile, MigrationNote

WEIGHTS = {"delta": "likelihood", "gamma": "distance", "lamda": "smoothness"}
"""Published weight -> key in ``[paper]``."""
SUPERVOXELS = {"n_superpixels": "number", "compactness": "compactness"}
"""Published key -> key in ``[paper.supervoxels]``."""
DEFAULTS = {
    "delta": 1.0,
    "gamma": 1.0,
    "lamda": 2.0,
    "n_superpixels": 4000,
    "compactness": 25,
    "use_gmm": True,
    "n_gmm_components": 2,
}
"""Values of the published tool for keys that a file leaves out."""
ITERATIONS = 10
"""Iterations of SLIC in the published tool."""
NO_COUNTERPART = {
    "data_path": ("the image is an argument", "asem import {0} cell.zarr/raw --voxel-size z,y,x"),
    "n_jobs": ("cores are not a setting of the cut", "all cores are used"),
    "eta": ("the published tool does not use this weight either", ""),
    "ground_truth": ("a cut is scored by another command", "asem evaluate LABELS {0}"),
    "max_area_display_size": ("the viewer shows the whole plane", "asem annotate"),
}
"""Published key -> why it has no counterpart, and what asem has instead, with the value as {0}."""
KNOWN_KEYS = {*DEFAULTS, *NO_COUNTERPART, "coords", "z_limits", "lambda"}
GMM_REASON = (
    "the published tool writes one mask for each component of the mixture, of which the user "
    "chooses"
)


def is_graphcut_settings(table: Mapping[str, Any]) -> bool:
    """Return whether a YAML table has keys of the graph-cut tool."""
    return bool({"data_path", "n_superpixels", "coords", "use_gmm"} & table.keys())


def migrate_graphcut(table: Mapping[str, Any], file: Path) -> MigratedFile:
    """Return the file of `asem graphcut --config`.

    Parameters
    ----------
    table
        Content of the YAML file.
    file
        For messages.

    Raises
    ------
    ValueError
        A value is no number, or out of range; one line.
    """
    given = {("lamda" if key == "lambda" else key): value for key, value in table.items()}
    values = {**DEFAULTS, **{key: given[key] for key in given if key in DEFAULTS}}
    for key in (*WEIGHTS, *SUPERVOXELS, "n_gmm_components"):
        if isinstance(values[key], bool) or not isinstance(values[key], int | float):
            raise ValueError(f"{file}: '{key}' is {shorten(values[key])}; a number is needed")
    if not isinstance(values["use_gmm"], bool):
        raise ValueError(f"{file}: 'use_gmm' is {shorten(values['use_gmm'])}; true or false")
    notes = [*_describe_region(given, file), *_describe_others(given)]
    components = values["n_gmm_components"] if values["use_gmm"] else 0
    if components:
        instead = "mixture_components removes the voxels that are rare under the strokes"
        notes.append(
            MigrationNote("use_gmm", values["use_gmm"], GMM_REASON, instead, kind="assumption")
        )
    paper = {target: values[key] for key, target in WEIGHTS.items()}
    supervoxels = {target: values[key] for key, target in SUPERVOXELS.items()}
    tables = (
        TomlTable("", {"energy": "paper", "mixture_components": components}),
        TomlTable("[paper]", paper),
        TomlTable("[paper.supervoxels]", {**supervoxels, "iterations": ITERATIONS}),
    )
    return MigratedFile("graphcut", tables, tuple(notes))


def _describe_region(given: Mapping[str, Any], file: Path) -> list[MigrationNote]:
    """Return the note about the box that is cut: x, y, width, height, and the planes."""
    coords, planes = given.get("coords"), given.get("z_limits")
    if not coords and not planes:
        return []
    rows = columns = z = ":"
    if coords:
        x, y, width, height = _integers("coords", coords, 4, file)
        if not width or not height:
            raise ValueError(f"{file}: 'coords' is {coords}; width and height are at least 1")
        rows, columns = f"{y}:{y + height}", f"{x}:{x + width}"
    if planes:
        first, end = _integers("z_limits", planes, 2, file)
        if first >= end:
            raise ValueError(f"{file}: 'z_limits' is {planes}; the second is larger than the first")
        z = f"{first}:{end}"
    key = ", ".join(key for key in ("coords", "z_limits") if given.get(key))
    value = [one for one in (coords, planes) if one]
    reason = "the region is an option of the command"
    instead = f"asem graphcut RAW STROKES OUT --roi {z},{rows},{columns}"
    return [MigrationNote(key, value[0] if len(value) == 1 else value, reason, instead)]


def _integers(key: str, value: Any, count: int, file: Path) -> list[int]:
    listed = value if isinstance(value, list) else []
    whole = [one for one in listed if isinstance(one, int) and not isinstance(one, bool)]
    if len(listed) != count or len(whole) != count or not 0 <= min(whole) <= max(whole) < 2**31:
        raise ValueError(
            f"{file}: '{key}' is {shorten(value)}; {count} whole numbers are needed, at least 0"
        )
    return whole


def _describe_others(given: Mapping[str, Any]) -> list[MigrationNote]:
    notes = []
    for key, value in given.items():
        if key in NO_COUNTERPART and value not in (None, False):
            reason, instead = NO_COUNTERPART[key]
            notes.append(MigrationNote(key, value, reason, instead.format(shorten(value, str))))
        elif key not in KNOWN_KEYS:
            reason = "it is no key of the published tool"
            notes.append(MigrationNote(str(key), value, reason, "it is left out"))
    return notes
