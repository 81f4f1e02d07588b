"""Leading singular vectors of a tall or a wide matrix, in float64, block by block where it is large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neurointerp import backend

BLOCK = 4096
"""Rows, or columns, that are turned into float64 at a time."""
DIRECT = 1e9
"""Below this many multiply-adds (rows x columns x the smaller) the SVD is taken directly: it is the most exact."""


def leading(X: Any, mean: Any, rank: int) -> tuple[Any, Any]:
    """Give the first right singular vectors of `X - mean` and all its squared singular values.

    A large matrix goes through the eigenproblem of its smaller Gram matrix, whose vectors are exact to about
    1e-16 times the square of (first singular value / their own).

    Parameters
    ----------
    X
        (sample, unit).
    mean
        (unit,) float64, subtracted from every row.
    rank
        Vectors wanted, at most the smaller side of `X`.

    Returns
    -------
    vectors
        (rank, unit) float64, orthonormal, signed so that the largest loading of each is positive.
    squares
        All squared singular values, descending, float64.
    """
    xp = backend.namespace(X)
    samples, units = X.shape
    if samples * units * min(samples, units) <= DIRECT:
        _, values, vectors = xp.linalg.svd(xp.astype(X, xp.float64) - mean, full_matrices=False)
        squares, vectors = values**2, vectors[:rank, :]
    elif units <= samples:
        squares, basis = descending(xp, sum(rows.T @ rows for rows in row_blocks(X, mean)))
        vectors = basis[:, :rank].T
    else:
        squares, basis = descending(xp, sum(part @ part.T for part in _column_blocks(X, mean)))
        image = xp.concat([part.T @ basis[:, :rank] for part in _column_blocks(X, mean)], axis=0)
        vectors = xp.linalg.qr(image)[0].T
    return signed(xp, vectors), squares


def row_blocks(X: Any, mean: Any) -> Iterator[Any]:
    """Give `X - mean` in float64, some rows at a time."""
    xp = backend.namespace(X)
    for start in range(0, X.shape[0], BLOCK):
        yield xp.astype(X[start : start + BLOCK, :], xp.float64) - mean


def _column_blocks(X: Any, mean: Any) -> Iterator[Any]:
    xp = backend.namespace(X)
    for start in range(0, X.shape[1], BLOCK):
        yield xp.astype(X[:, start : start + BLOCK], xp.float64) - mean[start : start + BLOCK]


def descending(xp: Any, gram: Any) -> tuple[Any, Any]:
    """Give the eigenvalues of a Gram matrix, largest first and none below 0, and its eigenvectors."""
    values, basis = xp.linalg.eigh(gram)
    return xp.flip(xp.clip(values, min=0.0)), xp.flip(basis, axis=1)


def signed(xp: Any, vectors: Any) -> Any:
    """Turn vectors so that the largest loading of each is positive."""
    positive = xp.max(vectors, axis=1) >= -xp.min(vectors, axis=1)
    return xp.where(positive[:, None], vectors, -vectors)
