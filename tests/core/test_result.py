"""Results: labels."""

import numpy as np

import neurointerp as ni


def test_labels_that_a_user_assigned_are_kept_whatever_their_dtype():
    from neurointerp.analyses import factorization

    rec = ni.recording(np.random.default_rng(0).standard_normal((20, 3)), modality="fmri", units="1", sampling_rate=1.0)
    found = factorization.pca(rec.assign_coords(region=("unit", ["V1", "V1", "V2"])), 2)
    assert found["region"].dtype == object
    assert found["region"].values.tolist() == ["V1", "V1", "V2"]
