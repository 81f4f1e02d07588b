"""What cannot be computed of a chunked (dask) recording is refused before a block of it is read."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError

da = pytest.importorskip("dask.array")

SAMPLES, UNITS = 120, 3
REFUSED = [
    ("correlation", {"method": "kendall"}, "method is 'kendall'"),
    ("correlation", {"centre": "trial"}, "centre is 'trial'"),
    ("correlation", {"min_samples": 1}, "min_samples is 1"),
    ("covariance", {"method": "lasso"}, "method is 'lasso'"),
    ("mutual_information", {"n_neighbors": 0}, "n_neighbors is 0"),
    ("partial_correlation", {"alpha": -1.0}, "alpha is -1.0"),
    ("lagged", {"max_lag": -1}, "max_lag is -1"),
    ("lagged", {"max_lag": 10**6}, f"the longest segment has {SAMPLES} samples"),
    ("effective", {"order": 0}, "order 0"),
    ("effective", {"order": 10**6}, "0 samples have 1000000 samples of past"),
    ("effective", {"folds": 10**6}, "1000000 folds need"),
    ("granger", {"order": 0}, "order is 0"),
    ("granger", {"order": 10**6}, "which reach order"),
    ("granger", {"order": 10**6, "conditional": True}, "which reach order"),
    ("spectral_granger", {"order": 0}, "order is 0"),
    ("spectral_granger", {"n_frequencies": 1}, "n_frequencies is 1"),
    ("transfer_entropy", {"order": 10**6}, "words of past"),
    ("transfer_entropy", {"source_order": 0}, "source_order 0"),
    ("coherence", {"mode": "welch"}, "mode is 'welch'"),
    ("coherence", {"window": 10**6}, "no segment holds a window of 1000000 samples"),
    ("coherence", {"window": 2}, "a window of 2 samples"),
    ("coherence", {"step": 0}, "every 0"),
    ("wpli", {"fmin": 40.0, "fmax": 30.0}, "0 frequencies from fmin=40.0"),
    ("wpli", {"bandwidth": 1e6}, "a bandwidth of"),
    ("psi", {"fmin": 10.0, "fmax": 10.0}, "2 needed"),
    ("plv", {"mode": "morlet"}, "takes frequencies"),
    ("plv", {"mode": "morlet", "frequencies": [0.1]}, "longer than a window"),
    ("plv", {"mode": "morlet", "frequencies": [40.0], "decimate": 0}, "decimate 0"),
    ("coherence", {"frequencies": [10.0]}, "frequencies are those of wavelets"),
    ("pli", {"window": SAMPLES}, "at least 2 epochs are needed"),
    ("dynamic", {"window": 10**6}, "no stretch has 1000000 samples"),
    ("dynamic", {"window": 1}, "window is 1"),
    ("dynamic", {"step": 0}, "step is 0"),
    ("dynamic", {"taper": 0.0}, "taper is 0.0"),
    ("states", {"count": 1}, "count is 1"),
    ("affinity", {"bin_size": 10**6}, "no segment has 1000000 samples"),
    ("affinity", {"min_subjects": 2}, "0 units are there in 2 subjects"),
    ("communities", {"runs": 0}, "runs is 0"),
    ("dynamic_connectome", {"rank": 0}, "rank is 0"),
    ("dynamic_connectome", {"rank": 2, "model": "nope"}, "model is 'nope'"),
    ("null", {"measure": "nope"}, "measure is 'nope'"),
    ("null", {"draws": 0}, "draws is 0"),
]  # fmt: skip


def counted(shape, dims):
    """A chunked recording, and the list of the blocks of it that were read."""
    read = []
    values = np.abs(np.random.default_rng(0).standard_normal(shape).round())
    axis = dims.index("time")

    def block(x, block_info=None):
        read.append(block_info[0]["chunk-location"])
        return x

    chunks = tuple(30 if at == axis else size for at, size in enumerate(shape))
    lazy = da.map_blocks(block, da.from_array(values, chunks=chunks), dtype=values.dtype, meta=np.empty(()))
    rec = ni.recording(values, modality="spikes", units="1", sampling_rate=100.0, dims=dims)
    return rec.copy(data=lazy), read


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_no_block_is_read_for_options_that_are_refused(name, options, message):
    rec, read = counted((SAMPLES, UNITS), ("time", "unit"))
    with pytest.raises(AnalysisError, match=message):
        getattr(connectivity, name)(rec, **options)
    assert not read


@pytest.mark.parametrize(("name", "options"), [(name, options) for name, options, _ in REFUSED if "window" in options
                                               or {"bandwidth", "mode"} & set(options)])  # fmt: skip
def test_a_refusal_names_what_was_called(name, options):
    with pytest.raises(AnalysisError, match=rf"^connectivity\.{name}: "):
        getattr(connectivity, name)(counted((SAMPLES, UNITS), ("time", "unit"))[0], **options)


@pytest.mark.parametrize("name", ["lagged", "granger", "coherence", "transfer_entropy", "dynamic"])
def test_nor_of_several_subjects(name):
    rec, read = counted((2, SAMPLES, UNITS), ("subject", "time", "unit"))
    option = {"lagged": "max_lag", "granger": "order", "transfer_entropy": "order"}.get(name, "window")
    with pytest.raises(AnalysisError):
        getattr(connectivity, name)(rec, **{option: 10**6 if name != "transfer_entropy" else 0})
    assert not read


def test_blocks_are_counted_where_the_options_are_allowed():
    rec, read = counted((SAMPLES, UNITS), ("time", "unit"))
    connectivity.lagged(rec, max_lag=2)
    assert len(set(read)) == SAMPLES // 30
