"""
What an insect's ear listens to
===============================

A grasshopper's auditory receptor hears a sound, and its spikes are predicted from the envelope of the last
milliseconds: first linearly, then by a Poisson model that also knows when it fired last.
"""

# %%
# Bring sound and spikes onto one clock
# -------------------------------------
# nitime carries the recording [1]_: spike times in microseconds and a sound sampled at 20 kHz.

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

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
# Bands
# -----
# Two feature spaces, of which some units read one, some both. Shares of the held-out r2 sum to the whole.

tree = ni.synthetic.linear_responses(n_samples=400, n_features=12, n_units=16, snr=2.0)
features, responses = (tree[f"recordings/{name}/recording"] for name in ("features", "responses"))
bands = {"first four": features.isel(unit=slice(4)), "other eight": features.isel(unit=slice(4, None))}
found = encoding.banded_ridge(bands, responses, draws=6)
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
plot.band_scores(found, axis)

# %%
# .. [1] Rokem A, et al. (2006) J Neurophysiol 95:2541; Rokem A, Trumpis M, Perez F (2009) Nitime. SciPy 2009.
