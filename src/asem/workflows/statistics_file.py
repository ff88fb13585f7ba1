"""The file of the statistics of a table of measured objects."""

import json
from typing import Any

STATISTICS = "statistics.json"


def format_statistics(statistics: dict[str, Any]) -> bytes:
    """Return statistics as JSON."""
    text = json.dumps(statistics, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()
