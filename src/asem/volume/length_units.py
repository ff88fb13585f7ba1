"""Units of length, in nm, by the names that image metadata use."""

from typing import Any

import numpy as np

UNITS_NM = {
    "pm": 1e-3, "å": 0.1, "angstrom": 0.1, "nm": 1.0, "nanometer": 1.0, "nanometers": 1.0,
    "um": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "micrometers": 1e3, "mm": 1e6,
    "millimeter": 1e6, "cm": 1e7, "centimeter": 1e7, "m": 1e9, "meter": 1e9,
}  # fmt: skip
"""Lower case. An inch is left out: it is the unit of print resolutions."""

_METRES = {
    "yocto": 1e-24, "zepto": 1e-21, "atto": 1e-18, "femto": 1e-15, "pico": 1e-12, "nano": 1e-9,
    "micro": 1e-6, "milli": 1e-3, "centi": 1e-2, "deci": 1e-1, "": 1.0, "deca": 1e1, "hecto": 1e2,
    "kilo": 1e3, "mega": 1e6, "giga": 1e9, "tera": 1e12, "peta": 1e15, "exa": 1e18, "zetta": 1e21,
    "yotta": 1e24,
}  # fmt: skip
NGFF_UNITS_NM = {
    **UNITS_NM, **{f"{prefix}meter": metres * 1e9 for prefix, metres in _METRES.items()},
    "inch": 2.54e7, "foot": 3.048e8, "yard": 9.144e8, "mile": 1.609344e12, "parsec": 3.0857e25,
}  # fmt: skip
"""Units of length of OME-NGFF (the names of UDUNITS), and the short ones that programs write."""


def unit_nm(unit: Any) -> float | None:
    """Return a unit of length in nm; None where it is not one.

    Examples
    --------
    >>> unit_nm("µm"), unit_nm("nm"), unit_nm("pixel")
    (1000.0, 1.0, None)
    """
    plain = str(unit).strip().lower().replace("\u00b5", "u").replace("\u03bc", "u")
    return NGFF_UNITS_NM.get(plain)


def float32_in_nm(length: float, unit_nm: float, *, parts: int = 1) -> float:
    """Return a length in nm; one that was a float32 as its shortest decimal number.

    Parameters
    ----------
    length
        In the unit; finite. Other floats are not shortened.
    unit_nm
        The unit, nm.
    parts
        Number of equal parts, of which the length of one is returned.

    Examples
    --------
    >>> float32_in_nm(float(np.float32(0.00524)), 1000.0)
    5.24
    >>> float32_in_nm(float(np.float32(3196.4)), 0.1, parts=61)
    5.24
    >>> float32_in_nm(12345.6789, 1000.0)
    12345678.9
    """
    with np.errstate(over="ignore"):
        single = np.float32(length)
    decimal = float(str(single)) if float(single) == length else length
    return float(f"{decimal * unit_nm / parts:.10g}")
