"""Numbers as the page of a report shows them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

NOTHING = "–"  # noqa: RUF001 - an en dash
"""Text of a missing value."""
DIGITS = 4
PLAIN_INTEGER = 9999
"""Larger integers have separators of thousands."""
MAX_SETTINGS = 300
"""Settings that are listed."""
MAX_TEXT = 200
"""Characters of a setting or a cell; of longer ones the start is shown."""


def format_value(value: Any) -> str:
    """Return a value with four digits; a dash where it is missing.

    Examples
    --------
    >>> [format_value(v) for v in (12345, 0.00123456, 123456.7, float("nan"), True, [5, 4.5])]
    ['12,345', '0.001235', '123,457', '–', 'yes', '5, 4.5']
    """
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) > PLAIN_INTEGER else str(value)
        case float():
            return format_float(value)
        case str():
            return shorten_text(value) or NOTHING
        case Mapping():
            pairs = (f"{key} {format_value(one)}" for key, one in value.items())
            return shorten_text(", ".join(pairs)) or NOTHING
        case Sequence():
            return shorten_text(", ".join(map(format_value, value))) or NOTHING
    return shorten_text(str(value))


def format_float(value: float, digits: int = DIGITS) -> str:
    """Return a number with a number of digits, large ones without an exponent.

    Examples
    --------
    >>> format_float(0.5), format_float(98765.4), format_float(math.inf), format_float(12.34567, 3)
    ('0.5', '98,765', '–', '12.3')
    >>> format_float(999.96), format_float(9999.6), format_float(-999.6, 3)
    ('1000', '10,000', '-1,000')
    """
    if not math.isfinite(value):
        return NOTHING
    if 10**digits <= abs(float(f"{value:.{digits}g}")) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def format_score(value: float | None, interval: Sequence[float] | None = None) -> str:
    """Return a score with two digits, and its interval.

    Examples
    --------
    >>> format_score(0.9312, (0.9, 0.95)), format_score(0.9312), format_score(None)
    ('0.93 [0.90, 0.95]', '0.93', '–')
    """
    if value is None:
        return NOTHING
    ends = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"{value:.2f}{ends}"


def format_fraction(value: float) -> str:
    """Return a fraction in percent, with two digits, or three from 10 % on.

    Examples
    --------
    >>> [format_fraction(one) for one in (0.0412, 0.5, 0.00001, 0.9971, 1)]
    ['4.1 %', '50 %', '0.001 %', '99.7 %', '100 %']
    """
    return f"{100 * value:.{2 if value < 0.1 else 3}g} %"


def format_sizes(values: Sequence[float | None]) -> str:
    """Return lengths along axes.

    Examples
    --------
    >>> format_sizes((5.24, 4, None))
    '5.24 x 4 x ?'
    """
    return " x ".join("?" if value is None else f"{value:.6g}" for value in values)


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as names with dots, and values; those that are not set are left out.

    Examples
    --------
    >>> flatten_settings({"patch": 76, "model": {"levels": 3}, "mask": None})
    [('patch', '76'), ('model.levels', '3')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += flatten_settings(value, f"{prefix}{key}.")
        elif value is not None and value != [] and value != "":
            rows.append((shorten_text(f"{prefix}{key}"), format_value(value)))
    return rows[:MAX_SETTINGS]


def shorten_text(text: str) -> str:
    """Return a text, of a long one the start."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
