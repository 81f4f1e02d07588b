"""Responders, torch models and fitted encoding models alike, and the stimuli that drive them."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import models
from neurointerp.analyses import encoding
from neurointerp.loaders import activations


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def net(torch):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(4, 6, 3, padding=1)]
    return torch.nn.Sequential(*layers)


def test_a_model_answers_as_it_is_recorded(net, small_model, torch):
    images = torch.randn(5, 1, 8, 8)
    one = models.responder(net, sites={"map": "2"})
    rec = activations.record(net, images, sites={"map": "2"}, pool="mean")
    np.testing.assert_allclose(one.respond(images).detach(), rec.values, atol=1e-6)
    assert list(one.unit) == rec.unit.values.tolist()
    assert isinstance(one, models.Responder)
    some = models.responder(net, sites={"map": "2"}, units=["L2.map.4", "L2.map.1"])
    assert torch.equal(some.respond(images), one.respond(images)[:, [4, 1]])
    with pytest.raises(ni.ModelError, match=r"no unit 'L2.map.6' at the sites; they are 'L2.map.0' to 'L2.map.5'"):
        models.responder(net, sites={"map": "2"}, units=["L2.map.6"]).respond(images)
    vit = small_model("vit")
    pixels = torch.randn(2, 3, 12, 12)
    first = models.responder(vit, sites="L1.resid.post", pool="first").respond(pixels)
    rec = activations.record(vit, pixels, sites="L1.resid.post", pool="first")
    np.testing.assert_allclose(first.detach(), rec.values, atol=1e-6)


def test_a_fitted_encoding_model_answers_as_it_predicts(net, torch):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.standard_normal((80, 1, 8, 8)).astype(np.float32))
    features = activations.record(net, images, sites={"map": "2"}, pool="mean", dtype="float64")
    truth = rng.standard_normal((6, 3))
    values = features.values @ truth * 50 + 0.1 * rng.standard_normal((80, 3)) + [1.0, 2.0, 3.0]
    responses = ni.recording(
        values, modality="fmri", units="1", dims=("trial", "unit"), unit=["v0", "v1", "v2"],
        coords={"stimulus": ("trial", features.stimulus.values)},
    )  # fmt: skip
    found = encoding.ridge(features, responses, alphas=[1e-6])
    network = models.responder(net.double(), sites={"map": "2"})
    voxels = models.fitted(found, features=network)
    assert isinstance(voxels, models.Responder)
    assert voxels.unit == ("v0", "v1", "v2")
    answer = voxels.respond(images.double()).detach().numpy()
    expected = features.values @ found.weights.values + found.intercept.values
    np.testing.assert_allclose(answer, expected, atol=1e-8)
    assert np.corrcoef(answer[:, 0], values[:, 0])[0, 1] > 0.9
    direct = models.fitted(found).respond(torch.from_numpy(features.values))
    np.testing.assert_allclose(direct, expected, atol=1e-8)
    with pytest.raises(ni.ModelError, match=r"stimuli have shape \(2, 5\); \(stimulus, 6\) is needed"):
        models.fitted(found).respond(torch.zeros(2, 5))
    other = models.responder(net, sites={"other": "2"})
    with pytest.raises(ni.ModelError, match=r"the features lack 6 of the encoding model, such as 'L2.map.0'"):
        models.fitted(found, features=other).respond(images.double())
    driven = models.optimise(voxels, images[:2].double(), lambda r: r[:, 1].sum(), steps=30, bounds=(-1.0, 1.0))
    assert (driven.response[:, 1] > answer[:2, 1] + 1).all()
    assert driven.response.unit.values.tolist() == ["v0", "v1", "v2"]


def test_an_encoding_model_with_lags_is_refused(recordings):
    found = encoding.ridge(recordings["calcium"], recordings["eeg"], lags=[0, 1])
    with pytest.raises(ni.ModelError, match=r"has lags \[0, 1\]"):
        models.fitted(found)
    with pytest.raises(ni.ModelError, match="no intercept and no weights"):
        models.fitted(found[["score"]])


def test_the_best_stimulus_of_a_linear_unit_is_known(torch):
    torch.manual_seed(0)
    linear = torch.nn.Linear(12, 3).double()
    unit = models.responder(linear, sites="")
    start = torch.randn(2, 12, dtype=torch.float64)
    weight, bias = linear.weight[1].detach(), linear.bias[1].detach()
    ball = models.optimise(unit, start, lambda r: r[:, 1].sum(), norm=2.0, steps=400)
    np.testing.assert_allclose(ball.stimulus, (2 * weight / weight.norm()).expand(2, 12), atol=2e-3)
    np.testing.assert_allclose(ball.response[:, 1], 2 * weight.norm() + bias, atol=1e-4)
    box = models.optimise(unit, start, lambda r: r[:, 1].sum(), bounds=(-0.5, 0.25), rate=3.0)
    np.testing.assert_allclose(box.stimulus, torch.where(weight > 0, 0.25, -0.5).expand(2, 12), atol=1e-9)
    assert (np.diff(ball.objective) > -1e-6).mean() > 0.9
    again = models.optimise(unit, start, lambda r: r[:, 1].sum(), norm=2.0, steps=400)
    assert ni.digest(again) == ni.digest(ball)


def test_total_variation_smooths_and_jitter_depends_on_the_seed_alone(net, torch):
    unit = models.responder(net, sites={"map": "2"}, units=["L2.map.0"])
    start = 0.1 * torch.randn(1, 1, 10, 10)
    rough = models.optimise(unit, start, lambda r: r.sum(), steps=60, norm=3.0)
    smooth = models.optimise(unit, start, lambda r: r.sum(), steps=60, norm=3.0, total_variation=0.5)

    def variation(found):
        image = found.stimulus.values[0, 0]
        return np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean()

    assert variation(smooth) < 0.6 * variation(rough)
    assert rough.stimulus.dims == ("stimulus", "channel", "row", "col")
    one, two, three = (
        models.optimise(unit, start, lambda r: r.sum(), steps=10, jitter=2, seed=seed) for seed in (0, 0, 1)
    )
    assert ni.digest(one) == ni.digest(two) != ni.digest(three)
    assert torch.equal(start, start.detach())


@pytest.mark.parametrize(
    ("start", "options", "message"),
    [
        ((2,), {}, r"start has shape \(2,\)"),
        ((2, 3), {"jitter": 1}, "jitter is for images"),
        ((2, 3), {"rate": -1.0}, "rate is -1.0"),
        ((2, 3), {"bounds": (1.0, 0.0)}, r"bounds are \(1.0, 0.0\): above 0, and the lower one first"),
        ((2, 3), {"norm": 0.0}, "norm above 0"),
        ((2, 3), {"steps": 0}, "steps must be at least 1"),
    ],
)
def test_odd_settings_are_refused(start, options, message, torch):
    unit = models.responder(torch.nn.Linear(3, 1), sites="")
    with pytest.raises(ni.ModelError, match=message):
        models.optimise(unit, torch.zeros(start), lambda r: r.sum(), **options)
    with pytest.raises(ni.ModelError, match="one number"):
        models.optimise(unit, torch.zeros(2, 3), lambda r: r)


def test_a_start_without_a_slope_is_refused_by_its_place(torch):
    """A rectified unit that is silent at the start gives no direction; the start would come back as the answer."""
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(layer.weight, 1.0)
    torch.nn.init.constant_(layer.bias, 0.0)
    unit = models.responder(torch.nn.Sequential(layer, torch.nn.ReLU()), sites="")
    with pytest.raises(ni.ModelError, match=r"1 of 2 stimuli \(first: stimulus 1\)"):
        models.optimise(unit, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), lambda r: r.sum())
