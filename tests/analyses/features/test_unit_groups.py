"""Groups of units against sets counted by hand."""

import numpy as np
import pytest

from neurointerp.analyses import factorization, features
from neurointerp.errors import AnalysisError


@pytest.fixture
def sparse(recordings):
    return factorization.semi_nmf(recordings["calcium"], 4, keep_fraction=0.6, max_iter=20)


def test_overlap_core_and_exclusive_are_those_of_sets(sparse):
    groups = features.unit_groups(sparse)
    sets = [set(np.flatnonzero(row)) for row in sparse.support.values]
    signs = np.sign(sparse.features.values)
    for i, a in enumerate(sets):
        others = set().union(*(b for j, b in enumerate(sets) if j != i))
        assert set(np.flatnonzero(groups.exclusive[i])) == a - others
        for j, b in enumerate(sets):
            assert groups.overlap[i, j] == len(a & b)
            assert groups.jaccard[i, j] == pytest.approx(len(a & b) / len(a | b))
            if a & b:
                agree = np.mean([signs[i, u] == signs[j, u] for u in a & b])
                assert groups.same_sign[i, j] == pytest.approx(agree)
    assert set(np.flatnonzero(groups.core)) == set.intersection(*sets)
    assert groups.members.values.tolist() == [sum(u in s for s in sets) for u in range(8)]


def test_siblings_alone_count(sparse):
    groups = features.unit_groups(sparse, components=[3, 1])
    assert groups.component.values.tolist() == [3, 1]
    a, b = (set(np.flatnonzero(sparse.support.values[k])) for k in (3, 1))
    assert set(np.flatnonzero(groups.core)) == a & b
    assert set(np.flatnonzero(groups.exclusive[0])) == a - b


def test_unknown_and_doubled_components_are_refused(sparse):
    with pytest.raises(AnalysisError, match="no component 7"):
        features.unit_groups(sparse, components=[0, 7])
    with pytest.raises(AnalysisError, match="different labels"):
        features.unit_groups(sparse, components=[1, 1])
    with pytest.raises(AnalysisError, match="no features"):
        features.unit_groups(sparse.drop_vars("features"))


def test_parts_hold_the_weights_of_the_core_and_of_what_is_exclusive(sparse):
    groups = features.unit_groups(sparse, components=[3, 1])
    parts = features.unit_parts(sparse, components=[3, 1])
    assert parts.part.values.tolist() == ["core", "core", "exclusive", "exclusive"]
    assert parts.sibling.values.tolist() == [3, 1, 3, 1]
    own = sparse.features.sel(component=[3, 1]).values
    np.testing.assert_array_equal(parts.features[:2], np.where(groups.core, own, 0))
    np.testing.assert_array_equal(parts.features[2:], np.where(groups.exclusive, own, 0))
    rest = own - parts.features[:2].values - parts.features[2:].values
    np.testing.assert_array_equal(rest, 0)  # of two siblings every unit is in the core or exclusive
