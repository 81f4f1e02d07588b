"""Similarity of two dissimilarity matrices, on plain arrays of pairs of stimuli."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import kendalltau, rankdata

Pairs = tuple[np.ndarray, np.ndarray]
Form = tuple[np.ndarray, np.ndarray]
"""(left, right) of one vector of distances: left of one with right of another give their similarity as a product."""


def pairs_of(rows: np.ndarray) -> Pairs:
    """Give the pairs of rows (i < j) that are different stimuli."""
    first, second = np.triu_indices(len(rows), 1)
    different = rows[first] != rows[second]
    return first[different], second[different]


def compared(name: str, a: np.ndarray, b: np.ndarray, pairs: Pairs) -> float:
    """Give the similarity of two vectors of distances; NaN where one does not vary."""
    if name == "kendall":
        return _kendall(a, b)
    return float(FORMS[name](a, pairs)[0] @ FORMS[name](b, pairs)[1])


def square(vector: np.ndarray, pairs: Pairs, size: int) -> np.ndarray:
    """Give a vector of distances as a symmetric matrix with zeros on its diagonal."""
    out = np.zeros((size, size))
    out[pairs] = out[pairs[::-1]] = vector
    return out


def _cosine(vector: np.ndarray, pairs: Pairs) -> Form:
    length = np.sqrt(vector @ vector)
    unit = vector / (length if length > 1e-150 else np.nan)
    return unit, unit


def _pearson(vector: np.ndarray, pairs: Pairs) -> Form:
    return _cosine(vector - vector.mean() if np.ptp(vector) > 0 else np.zeros_like(vector), pairs)


def _spearman(vector: np.ndarray, pairs: Pairs) -> Form:
    return _pearson(rankdata(vector), pairs)


def _whitened_cosine(vector: np.ndarray, pairs: Pairs) -> Form:
    """Multiply by the inverse of V, the covariance of distances that have a stimulus in common.

    V is 4 for a pair with itself, 1 for two that share a stimulus, 0 else: 2 I + B B' with B (pair, stimulus) the
    incidence, so that its inverse costs one system of the size of the stimuli (Woodbury).
    """
    first, second = pairs
    size = int(max(first.max(), second.max())) + 1
    inner = np.diag(2.0 + np.bincount(first, minlength=size) + np.bincount(second, minlength=size))
    inner[first, second] = inner[second, first] = 1.0
    of_stimulus = np.linalg.solve(inner, np.bincount(first, vector, size) + np.bincount(second, vector, size))
    white = (vector - of_stimulus[first] - of_stimulus[second]) / 2
    square_length = white @ vector
    length = np.sqrt(square_length) if square_length > 0 else np.nan
    return white / length, vector / length


FORMS: dict[str, Callable[[np.ndarray, Pairs], Form]] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "cosine": _cosine,
    "whitened_cosine": _whitened_cosine,
}
COMPARISONS = (*FORMS, "kendall")


def _kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Give Kendall's tau-a, which a model that predicts ties cannot raise by them."""
    total = len(a) * (len(a) - 1) / 2
    untied = [total - sum(n * (n - 1) / 2 for n in np.unique(v, return_counts=True)[1]) for v in (a, b)]
    if min(untied) <= 0:
        return float("nan")
    return float(kendalltau(a, b).statistic * np.sqrt(untied[0] * untied[1]) / total)
