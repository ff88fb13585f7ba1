r"""Statistics of the diameters of pores.

Single size. If all pores had the median diameter m, a measured diameter would have the distribution
of m plus the error of its measurement,

.. math:: F(d) = \frac{1}{n} \sum_i \Phi((d - m) / s_i)

with the standard error s_i of pore i (`own`), or a common error of 6 nm (`paper`: "simulated values
based on the experimental median value with an uncertainty of 6 nm"; here the exact distribution in
place of a simulated sample). The Kolmogorov-Smirnov test compares the diameters with F. m is taken
from the same pores, which makes p somewhat too large.

Moran's I of diameters d, deviations e = d - mean(d), over the pairs (i, j) of neighbours,

.. math:: I = \frac{n}{\sum_{ij} w_{ij}} \frac{\sum_{ij} w_{ij} e_i e_j}{\sum_i e_i^2}

with w = 1 for pores that an edge of the envelope's triangles connects. Expected value without
correlation -1 / (n - 1); p by permutation of the diameters, two-sided.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.special import ndtr

from asem.measure.flags_and_notes import count_names
from asem.measure.pores.table import is_used
from asem.measure.sample_statistics import Statistics, describe_sample

FloatArray = npt.NDArray[np.float64]
EdgeArray = npt.NDArray[np.integer[Any]]
PAPER_UNCERTAINTY_NM = 6.0
PERCENTILES = (10, 25, 75, 90)
PERMUTATIONS = 9999
SEED = 0
MAX_SHAPIRO = 5000
"""Largest sample for which the p-value of the Shapiro-Wilk test is accurate."""
SOURCES_AT_ONCE = 256


def count_pores(table: pd.DataFrame) -> Statistics:
    """Return the numbers of pores: all, used in the statistics, and with each flag."""
    return {
        "all": len(table),
        "used": int(is_used(table).sum()),
        "flags": count_names(table["flags"]),
    }


def describe_diameters(diameters: FloatArray, errors: FloatArray) -> Statistics:
    """Return the statistics of diameters; null with a reason where they are undefined.

    Parameters
    ----------
    diameters, errors
        Diameters and their standard errors, nm, (n,).
    """
    count = len(diameters)
    result = describe_sample(diameters, PERCENTILES, "_nm")
    result["shapiro_wilk"] = assess_normality(diameters)
    result["single_size"] = {
        "own": {
            "uncertainty_nm": _root_mean_square(errors) if count else None,
            "definition": "median plus the standard error of each pore (diameter_se_nm)",
            **compare_with_single_size(diameters, errors),
        },
        "paper": {
            "uncertainty_nm": PAPER_UNCERTAINTY_NM,
            "definition": "median plus an uncertainty of 6 nm for all pores, as in the paper",
            **compare_with_single_size(diameters, np.full(count, PAPER_UNCERTAINTY_NM)),
        },
    }
    return result


def _root_mean_square(values: FloatArray) -> float | None:
    result = float(np.sqrt(np.mean(values**2)))
    return result if np.isfinite(result) else None


def _undefined(reason: str, *names: str) -> Statistics:
    return {**dict.fromkeys(names), "reason": reason}


def assess_normality(values: FloatArray) -> Statistics:
    """Return statistic W and p of the Shapiro-Wilk test."""
    if len(values) < 3:
        return _undefined("fewer than 3 pores", "w", "p")
    if np.ptp(values) == 0:
        return _undefined("all diameters are equal", "w", "p")
    if len(values) > MAX_SHAPIRO:
        values = np.random.default_rng(SEED).choice(values, MAX_SHAPIRO, replace=False)
    found = stats.shapiro(values)
    return {"w": float(found.statistic), "p": float(found.pvalue)}


def single_size_distribution(at: FloatArray, median: float, errors: FloatArray) -> FloatArray:
    """Return the distribution function of a single size with the errors of its measurement.

    Parameters
    ----------
    at
        Diameters, (m,).
    median
        The single size.
    errors
        Standard errors, above 0, (n,).
    """
    distinct, counts = np.unique(errors, return_counts=True)
    result = np.zeros(len(at))
    for error, count in zip(distinct, counts, strict=True):
        result += count * ndtr((at - median) / error)
    return result / len(errors)


def compare_with_single_size(diameters: FloatArray, errors: FloatArray) -> Statistics:
    """Return statistic D and p of the Kolmogorov-Smirnov test against a single size, the median."""
    names = ("d", "p")
    if len(diameters) < 3:
        return _undefined("fewer than 3 pores", *names)
    if not (np.isfinite(errors).all() and (errors > 0).all()):
        return _undefined("a standard error is not above 0", *names)
    median = float(np.median(diameters))
    ordered, count = np.sort(diameters), len(diameters)
    expected, steps = (
        single_size_distribution(ordered, median, errors),
        np.arange(count + 1) / count,
    )
    statistic = float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))
    return {"d": statistic, "p": float(stats.kstwo.sf(statistic, count))}


def find_spacing(
    points_nm: FloatArray, edges: EdgeArray, used: npt.NDArray[np.bool_]
) -> FloatArray:
    """Return the distance of each used pore to the nearest other one along edges, nm, (n used,).

    Parameters
    ----------
    points_nm
        Corners of the envelope, (n, 3).
    edges
        Pairs of corners, (e, 2).
    used
        Corners that count as pores, (n,); paths may lead through others.

    Returns
    -------
    ndarray
        inf where no other one is reached.
    """
    lengths = np.linalg.norm(points_nm[edges[:, 0]] - points_nm[edges[:, 1]], axis=1)
    count = len(points_nm)
    graph = coo_array((lengths, (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    rows, nearest = np.flatnonzero(used), []
    for start in range(0, len(rows), SOURCES_AT_ONCE):
        sources = rows[start : start + SOURCES_AT_ONCE]
        distances = dijkstra(graph, directed=False, indices=sources)
        distances[np.arange(len(sources)), sources] = np.inf
        nearest.append(distances[:, rows].min(axis=1))
    return np.concatenate(nearest) if nearest else np.zeros(0)


def describe_spacing(spacing: FloatArray) -> Statistics:
    """Return median, percentiles and mean of distances to the nearest pore, nm."""
    finite = spacing[np.isfinite(spacing)]
    names = ("median_nm", "percentiles_nm", "mean_nm")
    definition = (
        "distance to the nearest pore along the edges of the triangles of the envelope: the chord "
        "where an edge connects both"
    )
    if len(finite) == 0:
        reason = "no two pores are connected by triangles of the envelope"
        return {**_undefined(reason, *names), "definition": definition}
    return {
        "n": len(finite),
        "median_nm": float(np.median(finite)),
        "percentiles_nm": {str(p): float(np.percentile(finite, p)) for p in PERCENTILES},
        "mean_nm": float(finite.mean()),
        "definition": definition,
    }


def find_morans_i(values: FloatArray, edges: EdgeArray) -> float:
    """Return Moran's I of values over pairs of neighbours.

    Parameters
    ----------
    values
        Not all equal, (n,).
    edges
        Each pair once, (e, 2).

    Examples
    --------
    >>> ring = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
    >>> find_morans_i(np.array([1.0, 2, 1, 2]), ring), find_morans_i(np.array([1.0, 1, 2, 2]), ring)
    (-1.0, 0.0)
    """
    deviations = values - values.mean()
    products = (deviations[edges[:, 0]] * deviations[edges[:, 1]]).sum()
    return float(len(values) / len(edges) * products / (deviations**2).sum())


def measure_correlation(values: FloatArray, edges: EdgeArray) -> Statistics:
    """Return Moran's I and its p-value by permutation, two-sided.

    p is the fraction of the permutations, and of the values themselves, whose I is at least as far
    from the expected value.

    Parameters
    ----------
    values
        Diameters of the used pores, (n,).
    edges
        Pairs of them that are neighbours, each once, (e, 2).
    """
    names = ("i", "expected", "p")
    if len(values) < 4 or len(edges) == 0:
        return _undefined("fewer than 4 pores, or none are neighbours", *names)
    if np.ptp(values) == 0:
        return _undefined("all diameters are equal", *names)
    observed, expected = find_morans_i(values, edges), -1 / (len(values) - 1)
    rng = np.random.default_rng(SEED)
    far = 1
    for _ in range(PERMUTATIONS):
        permuted = find_morans_i(rng.permutation(values), edges)
        far += abs(permuted - expected) >= abs(observed - expected) - 1e-12
    return {
        "i": observed,
        "expected": expected,
        "p": far / (PERMUTATIONS + 1),
        "neighbours": len(edges),
        "permutations": PERMUTATIONS,
        "seed": SEED,
        "definition": "neighbours: pores that an edge of the triangles of the envelope connects",
    }


def select_edges(edges: EdgeArray, used: npt.NDArray[np.bool_]) -> EdgeArray:
    """Return the edges between used corners, numbered among these.

    Examples
    --------
    >>> select_edges(np.array([[0, 1], [1, 2]]), np.array([False, True, True])).tolist()
    [[0, 1]]
    """
    number = np.cumsum(used) - 1
    return np.asarray(number[edges[used[edges].all(axis=1)]])


def describe_table(table: pd.DataFrame) -> Statistics:
    """Return the counts of a table of pores, and the statistics of the diameters of used ones."""
    used = table[is_used(table)]
    columns = (used[name].to_numpy(np.float64) for name in ("diameter_nm", "diameter_se_nm"))
    return {"n": count_pores(table), **describe_diameters(*columns)}


def describe_surface(
    table: pd.DataFrame, edges: EdgeArray, corners: npt.NDArray[np.intp]
) -> Mapping[str, Statistics]:
    """Return nearest-neighbour spacing and Moran's I of the used pores of an envelope.

    Parameters
    ----------
    table
        Of all pores, (n,).
    edges
        Pairs of corners of the envelope, (e, 2).
    corners
        Row of each corner in the table, (m,).
    """
    chosen = table.iloc[corners]
    used = is_used(chosen)
    points = chosen[["z_nm", "y_nm", "x_nm"]].to_numpy(np.float64)
    diameters = chosen["diameter_nm"].to_numpy(np.float64)[used]
    return {
        "spacing": describe_spacing(find_spacing(points, edges, used)),
        "morans_i": measure_correlation(diameters, select_edges(edges, used)),
    }
