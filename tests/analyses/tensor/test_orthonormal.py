"""Compiled orthonormal bases are those of QR, and fall back to it where columns depend on each other."""

import numpy as np
import pytest

from neurointerp.analyses.tensor import _orthonormal


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(60, 16), (200, 1), (5, 5), (1, 1)])
def test_a_base_is_orthonormal_and_spans_the_columns(shape, dtype):
    columns = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    kept = columns.copy()
    base = _orthonormal.spanned(columns)
    loose = 100 * np.finfo(dtype).eps
    assert base.dtype == dtype
    assert base.flags.c_contiguous
    np.testing.assert_array_equal(columns, kept)
    np.testing.assert_allclose(base.T @ base, np.eye(shape[1]), atol=loose)
    theirs = np.linalg.qr(columns)[0]
    np.testing.assert_allclose(base @ base.T, theirs @ theirs.T, atol=loose * 10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_beside_a_large_one_keep_their_directions(dtype):
    rng, eps = np.random.default_rng(1), float(np.finfo(dtype).eps)
    large = rng.standard_normal((60, 1))
    for small in (1.0, 1e2 * eps**0.5, 1e4 * eps, 1e2 * eps, 0.0):  # compiled, compiled, compiled, QR, QR
        columns = (large + small * rng.standard_normal((60, 12))).astype(dtype)
        base = _orthonormal.spanned(columns)
        np.testing.assert_allclose(base.T @ base, np.eye(12), atol=100 * eps)
        left = columns - base @ (base.T @ columns)
        assert np.abs(left).max() < 100 * eps


def test_columns_that_depend_on_each_other_are_left_to_qr():
    columns = np.random.default_rng(2).standard_normal((30, 4)).astype(np.float32)
    for dependent in (np.c_[columns, columns[:, :1]], np.zeros((30, 3), np.float32), columns[:3], columns * np.nan):
        rows = np.array(dependent.T, order="C")
        tall = dependent.shape[0] >= dependent.shape[1]
        assert not (tall and _orthonormal._orthonormal(rows, 1e3 * float(np.finfo(np.float32).eps)))
        np.testing.assert_array_equal(_orthonormal.spanned(dependent), np.linalg.qr(dependent)[0])
