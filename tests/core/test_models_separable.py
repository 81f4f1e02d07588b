"""The separable network against torch's own layers, and its evidence against plain loops."""

import numpy as np
import pytest
import torch
from torch import nn

import neurointerp as ni
from neurointerp.models.separable import Config, Separable, evidence, train

SMALL = Config(units=5, samples=60, filters=3, kernel=9)


class Published(nn.Module):
    """The seven layers as they are published, of torch's own modules and in two dimensions."""

    def __init__(self, network):
        super().__init__()
        shape = network.config
        self.pointwise = nn.Conv2d(1, shape.filters, (shape.units, 1))
        self.depthwise = nn.Conv2d(shape.filters, 2 * shape.filters, (1, shape.kernel), groups=shape.filters)
        self.norm = nn.BatchNorm2d(2 * shape.filters, track_running_stats=False)
        self.linear = nn.Linear(2 * shape.filters, shape.classes)
        with torch.no_grad():
            for mine, theirs in zip(self.parameters(), network.parameters(), strict=True):
                mine.copy_(theirs.reshape(mine.shape))
        self.double()

    def forward(self, x):
        x = torch.relu(self.depthwise(self.pointwise(x[:, None])))
        return torch.log_softmax(self.linear(self.norm(x).mean(dim=(2, 3))), dim=1)


def trials(count=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, SMALL.units, SMALL.samples))


def test_outputs_and_gradients_are_those_of_the_published_layers():
    network = Separable(SMALL, seed=3)
    reference, x = Published(network), torch.from_numpy(trials())
    for module in (network, reference):
        module(x)[:, 1].sum().backward()
    torch.testing.assert_close(network(x), reference(x), rtol=1e-10, atol=1e-12)
    network.eval()
    torch.testing.assert_close(network(x, "test_batch"), reference(x), rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad.reshape(theirs.shape), theirs.grad, rtol=1e-8, atol=1e-10)


def test_the_published_size_has_2706_parameters():
    assert sum(p.numel() for p in Separable(Config(units=30, samples=384)).parameters()) == 2706


def test_training_is_the_same_for_a_seed_and_leaves_the_global_generator_alone():
    x, y = trials(20), np.arange(20) % 2
    state = torch.random.get_rng_state()
    first, again, other = (train(x, y, config=SMALL, epochs=2, batch_size=8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, two in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first.readout.weight, other.readout.weight)


def test_running_statistics_stand_alone_and_those_of_the_batch_do_not():
    network = train(trials(40), np.arange(40) % 2, config=SMALL, epochs=2, batch_size=8)
    x = torch.from_numpy(trials(9, seed=5))
    with torch.no_grad():
        for statistics, alone in (("running", True), ("test_batch", False)):
            together, single = network(x, statistics), torch.cat([network(one[None], statistics) for one in x])
            assert torch.allclose(together, single, atol=1e-10) is alone
        rectified = torch.relu(network.filtered(torch.from_numpy(trials(40))))
        # the mean over batches of the last epoch, of weights that moved little
        torch.testing.assert_close(network.norm.running_mean, rectified.mean(dim=(0, 2)), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("kernel", [9, 10])
def test_evidence_is_that_of_plain_loops(kernel):
    shape = Config(units=5, samples=60, filters=3, kernel=kernel)
    network = train(trials(30), np.arange(30) % 2, config=shape, epochs=2, batch_size=8)
    x, chosen, keep = trials(6, seed=9), np.array([0, 1, 1, 0, 1, 0]), 25
    found = evidence(network, x, chosen, keep=keep)
    with torch.no_grad():
        second = network.filtered(torch.from_numpy(x))
        fourth = network.normalised(second, "test_batch").numpy()
    second, weights = second.numpy(), {name: p.detach().numpy() for name, p in network.named_parameters()}
    fixations, reach = [], kernel // 2
    heat = np.zeros_like(x)
    for n in range(6):
        cam = fourth[n] * weights["readout.weight"][chosen[n]][:, None]
        bar = np.sort(cam.ravel())[-keep]
        for i in range(6):
            for j in range(60 - kernel + 1):
                if cam[i, j] <= bar or np.sign(fourth[n, i, j]) != np.sign(second[n, i, j]):
                    continue
                score = [
                    weights["spatial.weight"][i // 2, p, 0]
                    * sum(x[n, p, j + t] * weights["temporal.weight"][i, 0, t] for t in range(kernel))
                    for p in range(5)
                ]
                p, q = int(np.argmax(np.array(score) * np.sign(second[n, i, j]))), j + reach
                fixations.append((n, p, q))
                for t in range(60):
                    if abs(t - q) < reach:
                        heat[n, p, t] += np.exp(-((t - q) ** 2) / (2 * reach**2)) / (reach * np.sqrt(2 * np.pi))
    assert len(fixations) > 50
    assert sorted(fixations) == sorted(map(tuple, found.fixations.tolist()))
    standard = (heat - heat.mean((1, 2), keepdims=True)) / np.sqrt((heat**2).mean((1, 2), keepdims=True))
    np.testing.assert_allclose(found.heatmap, standard, atol=1e-10)


def test_evidence_lies_on_what_tells_the_classes_apart():
    rng = np.random.default_rng(0)
    labels, x = np.arange(200) % 2, rng.standard_normal((200, 5, 60))
    start = rng.integers(5, 40, 200)
    for n in np.flatnonzero(labels):
        x[n, 2, start[n] : start[n] + 15] += 3 * np.sin(np.arange(15) * 2 * np.pi / 5)
    network = train(x[:150], labels[:150], config=SMALL, epochs=25, batch_size=16, learning_rate=5e-3)
    with torch.no_grad():
        predicted = network(torch.from_numpy(x[150:])).argmax(1).numpy()
    assert (predicted == labels[150:]).mean() > 0.9
    found = evidence(network, x[150:], predicted, keep=20).fixations
    found = found[(predicted == 1)[found[:, 0]] & (labels[150:] == 1)[found[:, 0]]]
    begun = found[:, 2] - start[150:][found[:, 0]]
    assert ((found[:, 1] == 2) & (begun >= -5) & (begun < 20)).mean() > 0.9


def test_bad_input_is_refused():
    x, y = trials(10), np.arange(10) % 2
    for arguments, message in [
        ({"config": Config(4, 60, filters=2, kernel=5)}, r"\(trial, 4, 60\) and \(trial,\) are needed"),
        ({"epochs": 0}, "epochs 0"),
        ({"batch_size": 1}, "batch_size 1"),
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
    ]:
        with pytest.raises(ni.NeurointerpError, match=message):
            train(x, y, **({"config": SMALL} | arguments))
    with pytest.raises(ni.NeurointerpError, match="shorter than the kernel of 64"):
        train(x, y)
    holed = x.copy()
    holed[3, 0, 7] = np.nan
    with pytest.raises(ni.NeurointerpError, match="1 values that are not finite"):
        train(holed, y, config=SMALL)
    with pytest.raises(ni.NeurointerpError, match="whole numbers from 0 below 2"):
        train(x, y + 1, config=SMALL)
    network = Separable(SMALL)
    for classes, keep, message in [
        (np.zeros(9, dtype=int), 20, "do not fit"),
        (np.full(10, 2), 20, "classes must lie from 0 to 1"),
        (np.zeros(10, dtype=int), 1, "keep is 1"),
        (np.zeros(10, dtype=int), 10_000, "keep is 10000"),
    ]:
        with pytest.raises(ni.NeurointerpError, match=message):
            evidence(network, x, classes, keep=keep)
