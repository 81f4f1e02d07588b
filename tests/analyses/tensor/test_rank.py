"""The table of ranks against planted ones."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.errors import AnalysisError


def test_starts_agree_up_to_the_planted_rank_and_spread_flattens_there():
    tree = ni.synthetic.tensor_trials(rank=3, noise="gaussian", noise_level=0.2, n_trials=20, n_samples=30)
    rec = tree["recordings/tensor_trials/recording"].clip(min=0, keep_attrs=True)
    found = tensor.rank(rec, range(1, 7), restarts=4)
    error = found.relative_error.isel(restart=0)
    assert (found.relative_error.diff("restart") >= 0).all()
    assert (error.diff("rank") < 0).all()
    fall = -np.diff(error.values)
    assert fall[:2].min() > 5 * fall[2:].max()
    worst = found.similarity.min("restart")
    assert worst.sel(rank=3) > 0.99
    assert worst.sel(rank=[5, 6]).max() < 0.95
    np.testing.assert_allclose(found.similarity.isel(restart=0), 1)
    one = tensor.nonnegative_cp(rec, 3, restarts=4)
    np.testing.assert_allclose(found.relative_error.sel(rank=3), one.restart_error, rtol=1e-12)


def test_bad_arguments_are_named():
    tree = ni.synthetic.tensor_trials(n_trials=5, n_samples=6, n_units=4)
    rec = tree["recordings/tensor_trials/recording"]
    with pytest.raises(AnalysisError, match=r"ranks are \[2, 1\]; ascending"):
        tensor.rank(rec, (2, 1))
    with pytest.raises(AnalysisError, match="restarts is 1; a whole number of at least 2"):
        tensor.rank(rec, (1, 2), restarts=1)
    with pytest.raises(AnalysisError, match="dim is 'pair'; one of trial, time, unit"):
        tensor.rank(rec, (1, 2), dim="pair", restarts=2)
