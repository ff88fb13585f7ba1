"""What a migrated file states, and what in the published file has no counterpart in asem."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asem.config import shorten
from asem.system.toml_text import TomlTable


@dataclass(frozen=True)
class MigrationNote:
    """A key that has no counterpart, or an assumption about one that has.

    Parameters
    ----------
    key
        Key in the published file, with the tables around it: ``cell_1_er.metric_masks``.
    value
        Its value.
    reason
        Why there is no counterpart, or what is assumed.
    instead
        What asem does instead, or which command does it; empty: nothing is needed.
    kind
        Which of the two this is.
    """

    key: str
    value: Any
    reason: str
    instead: str = ""
    kind: Literal["no counterpart", "assumption"] = "no counterpart"


@dataclass(frozen=True)
class MigratedFile:
    """Content of a migrated file.

    Parameters
    ----------
    kind
        Which command reads it.
    tables
        Tables of the TOML file.
    notes
        What has no counterpart, and assumptions.
    """

    kind: Literal["train", "predict", "graphcut"]
    tables: tuple[TomlTable, ...]
    notes: tuple[MigrationNote, ...]


def flatten(table: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables by their dotted keys.

    Examples
    --------
    >>> list(flatten({"loss": {"type": "x", "clip": {"min": 0}}, "seed": 1}))
    [('loss.type', 'x'), ('loss.clip.min', 0), ('seed', 1)]
    """
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def format_notes(notes: Sequence[MigrationNote]) -> list[str]:
    r"""Return the lines of a list of notes for people, in the order of the file.

    Examples
    --------
    >>> note = MigrationNote("n_jobs", 16, "cores are not a setting", "asem uses all cores")
    >>> print(*format_notes([note]), sep="\n")
    no counterpart:
      n_jobs = 16
        cores are not a setting; asem uses all cores
    """
    lines = []
    for kind in ("no counterpart", "assumption"):
        chosen = [note for note in notes if note.kind == kind]
        lines += [f"{kind}:"] if chosen else []
        for note in chosen:
            lines.append(f"  {note.key} = {shorten(note.value)}")
            lines.append(f"    {'; '.join(part for part in (note.reason, note.instead) if part)}")
    return lines
