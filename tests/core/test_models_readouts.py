"""Readouts: what each computes, by hand; where they start; and that their geometry is what it says."""

import copy

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


@pytest.mark.parametrize("rows", [120, 40])
def test_ridge_and_its_penalties_are_scikit_learns_leaving_one_out(rows):
    from sklearn.linear_model import RidgeCV

    rng = np.random.default_rng(0)
    maps = rng.standard_normal((rows, *SHAPE)).astype(np.float32)
    weights = rng.standard_normal((90, 2)).astype(np.float32)
    y = maps.reshape(rows, -1) @ weights + 5 * rng.standard_normal((rows, 2)).astype(np.float32)
    y[3:9, 1] = np.nan
    model = readouts.LinearReadout(SHAPE, 2)
    readouts.fit(model, maps, y)
    x = maps.reshape(rows, -1).astype(np.float64)
    for unit in range(2):
        seen = np.flatnonzero(~np.isnan(y[:, unit]))
        size = np.linalg.svd(x[seen] - x[seen].mean(axis=0), compute_uv=False) ** 2
        peer = RidgeCV(np.logspace(-4, 4, 17) * size.sum() / min(len(seen), 90))
        peer.fit(x[seen], y[seen, unit].astype(np.float64))
        np.testing.assert_allclose(readouts.predict(model, maps)[:, unit], peer.predict(x), atol=1e-4)


def test_penalties_leave_out_whole_stimuli_as_fits_one_by_one_do():
    """Repeats of a stimulus carry its own fingerprint: left out one trial at a time, it is overfitted."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(14), [1, 2, 3, 1, 2, 3, 2, 1, 3, 2, 2, 1, 3, 2])
    x = rng.standard_normal((14, 20))[group]
    own = 2 * rng.standard_normal((14, 1))[group]  # what is of the stimulus, and not of its features
    y = x @ rng.standard_normal((20, 1)) + own + 0.1 * rng.standard_normal((len(group), 1))
    scale = (np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2).sum() / 20
    errors = []
    for alpha in np.logspace(4, -4, 17) * scale:
        fits = [Ridge(alpha).fit(x[group != g], y[group != g, 0]) for g in range(14)]
        errors.append(sum(((fit.predict(x[group == g]) - y[group == g, 0]) ** 2).sum() for g, fit in enumerate(fits)))
    best = Ridge(np.logspace(4, -4, 17)[int(np.argmin(errors))] * scale).fit(x, y)
    maps = x[:, :, None, None].astype(np.float32)
    grouped, alone = readouts.LinearReadout((20, 1, 1), 1), readouts.LinearReadout((20, 1, 1), 1)
    for model, groups in ((grouped, group), (alone, None)):
        readouts.fit(model, maps, y, groups=groups)
    np.testing.assert_allclose(readouts.predict(grouped, maps), best.predict(x).reshape(-1, 1), atol=1e-4)
    assert alone.weight.norm() > 1.1 * grouped.weight.norm()


def test_units_that_never_vary_or_were_seen_once_are_predicted_by_their_mean():
    maps = np.random.default_rng(0).standard_normal((6, *SHAPE)).astype(np.float32)
    y = np.full((6, 2), 3.0)
    y[1:, 1] = np.nan
    model = readouts.LinearReadout(SHAPE, 2)
    readouts.fit(model, maps, y)
    np.testing.assert_allclose(readouts.predict(model, maps), 3.0, atol=1e-5)


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


def test_the_rate_is_halved_and_the_network_that_warps_has_a_share_of_it():
    from neurointerp.models.readouts.training import _rates

    model = readouts.SpatialTransformerReadout(SHAPE, UNITS, warp_rate=0.25)
    groups = {group["lr"]: {id(p) for p in group["params"]} for group in _rates(model, model, 0.04)}
    assert groups[0.01] == {id(p) for part in (model.trunk, model.head) for p in part.parameters()}
    assert groups[0.04] == {id(model.spatial), id(model.features), id(model.bias)}
    rng = np.random.default_rng(0)
    maps, y = rng.standard_normal((40, *SHAPE)).astype(np.float32), rng.standard_normal((40, 1))
    last = []
    for halve in (0, 1):
        torch.manual_seed(0)
        plain = readouts.FactorizedReadout(SHAPE, 1)
        how = readouts.Training(epochs=30, batch=30, patience=30, halve=halve)
        last.append(
            np.abs(np.diff(readouts.fit(plain, maps, y, validation=np.arange(10), training=how).validation[-4:]))
        )
    assert last[1].max() < 1e-5 < 1e-4 < last[0].max()


def test_a_mean_over_steps_of_the_parameters_is_steadier_and_is_what_is_kept():
    rng = np.random.default_rng(2)
    maps = rng.standard_normal((240, *SHAPE)).astype(np.float32)
    y = (maps[:, :, 2, 3] @ [[1.0], [-1.0], [0.5]]).astype(np.float32) + 2.0 * rng.standard_normal((240, 1))
    held, core = np.arange(60), torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3))
    swing, best = [], []
    for average in (0.0, 0.98):
        torch.manual_seed(0)
        plain, under = readouts.FactorizedReadout(SHAPE, 1), copy.deepcopy(core)
        how = readouts.Training(epochs=40, batch=10, learning_rate=0.03, patience=40, average=average)
        history = readouts.fit(plain, maps, y, validation=held, training=how, core=under)
        swing.append(np.abs(np.diff(history.validation[-10:])).mean())
        best.append(history.validation[history.kept])
        predicted = readouts.predict(plain, maps[held], core=under)
        assert np.corrcoef(predicted[:, 0], y[held, 0])[0, 1] == pytest.approx(best[-1], abs=1e-4)
    assert swing[1] < 0.3 * swing[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_a_gpu_gives_what_the_processor_gives():
    rng = np.random.default_rng(0)
    maps, y = rng.standard_normal((60, *SHAPE)).astype(np.float32), rng.standard_normal((60, 2))
    for kind in KINDS:
        predicted = []
        for device in ("cpu", "cuda"):
            torch.manual_seed(0)
            model = kind(SHAPE, 2)
            how = readouts.Training(epochs=2, batch=20)
            readouts.fit(model, maps, y, validation=np.arange(10), training=how, device=device)
            assert next(model.parameters()).device.type == device
            predicted.append(readouts.predict(model, maps))
        if kind is not readouts.PointReadout:  # draws points on its device
            np.testing.assert_allclose(*predicted, atol=1e-3)


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
    with pytest.raises(ModelError, match="0 of 4 samples are for validation"):
        readouts.fit(model, maps, y)
    for wrong in ({"epochs": 0}, {"halve": -1}, {"learning_rate": 0.0}, {"sparsity": np.nan}, {"average": 1.0}):
        with pytest.raises(ModelError, match="must be"):
            readouts.Training(**wrong)
    with pytest.raises(ModelError, match="4 of 4 samples are for validation"):
        readouts.fit(model, maps, y, validation=np.arange(4))
    maps[0, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="maps hold missing values"):
        readouts.fit(model, maps, y, validation=np.arange(1))
    with pytest.raises(ModelError, match="device 'cuda:99' cannot be used"):
        readouts.fit(model, np.zeros_like(maps), y, validation=np.arange(1), device="cuda:99")


def test_queries_start_apart_and_smooth_masks_at_the_middle():
    torch.manual_seed(0)
    row, col = np.indices((4, 4)).reshape(2, -1)
    model = readouts.RoutingEncoder(64, row, col, np.ones((40, 40)))
    assert model.query.std().item() == pytest.approx(1.0, abs=0.05)
    mask = readouts.FactorizedReadout((3, 7, 7), 2, spread=0.5).mask()
    expected = np.exp(-0.5 * (places(7, 7).numpy() ** 2).sum(1) / 0.25)
    np.testing.assert_allclose(mask[0].detach().numpy().ravel(), expected / np.linalg.norm(expected), atol=5e-3)


def bar(angle):
    """Give an image (1, 1, 32, 32) of a bar beside a spot, turned anticlockwise by an angle about its middle."""
    y, x = np.meshgrid(*2 * [np.linspace(-1, 1, 32)], indexing="ij")
    u, v = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    image = np.exp(-(((u - 0.2) / 0.15) ** 2) / 2 - (v / 0.4) ** 2 / 2)
    image -= 0.7 * np.exp(-((u + 0.25) ** 2 + (v - 0.2) ** 2) / 0.03)
    return torch.as_tensor(image[None, None], dtype=torch.float32)


def test_turning_an_image_turns_the_maps_of_a_rotation_core_and_moves_their_orientations_on():
    torch.manual_seed(0)
    core = readouts.RotationCore(1, fields=6, layers=3).eval()
    with torch.no_grad():
        upright, quarter, eighth = (core(bar(angle)).reshape(6, 8, 8, 8) for angle in (0.0, np.pi / 2, np.pi / 4))
    torch.testing.assert_close(quarter, upright.rot90(1, (2, 3)).roll(2, 1), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(quarter, upright.rot90(1, (2, 3)), atol=0.05)  # one of an orientation alone sees it
    seen, turned = (
        upright.sum((2, 3)),
        eighth.sum((2, 3)),
    )  # pixels land between pixels

    def apart(other):
        return float((other - turned).norm() / turned.norm())

    assert apart(seen.roll(1, 1)) < 0.15 < apart(seen) < apart(seen.roll(3, 1))
    with torch.no_grad():
        plain = torch.nn.Conv2d(1, 8, 5, padding="same")(torch.cat([bar(0.0), bar(np.pi / 2)]))
    assert not torch.allclose(plain[1], plain[0].rot90(1, (1, 2)).roll(2, 0), atol=0.05)


def test_a_rotation_core_refuses_sizes_that_it_cannot_turn():
    for arguments in ({"kernel": 4}, {"rotations": 6}, {"fields": 0}, {"pool": 0}):
        with pytest.raises(ModelError, match=r"rotations \d+ a multiple of 4"):
            readouts.RotationCore(1, **arguments)
    core = readouts.RotationCore(1, fields=2, layers=3)
    for shape in ((2, 1, 10, 12), (2, 3, 12, 12), (1, 12, 12)):
        with pytest.raises(ModelError, match="sides that are multiples of 4"):
            core(torch.zeros(shape))
