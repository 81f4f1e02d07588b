"""
What an insect's ear listens to
===============================

A grasshopper's auditory receptor hears a sound, and its spikes are predicted from the envelope of the last
milliseconds: first linearly, then by a Poisson model that also knows when it fired last, then by rate of modulation.
"""

# %%
# Bring sound and spikes onto one clock
# -------------------------------------
# nitime carries the recording [1]_: spike times in microseconds and a sound sampled at 20 kHz.

from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import butter, sosfiltfilt

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import encoding

folder = Path(str(files("nitime").joinpath("data")))
sound = np.loadtxt(folder / "grasshopper_stimulus1.txt")[:200000, 1]
times = np.loadtxt(folder / "grasshopper_spike_times1.txt") * 1e-6
spikes = ni.align.bin_events({"receptor": times}, bin_width=0.001, start=0.0, stop=10.0)
envelope = np.log10(np.sqrt((sound.reshape(-1, 20) ** 2).mean(axis=1)) + 1e-3)
drive = ni.recording(
    envelope[:, None], modality="stimulus", units="1", unit=["envelope"], time=spikes["time"].values,
    attrs={"sampling_rate": 1000.0},
)  # fmt: skip

# %%
# A receptive field in time
# -------------------------
# Scores are of held-out blocks; p-values come from circular shifts of the spikes.

counts = spikes.astype(float)
linear = encoding.evaluate(encoding.ridge(drive, counts, lags=range(15)), counts, draws=199)
print(linear[["pooled_correlation", "p_value"]].to_dataframe())

# %%
# With its own past
# -----------------
# After a spike the receptor is silent for some milliseconds, which no envelope can tell.

alone = encoding.poisson_glm(drive, spikes, lags=range(15), alphas=1e-3)
past = encoding.poisson_glm(drive, spikes, lags=range(15), alphas=1e-3, coupling=range(1, 11))
print(f"deviance explained: {float(alone.score.mean()):.2f}, with its past {float(past.score.mean()):.2f}")

figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
plot.receptive_field(alone, "receptor", axes[0], label="sound, ms before the spike")
own = past.isel(feature=past.feature_kind.values == "coupling")
plot.receptive_field(own, "receptor", axes[1], label="own spikes, ms before")
axes[1].set_ylabel("weight (log rate)")

# %%
# Which modulations it follows
# ----------------------------
# The file holds the amplitude of the sound alone: no carrier, so no pitches, and no spectro-temporal field in the usual
# sense. What there is are modulations of the amplitude, up to some 250 Hz. Cut into bands (of zero phase, so that lags
# stay what they are), they give a field over rate of modulation and time.

edges = (0, 12.5, 25, 50, 100, 200, 400)
names = [f"{low:g} to {high:g} Hz" for low, high in pairwise(edges)]


def band(low: float, high: float) -> np.ndarray:
    """Give what varies between two rates (Hz)."""
    kind, limits = ("lowpass", high) if low == 0 else ("bandpass", (low, high))
    return sosfiltfilt(butter(2, limits, kind, fs=1000.0, output="sos"), envelope)


modulations = drive.isel(unit=[0] * len(names)).assign_coords(unit=np.array(names, dtype=object))
modulations = modulations.copy(data=np.stack([band(*pair) for pair in pairwise(edges)], axis=1))
modulations = ni.statistics.zscore(modulations)  # weights are then of equal changes in each band
field = encoding.evaluate(encoding.ridge(modulations, counts, lags=range(20)), counts, draws=99)
null = encoding.ridge(modulations, ni.surrogate.circular_shift(counts, seed=1), lags=range(20))
r, p = float(field.pooled_correlation[0]), float(field.p_value[0])
print(f"held-out r {r:.2f} (p = {p:.2f}); fitted to shifted spikes {float(null.correlation.mean()):.2f}")

# %%
# Shares of bands
# ---------------
# ``banded_ridge`` gives each band a penalty of its own and splits the held-out r2 between them. More than two thirds
# is owed to modulations above 100 Hz, faster than the receptor fires on average (93 spikes a second).

bands = {name: modulations.isel(unit=[i]) for i, name in enumerate(names)}
split = encoding.banded_ridge(bands, counts, lags=range(20), draws=len(names) + 1)
share = split.band_score.mean("fold").isel(unit=0)
print(share.to_series().round(3))

# %%
# The field is drawn as the mean of each band before a spike, in standard deviations: weights share what neighbouring
# lags of a slow band have in common, and are small there for that reason alone.

before = ni.align.lag(modulations, range(20)).isel(time=slice(19, None)).sel(unit=field["feature"].values)
fired = counts.values[19:]
average = field.assign(weights=field.weights.copy(data=before.values.T @ fired / fired.sum()))
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", width_ratios=[1.6, 1])
plot.receptive_field(average, "receptor", axes[0], label="ms before the spike")
figure.colorbar(axes[0].images[0], ax=axes[0], label="mean (sd)")
axes[1].barh(names, share, color=plot.results.COLOURS[0])
axes[1].set(xlabel="share of the held-out r2", yticks=[])

# %%
# .. [1] Rokem A, et al. (2006) J Neurophysiol 95:2541; Rokem A, Trumpis M, Perez F (2009) Nitime. SciPy 2009.
