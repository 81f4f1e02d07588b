"""Equal computation, unequal representation: small networks trained on an easy and a hard feature."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import neurointerp as ni
from neurointerp.analyses import factorization, geometry

pytestmark = pytest.mark.slow
SEEDS = range(5)
BITS, SAMPLES, BATCH = 32, 16384, 256


def representation(values, **levels):
    return ni.recording(
        values, modality="activations", units="1", dims=("trial", "unit"),
        coords={"stimulus": ("trial", np.arange(len(values))), **{n: ("trial", v) for n, v in levels.items()}},
    )  # fmt: skip


def bits(seed, samples=SAMPLES):
    return np.random.default_rng([7, seed]).choice([-1.0, 1.0], (samples, BITS)).astype(np.float32)


def easy(x, first=0):
    """Threshold of four bits, ties broken by a fifth, so that both answers are equally likely."""
    return (x[:, first : first + 4].sum(axis=1) + 0.5 * x[:, first + 4] > 0).astype(np.float32)


def xor(x, first=16):
    return (x[:, first] * x[:, first + 1] > 0).astype(np.float32)


def train(seed, tasks, *, stages=None, labelled=None, most=6000):
    """Train a 32-256-128-64 network with one output per task until it masters all, and as long again twice."""
    torch.manual_seed(seed)
    widths = (BITS, 256, 128, 64)
    layers = [part for a, b in pairwise(widths) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    body, head = torch.nn.Sequential(*layers), torch.nn.Linear(64, len(tasks))
    x = bits(seed)
    y = np.stack([task(x) for task in tasks], axis=1)
    known = np.ones_like(y)
    for column, share in enumerate(labelled or ()):
        known[:, column] = np.random.default_rng([8, seed, column]).random(len(x)) < share
    x, y, known = map(torch.from_numpy, (x, y, known))
    optimiser = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=1e-3)
    order = np.random.default_rng([9, seed])
    for used in stages or [range(len(tasks))]:
        used, step, until = list(used), 0, most
        while step < until:
            rows = torch.from_numpy(order.integers(0, len(x), BATCH))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                head(body(x[rows]))[:, used], y[rows][:, used], weight=known[rows][:, used]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            if until == most and step % 100 == 0 and accuracy(body, head, tasks, seed)[used].min() >= 0.99:
                until = min(3 * step, most)
    return body, head


@torch.no_grad()
def accuracy(body, head, tasks, seed):
    x = bits(100 + seed, 2048)
    right = (head(body(torch.from_numpy(x))).numpy() > 0) == np.stack([task(x) for task in tasks], axis=1)
    return right.mean(axis=0)


@torch.no_grad()
def recorded(body, tasks, seed, samples=4096):
    x = bits(200 + seed, samples)
    values = body(torch.from_numpy(x)).numpy().astype(np.float64)
    return representation(values, **{name: task(x) for name, task in tasks.items()})


def ratio(seed, tasks, names=("easy", "hard"), **options):
    body, head = train(seed, tasks, **options)
    assert accuracy(body, head, tasks, seed).min() >= 0.99
    found = geometry.feature_variance(recorded(body, dict(zip(names, tasks, strict=True)), seed), names)
    return float(found.r2[0] / found.r2[1]), found


@pytest.fixture(scope="module")
def trained():
    """Give networks that compute both features."""
    return [train(seed, (easy, xor)) for seed in SEEDS]


def shares(models):
    recs = [recorded(body, {"easy": easy, "hard": xor}, seed) for seed, (body, _) in enumerate(models)]
    return [geometry.feature_variance(rec, ["easy", "hard"]) for rec in recs]


def test_an_easy_feature_holds_more_variance_than_a_hard_one_known_as_well(trained):
    for seed, (body, head) in enumerate(trained):
        assert accuracy(body, head, (easy, xor), seed).min() >= 0.99
    found = shares(trained)
    ratios = [float(one.r2[0] / one.r2[1]) for one in found]
    assert np.median(ratios) >= 2
    assert min(ratios) > 1
    assert all("'easy' holds" in one.attrs["warning"] for one in found)
    same = [ratio(seed, (easy, lambda x: easy(x, 16)))[0] for seed in SEEDS]
    assert 0.8 <= np.median(same) <= 1.25


def test_learning_the_hard_feature_first_narrows_the_gap_and_does_not_close_it(trained):
    first = [ratio(seed, (easy, xor), stages=[[1], [0, 1]])[0] for seed in SEEDS]
    assert np.median(first) > 1
    both = [float(one.r2[0] / one.r2[1]) for one in shares(trained)]
    if sum(a < b for a, b in zip(first, both, strict=True)) < 4:
        pytest.xfail("not reproduced: learning the hard feature first was to narrow the gap, and widens it here")


def test_a_feature_that_is_labelled_more_often_holds_more(trained):
    found = [ratio(seed, (easy, lambda x: easy(x, 16)), labelled=(0.9, 0.1))[0] for seed in SEEDS]
    assert np.median(found) >= 1.3


def test_a_small_share_of_variance_does_not_mean_a_small_effect(trained):
    """Move each input against its own level along the difference of means until half of the outputs flip.

    The hard feature, with less than half of the variance, needs the smaller dose (in raw units).
    """
    ratios, specific = [], []
    for seed, (body, head) in enumerate(trained):
        x = bits(300 + seed, 2048)
        with torch.no_grad():
            phi = body(torch.from_numpy(x))
            doses = []
            for column, level in enumerate((easy(x), xor(x))):
                means = [phi.numpy()[level == side].mean(axis=0) for side in (0, 1)]
                away = torch.from_numpy((1 - 2 * level)[:, None] * (means[1] - means[0]))
                for dose in np.linspace(0, 3, 301):
                    out = head(phi + dose * away)
                    if ((out[:, column] > 0).numpy() != (level > 0)).mean() >= 0.5:
                        break
                doses.append(dose * float(away[0].norm()))
                other = 1 - column
                specific.append(float(((out[:, other] > 0) == (head(phi)[:, other] > 0)).float().mean()))
        ratios.append(doses[1] / doses[0])
    assert np.median(specific) >= 0.95
    assert np.median(ratios) < 1
    if np.median(ratios) > 0.8:
        pytest.xfail(
            f"not reached: a dose of 0.8 times the easy one's was hoped for, {np.median(ratios):.2f} was found"
        )


def test_networks_of_one_hard_task_are_less_alike_than_of_a_hard_and_an_easy_one(trained):
    hard = [train(seed, (xor,)) for seed in SEEDS]
    plain = [train(50 + seed, (easy,)) for seed in SEEDS]
    x = bits(400, 512)

    def patterns(models, name):
        with torch.no_grad():
            return {
                f"{name}{i}": representation(
                    body(torch.from_numpy(x)).numpy().astype(np.float64), easy=easy(x), hard=xor(x)
                )
                for i, (body, _) in enumerate(models)
            }

    recs = patterns(hard, "hard") | patterns(trained, "both") | patterns(plain, "easy")
    found = geometry.rsa(recs, metric="euclidean", permutations=0).similarity

    def block(one, other):
        return found.sel(recording=[f"{one}{i}" for i in SEEDS], recording2=[f"{other}{i}" for i in SEEDS]).values

    alike, across = block("hard", "hard")[np.triu_indices(5, 1)], block("both", "easy").ravel()
    assert alike.mean() < across.mean()
    rng = np.random.default_rng(0)
    pooled = np.concatenate([alike, across])
    null = [np.diff([part.mean() for part in np.split(rng.permutation(pooled), [alike.size])])[0] for _ in range(999)]
    assert (1 + np.sum(np.array(null) >= across.mean() - alike.mean())) / 1000 < 0.01
    audited = geometry.audit(
        geometry.rsa({n: recs[n] for n in ("both0", "easy0")}, metric="euclidean", permutations=0),
        {"both0": recs["both0"]}, ["easy", "hard"],
    )  # fmt: skip
    assert "do not read importance from variance" in audited.attrs["bias_warning"]


def test_a_code_of_few_components_keeps_the_easy_feature_and_loses_the_hard_one(trained):
    from sklearn.linear_model import LogisticRegression

    body, _ = trained[0]
    rec = recorded(body, {"easy": easy, "hard": xor}, 0)
    half = rec.sizes["trial"] // 2
    for method in ("pca", "nmf", "semi_nmf"):
        for k in range(1, 20):
            options = {"keep_fraction": 1.0} if method == "semi_nmf" else {}
            code = getattr(factorization, method)(rec, k, **options)["coefficients"].values
            scores = [
                LogisticRegression(max_iter=2000).fit(code[:half], y[:half]).score(code[half:], y[half:])
                for y in (rec["easy"].values, rec["hard"].values)
            ]
            if scores[0] >= 0.95:
                break
        assert scores[0] >= 0.95, method
        assert scores[1] <= 0.75, (method, k, scores)


def test_the_ratio_of_shares_is_recovered_from_noisy_spike_counts():
    """A linear-nonlinear population with Poisson noise; the noise is taken off by the mean of repeats."""
    rng = np.random.default_rng(0)
    x = bits(500, 500)
    levels = {"easy": easy(x), "hard": xor(x)}
    drive = 0.6 * np.outer(2 * levels["easy"] - 1, rng.standard_normal(60))
    drive += 0.3 * np.outer(2 * levels["hard"] - 1, rng.standard_normal(60))
    rate = np.exp(1.0 + drive)
    truth = geometry.feature_variance(representation(rate, **levels), ["easy", "hard"])
    counts = rng.poisson(rate).astype(np.float64)
    found = geometry.feature_variance(representation(counts, **levels), ["easy", "hard"])
    expected, ours = (float(one.r2[0] / one.r2[1]) for one in (truth, found))
    assert ours == pytest.approx(expected, rel=0.25)
