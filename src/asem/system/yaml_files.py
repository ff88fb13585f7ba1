"""Read YAML files that other programs' users wrote: plain values only, bounded in size and nesting.

A file may come from an untrusted source: no Python objects are made, and aliases, by which a short
text describes an exponentially large value, are refused.
"""

from pathlib import Path
from typing import Any

import yaml

from asem.system.files import open_regular_file
from asem.system.json_toml import MAX_NESTING

MAX_YAML_BYTES = 2**18
"""Largest file; the published ones have 2 kB."""


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """Loader of plain values without aliases, nested to a limited depth."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node; raise ValueError for an alias or a deep one."""
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias (*name); write the value itself")
        if self._depth > MAX_NESTING:
            raise ValueError("it is nested too deeply")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a table.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not YAML, holds no table, has aliases, or is too large or nested too deeply; one line.
    """
    with open_regular_file(path) as file:
        content = file.read(MAX_YAML_BYTES + 1)
    if len(content) > MAX_YAML_BYTES:
        raise ValueError(f"{path} has more than {MAX_YAML_BYTES >> 10} KiB, too much for settings")
    try:
        table = yaml.load(content, Loader=_PlainLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {_one_line(error)}") from error
    except (ValueError, OverflowError) as error:  # also for impossible dates and numbers
        raise ValueError(f"{path} cannot be read: {_one_line(error)}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path} holds no table of keys and values")
    return table


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
