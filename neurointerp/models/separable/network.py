"""The network: a filter over units, a filter over time, and what is left of time averaged."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurointerp.errors import ModelError
from neurointerp.models.running import usable_device

Statistics = Literal["test_batch", "running"]
STATISTICS: tuple[Statistics, Statistics] = ("test_batch", "running")


@dataclasses.dataclass(frozen=True)
class Config:
    """The shape of a network.

    Attributes
    ----------
    units, samples, classes
        Size of a trial, and how many classes it is told into.
    filters, kernels, kernel
        Filters over units, temporal kernels on each, and the length of these in samples.
    """

    units: int
    samples: int
    classes: int = 2
    filters: int = 16
    kernels: int = 2
    kernel: int = 64

    def __post_init__(self) -> None:
        if min(self.units, self.filters, self.kernels, self.kernel) < 1 or self.classes < 2:
            raise ModelError(f"separable: sizes must be at least 1, classes at least 2; found {self}")
        if self.samples < self.kernel:
            raise ModelError(
                f"separable: trials of {self.samples} samples are shorter than the kernel of {self.kernel}; pass a "
                "shorter one"
            )


class Separable(nn.Module):
    r"""The compact separable network for trials (trial, unit, time).

    .. math:: A_2 = w_2 \star (w_1 X), \quad A_4 = \operatorname{norm}(\max(A_2, 0)), \quad
        \log p = \operatorname{logsoftmax}(W \langle A_4 \rangle_t + b)

    Filters over units come before those over time, the rectifier before the norm. With 30 units and the default sizes
    it has 2,706 parameters.

    Parameters
    ----------
    config
        The shape.
    seed
        Seed of the weights, drawn as torch draws them for its layers.

    References
    ----------
    Cui, Lan, Sourina, Mueller-Wittig (2022), EEG-based cross-subject driver drowsiness recognition with an
    interpretable convolutional neural network, IEEE Trans Neural Netw Learn Syst 34:7921-7933. Deviation: the temporal
    convolution is a product of Fourier transforms, equal to 1e-12 and several times faster on a CPU in float64.

    Examples
    --------
    >>> sum(p.numel() for p in Separable(Config(units=30, samples=384)).parameters())
    2706
    """

    def __init__(self, config: Config, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.spatial = nn.Conv1d(config.units, config.filters, 1)
            maps = config.filters * config.kernels
            self.temporal = nn.Conv1d(config.filters, maps, config.kernel, groups=config.filters)
            self.norm = nn.BatchNorm1d(maps, momentum=None)  # running statistics: the mean over all batches seen
            self.readout = nn.Linear(maps, config.classes)
        self.double()

    def filtered(self, trials: Tensor) -> Tensor:
        """Give A2 (trial, map, position) of trials (trial, unit, time)."""
        spatial: Any = self.spatial.bias
        temporal: Any = self.temporal.bias
        mixed = torch.einsum("fu,nut->nft", self.spatial.weight[:, :, 0], trials) + spatial[:, None]
        size = self.config.samples
        spectrum = torch.fft.rfft(mixed, size).repeat_interleave(self.config.kernels, 1)
        kernel = torch.fft.rfft(self.temporal.weight[:, 0], size).conj()
        whole: Tensor = torch.fft.irfft(spectrum * kernel, size)
        valid: Tensor = whole[..., : size - self.config.kernel + 1] + temporal[:, None]
        return valid

    def normalised(self, filtered: Tensor, statistics: Statistics) -> Tensor:
        """Give A4: rectified, and normalised by the statistics of these trials or by those kept from training."""
        rectified = functional.relu(filtered)
        weight, bias, eps = self.norm.weight, self.norm.bias, self.norm.eps
        if statistics == "test_batch":
            return functional.batch_norm(rectified, None, None, weight, bias, True, 0.0, eps)
        mean, variance = self.norm.running_mean, self.norm.running_var
        return functional.batch_norm(rectified, mean, variance, weight, bias, False, 0.0, eps)

    def forward(self, trials: Tensor, statistics: Statistics = "test_batch") -> Tensor:
        """Give log-probabilities (trial, class)."""
        if self.training:
            pooled = self.norm(functional.relu(self.filtered(trials))).mean(dim=2)
        else:
            pooled = self.normalised(self.filtered(trials), statistics).mean(dim=2)
        return functional.log_softmax(self.readout(pooled), dim=1)


def train(
    trials: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    config: Config | None = None,
    epochs: int = 11,
    batch_size: int = 50,
    learning_rate: float = 1e-3,
    device: str = "cpu",
    seed: int = 0,
) -> Separable:
    """Train a network on trials: negative log likelihood, Adam, a fixed number of epochs, nothing chosen by testing.

    Parameters
    ----------
    trials
        (trial, unit, time), in units of about 1 (microvolts, z-scores); no missing values.
    labels
        (trial,), class numbers from 0.
    config
        The shape; by default that of the trials and the published sizes.
    epochs, batch_size, learning_rate
        The published ones by default. The order of trials is drawn anew in each epoch.
    device
        Where to train; the network comes back on it.
    seed
        Seed of the weights and the order.

    Returns
    -------
    Separable
        In evaluation mode, float64. `norm` keeps the mean over the statistics of all batches of the last epoch.

    Raises
    ------
    ModelError
        When trials and labels do not fit each other or the shape, values are not finite, or a number is too small.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(80) % 2
    >>> trials = rng.standard_normal((80, 4, 50)) + labels[:, None, None] * np.sin(np.arange(50))
    >>> network = train(trials, labels, config=Config(4, 50, filters=2, kernel=10), epochs=20, batch_size=16)
    >>> predicted = network(torch.from_numpy(trials)).argmax(1).numpy()
    >>> bool((predicted == labels).mean() > 0.9)
    True
    """
    shape = config or Config(trials.shape[1], trials.shape[2], max(int(labels.max()) + 1, 2))
    _require(trials, labels, shape, epochs, batch_size, learning_rate)
    network = Separable(shape, seed=seed).to(usable_device(device))
    x, y = torch.from_numpy(np.ascontiguousarray(trials)).to(device), torch.from_numpy(labels).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    order = torch.Generator().manual_seed(seed)
    network.train()
    for epoch in range(epochs):
        if epoch == epochs - 1:
            network.norm.reset_running_stats()  # those of weights that are nearly the last
        for batch in torch.split(torch.randperm(len(x), generator=order).to(device), batch_size):
            optimiser.zero_grad()
            loss: Any = functional.nll_loss(network(x[batch]), y[batch])
            loss.backward()
            optimiser.step()
    return network.eval()


def _require(
    trials: NDArray[np.float64], labels: NDArray[np.int64], shape: Config, epochs: int, batch: int, rate: float
) -> None:
    if trials.ndim != 3 or trials.shape[1:] != (shape.units, shape.samples) or labels.shape != trials.shape[:1]:
        raise ModelError(
            f"separable: trials of shape {trials.shape} and labels of {labels.shape}; (trial, {shape.units}, "
            f"{shape.samples}) and (trial,) are needed"
        )
    if labels.dtype.kind not in "iu" or not labels.size or labels.min() < 0 or labels.max() >= shape.classes:
        raise ModelError(f"separable: labels must be whole numbers from 0 below {shape.classes}")
    bad = int((~np.isfinite(trials)).sum())
    if bad or trials.dtype != np.float64:
        raise ModelError(f"separable: float64 is needed, found {trials.dtype} with {bad} values that are not finite")
    if epochs < 1 or batch < 2 or rate <= 0:
        raise ModelError(
            f"separable: epochs {epochs}, batch_size {batch}, learning_rate {rate}: at least 1, at least 2 and above 0"
        )
