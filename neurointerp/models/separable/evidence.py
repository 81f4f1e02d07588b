"""Where and when a separable network found its evidence for a class, in each trial, without gradients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurointerp.errors import ModelError
from neurointerp.models.separable.network import Separable, Statistics

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Evidence(NamedTuple):
    """What `evidence` gives.

    Attributes
    ----------
    fixations
        (fixation, 3): trial, unit and time of each, int.
    heatmap
        (trial, unit, time), fixations spread over time and standardised over each trial; zero without fixations.
    """

    fixations: Indices
    heatmap: Floats


def evidence(
    network: Separable,
    trials: Floats,
    classes: Indices,
    *,
    keep: int = 100,
    statistics: Statistics = "test_batch",
) -> Evidence:
    r"""Find the units and moments that speak most for a class in each trial.

    Of the products :math:`A_{4,ij} W_{ik}` of map i at position j for class k those above the `keep`-th largest of a
    trial are kept, unless the norm turned their sign
    (:math:`\operatorname{sign} A_{4} \ne \operatorname{sign} A_{2}`). Each is traced to the unit p with the largest
    :math:`w_{1,p} \sum_\tau X_{p, j + \tau} w_{2,\tau}` in the direction of :math:`A_2`, at
    the middle of the kernel: a fixation. The heatmap sums, over fixations at (p, q),
    :math:`\exp(-(t - q)^2 / 2 r^2) / (r \sqrt{2 \pi})` for :math:`|t - q| < r`, half the kernel; its mean is
    taken off and it is divided by the root mean square that it had before.

    Parameters
    ----------
    network
        A trained one.
    trials
        (trial, unit, time), float64. With `"test_batch"` statistics all trials of the batch have a part in each map:
        pass those that were classified together.
    classes
        (trial,), the class to explain in each; usually the one predicted.
    keep
        Which largest product bounds those kept: 100 keeps at most 99.
    statistics
        As for the network.

    Returns
    -------
    Evidence
        Fixations and heatmap.

    Raises
    ------
    ModelError
        When shapes do not fit, a class is not there, or `keep` is below 2 or above the number of products.

    References
    ----------
    Cui, Lan, Sourina, Mueller-Wittig (2022), IEEE Trans Neural Netw Learn Syst 34:7921-7933, eqs. 12-15, and the code
    of the authors; kernel, units and length follow the network, where that code has 64, 30 and 384.

    Examples
    --------
    >>> from neurointerp.models.separable import Config, Separable
    >>> network = Separable(Config(units=3, samples=40, kernel=8)).eval()
    >>> trials = np.random.default_rng(0).standard_normal((2, 3, 40))
    >>> evidence(network, trials, np.array([0, 1]), keep=20).heatmap.shape
    (2, 3, 40)
    """
    shape = network.config
    if trials.ndim != 3 or trials.shape[1:] != (shape.units, shape.samples) or classes.shape != trials.shape[:1]:
        raise ModelError(f"evidence: trials {trials.shape}, classes {classes.shape} do not fit {shape}")
    if classes.size and (classes.min() < 0 or classes.max() >= shape.classes):
        raise ModelError(f"evidence: classes must lie from 0 to {shape.classes - 1}")
    points = shape.filters * shape.kernels * (shape.samples - shape.kernel + 1)
    if not 2 <= keep <= points:
        raise ModelError(f"evidence: keep is {keep}; between 2 and the {points} products of a trial is needed")
    with torch.no_grad():
        device = network.readout.weight.device
        filtered = network.filtered(torch.from_numpy(np.ascontiguousarray(trials)).to(device))
        final = network.normalised(filtered, statistics)
    second, fourth = filtered.cpu().numpy(), final.cpu().numpy()
    readout = network.readout.weight.detach().cpu().numpy()
    spatial = network.spatial.weight.detach().cpu().numpy()[:, :, 0]
    temporal = network.temporal.weight.detach().cpu().numpy()[:, 0]
    found = []
    for trial, chosen in enumerate(classes):
        product = fourth[trial] * readout[chosen][:, None]
        bar = np.partition(product.ravel(), -keep)[-keep]
        maps, starts = np.nonzero((product > bar) & (np.sign(fourth[trial]) == np.sign(second[trial])))
        units = _traced(
            trials[trial], spatial[maps // shape.kernels], temporal[maps], starts, second[trial][maps, starts]
        )
        found.append(np.stack([np.full(maps.size, trial), units, starts + shape.kernel // 2], axis=1))
    fixations = np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)
    return Evidence(fixations.astype(np.int64), _heatmap(fixations, trials.shape, max(shape.kernel // 2, 1)))


def _traced(trial: Floats, spatial: Floats, temporal: Floats, starts: Indices, value: Floats) -> Indices:
    """Give the unit that contributed most to each value, by its filter (point, unit) and kernel (point, lag)."""
    pieces = np.lib.stride_tricks.sliding_window_view(trial, temporal.shape[1], axis=1)[:, starts]  # (unit, point, lag)
    score = spatial * np.einsum("upl,pl->pu", pieces, temporal)
    unit: Indices = (score * np.sign(value)[:, None]).argmax(axis=1)
    return unit


def _heatmap(fixations: Indices, shape: tuple[int, ...], reach: int) -> Floats:
    """Spread fixations over time and standardise each trial."""
    counts = np.zeros(shape)
    np.add.at(counts, tuple(fixations.T), 1.0)
    lag = np.arange(1 - reach, reach)
    bump = np.exp(-(lag**2) / (2 * reach**2)) / (reach * np.sqrt(2 * np.pi))
    spread = np.zeros(shape)
    for step, weight in zip(lag.tolist(), bump.tolist(), strict=True):
        first, last = max(step, 0), shape[2] + min(step, 0)
        if first < last:
            spread[..., first:last] += weight * counts[..., first - step : last - step]
    centred = spread - spread.mean(axis=(1, 2), keepdims=True)
    size = np.sqrt((spread * spread).mean(axis=(1, 2), keepdims=True))
    found: Floats = centred / np.where(size > 0, size, 1.0)
    return found
