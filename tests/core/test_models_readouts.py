"""Readouts: what each computes, by hand; where they start; and that their geometry is what it says."""

import numpy as np
import pytest
import torch

from neurointerp.errors import ModelError
from neurointerp.models import readouts
from neurointerp.models.readouts.spatial import places

SHAPE, UNITS = (3, 6, 5), 4
MAPS = torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(0))
KINDS = [readouts.LinearReadout, readouts.FactorizedReadout, readouts.GaussianReadout, readouts.PointReadout,
         readouts.AttentionReadout, readouts.SpatialTransformerReadout]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_keeps_the_protocol_and_has_gradients_for_all_it_holds(kind):
    torch.manual_seed(0)
    model = kind(SHAPE, UNITS)
    assert isinstance(model, readouts.Readout)
    out = model(MAPS)
    assert out.shape == (7, UNITS)
    out.pow(2).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_factorised_is_the_double_sum():
    torch.manual_seed(1)
    model = readouts.FactorizedReadout(SHAPE, UNITS)
    mask = model.spatial.abs() / (model.spatial.abs().pow(2).sum((1, 2), keepdim=True).sqrt() + 1e-6)
    expected = torch.einsum("ncij,oij,oc->no", MAPS, mask, model.features) + model.bias
    torch.testing.assert_close(model(MAPS), expected)
    assert (model.mask() >= 0).all()
    torch.testing.assert_close(model.mask().flatten(1).norm(dim=1), torch.ones(UNITS), atol=2e-3, rtol=0)


def test_a_gaussian_mask_is_the_density_on_the_cells():
    model = readouts.GaussianReadout(SHAPE, 1)
    with torch.no_grad():
        model.centre[:] = torch.tensor([[0.4, -0.2]])
        model.root[:] = torch.tensor([[[0.3, 0.0], [0.1, 0.5]]])
    root = np.array([[0.301, 0.0], [0.1, 0.501]])
    cov = np.linalg.inv(root @ root.T)
    away = places(6, 5).numpy() - [0.4, -0.2]
    density = np.exp(-0.5 * np.einsum("pi,ij,pj->p", away, cov, away))
    np.testing.assert_allclose(model.mask().detach().numpy().ravel(), density / density.sum(), rtol=1e-4)
    assert places(6, 5)[0].tolist() == pytest.approx([-0.8, -5 / 6])


def test_a_point_is_read_at_its_mean_after_training_and_around_it_in_training():
    torch.manual_seed(2)
    model = readouts.PointReadout(SHAPE, 1)
    with torch.no_grad():
        model.centre[:] = places(6, 5)[13]
        model.features[:] = 1.0
    model.eval()
    torch.testing.assert_close(model(MAPS)[:, 0], MAPS.flatten(2)[:, :, 13].sum(1))
    model.train()
    assert not torch.equal(model(MAPS), model(MAPS))


@pytest.mark.parametrize("modes", [("translation",), ("translation", "scale", "shear"), readouts.transformer.MODES])
@pytest.mark.parametrize("warp_channels", [False, True])
def test_the_spatial_transformer_starts_as_the_factorised_readout(modes, warp_channels):
    torch.manual_seed(3)
    model = readouts.SpatialTransformerReadout(SHAPE, UNITS, modes=modes, warp_channels=warp_channels)
    plain = readouts.FactorizedReadout(SHAPE, UNITS)
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if name in plain.state_dict()})
    torch.testing.assert_close(model(MAPS), plain(MAPS), atol=1e-5, rtol=0)


def test_a_translation_moves_the_mask_by_cells_and_modes_bound_what_moves():
    model = readouts.SpatialTransformerReadout(SHAPE, 1, modes=("translation",))
    with torch.no_grad():
        model.spatial.zero_()
        model.spatial[0, 2, 3] = 1.0
        bias = model.head.bias.view(1, 7)
        bias[0, :6] = torch.tensor([2.0, 1.0, 0.4, 1.0, 3.0, 2 / 6])  # x by one of five cells, y by one of six
        bias[0, 6] = 1.0
    moved = model.warped(MAPS[:1])[0, 0]
    assert moved.argmax().item() == 1 * 5 + 2
    assert moved.max().item() == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ModelError, match="one or more of translation"):
        readouts.SpatialTransformerReadout(SHAPE, 1, modes=("zoom",))


def test_ridge_is_scikit_learns_at_the_penalty_that_validation_chooses():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    maps = rng.standard_normal((120, *SHAPE)).astype(np.float32)
    weights = rng.standard_normal((90, 2)).astype(np.float32)
    y = maps.reshape(120, -1) @ weights + 5 * rng.standard_normal((120, 2)).astype(np.float32)
    y[3:9, 1] = np.nan
    validation = np.arange(90, 120)
    model = readouts.LinearReadout(SHAPE, 2)
    readouts.fit(model, maps, y, validation=validation)
    x = maps.reshape(120, -1).astype(np.float64)
    for unit in range(2):
        rows = np.flatnonzero(~np.isnan(y[:90, unit]))
        scale = (np.linalg.svd(x[rows] - x[rows].mean(axis=0), compute_uv=False) ** 2).mean()
        fits = [Ridge(alpha).fit(x[rows], y[rows, unit]) for alpha in np.logspace(-4, 4, 17) * scale]
        best = min(fits, key=lambda one: ((one.predict(x[validation]) - y[validation, unit]) ** 2).sum())
        np.testing.assert_allclose(readouts.predict(model, maps)[:, unit], best.predict(x), atol=1e-3)


def test_training_keeps_the_best_epoch_is_repeatable_and_ignores_what_is_missing():
    rng = np.random.default_rng(1)
    maps = rng.standard_normal((150, *SHAPE)).astype(np.float32)
    y = (maps[:, :, 2, 3] @ [[1.0], [-1.0], [0.5]]).astype(np.float32) + 0.1 * rng.standard_normal((150, 1))
    holes = y.copy()
    holes[::4] = np.nan

    def trained(target):
        torch.manual_seed(0)
        model = readouts.FactorizedReadout(SHAPE, 1)
        history = readouts.fit(model, maps, target, validation=np.arange(30),
                               training=readouts.Training(epochs=30, batch=16, learning_rate=0.02))  # fmt: skip
        return model, history

    (one, history), (other, _) = trained(holes), trained(holes)
    assert torch.equal(one.spatial, other.spatial)
    assert history.validation[history.kept] == max(history.validation) > 0.9
    mask = one.mask()[0]
    assert divmod(mask.argmax().item(), 5) == (2, 3)
    assert np.corrcoef(readouts.predict(one, maps)[::4, 0], y[::4, 0])[0, 1] > 0.9


def test_routing_sums_over_regions_and_does_not_depend_on_their_order():
    torch.manual_seed(4)
    row, col = np.indices((3, 3)).reshape(2, -1)
    member = np.array([[1, 0, 1], [0, 1, 1]])
    model = readouts.RoutingEncoder(8, row, col, member, width=8, heads=2).eval()
    tokens = torch.randn(5, 9, 8)
    with torch.no_grad():
        both = model(tokens)
        each = []
        for region in range(2):
            one = readouts.RoutingEncoder(8, row, col, np.ones((1, 3)), width=8, heads=2).eval()
            state = {k: v for k, v in model.state_dict().items() if k not in ("member", "query")}
            one.load_state_dict({**state, "member": torch.ones(1, 3), "query": model.query[region : region + 1]})
            each.append(one(tokens))
        torch.testing.assert_close(both[:, 2], each[0][:, 2] + each[1][:, 2])
        torch.testing.assert_close(both[:, 0], each[0][:, 0])
        swapped = readouts.RoutingEncoder(8, row, col, member[::-1].copy(), width=8, heads=2).eval()
        swapped.load_state_dict({**model.state_dict(), "query": model.query.flip(0), "member": model.member.flip(0)})
        torch.testing.assert_close(swapped(tokens), both)
        attention = model.attention(tokens)
        assert attention.shape == (5, 2, 2, 9)
        torch.testing.assert_close(attention.sum(-1), torch.ones(5, 2, 2))
    with pytest.raises(ModelError, match="in one region or more"):
        readouts.RoutingEncoder(8, row, col, np.zeros((1, 2)))


def test_where_things_are_does_not_reach_the_values():
    """With queries that attend everywhere alike, exchanging tokens changes nothing: position is in the keys alone."""
    torch.manual_seed(5)
    row, col = np.indices((2, 2)).reshape(2, -1)
    model = readouts.RoutingEncoder(8, row, col, np.ones((1, 2)), width=8, heads=2).eval()
    with torch.no_grad():
        model.cross.in_proj_weight[8:16] = 0.0  # keys
    tokens = torch.randn(3, 4, 8)
    torch.testing.assert_close(model(tokens), model(tokens[:, [2, 0, 3, 1]]))


def test_what_cannot_be_trained_is_refused():
    model, maps, y = (
        readouts.FactorizedReadout(SHAPE, 1),
        np.zeros((4, *SHAPE), np.float32),
        np.zeros((4, 1), np.float32),
    )
    with pytest.raises(ModelError, match="4 of 4 samples are for validation"):
        readouts.fit(model, maps, y, validation=np.arange(4))
    maps[0, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="maps hold missing values"):
        readouts.fit(model, maps, y, validation=np.arange(1))
