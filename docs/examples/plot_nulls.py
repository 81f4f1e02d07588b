"""
What each surrogate keeps, and what it destroys
===============================================

Two units share a skewed signal, the second with a delay. Five surrogates are drawn of them, and each is looked at in
four ways: the traces, the values, the spectrum, and the relation of the two at every lag.
"""

# %%
# Two units that share something
# ------------------------------
# The signal is the exponential of a slow noise: it has bursts, more of them upwards than downwards. The second unit
# follows the first after 0.4 s.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter1d

import neurointerp as ni
from neurointerp import surrogate

rate, samples = 20.0, 2400
rng = np.random.default_rng(2)
shared = gaussian_filter1d(rng.standard_normal(samples + 8), 4)
shared = np.exp(shared / shared.std())
values = np.stack([shared[8:], shared[:-8]], axis=1) + 0.3 * rng.standard_normal((samples, 2))
rec = ni.recording(values, modality="calcium", units="1", sampling_rate=rate, unit=["first", "second"])

drawn = {
    "data": rec,
    "circular_shift": surrogate.circular_shift(rec, seed=0),
    "phase_randomize": surrogate.phase_randomize(rec, seed=0),
    "phase_randomize,\nindependent=False": surrogate.phase_randomize(rec, independent=False, seed=0),
    "iaaft": surrogate.iaaft(rec, seed=0),
}


def spectrum(one):
    """Give the power of the first unit, averaged over eight neighbouring frequencies."""
    values = one.values[:, 0] - one.values[:, 0].mean()
    return (np.abs(np.fft.rfft(values)[1:]) ** 2).reshape(-1, 8).mean(axis=1)


def relation(one, most=60):
    """Give the correlation of the second unit with the first, at each lag (samples)."""
    a, b = ((one.values[:, k] - one.values[:, k].mean()) / one.values[:, k].std() for k in (0, 1))
    return np.array([np.mean(a[max(0, -lag) : samples - max(0, lag)] * b[max(0, lag) : samples + min(0, lag)])
                     for lag in range(-most, most + 1)])  # fmt: skip


# %%
# Four ways to look
# -----------------
# A row for each surrogate. In grey, behind each, is the data.

frequency = np.fft.rfftfreq(samples, 1 / rate)[1:].reshape(-1, 8).mean(axis=1)
fig, axes = plt.subplots(5, 4, figsize=(11, 8.5), layout="constrained", width_ratios=(2.2, 1, 1, 1.2))
edges = np.linspace(-4, 10, 43)
for row, (name, one) in zip(axes, drawn.items(), strict=True):
    shown = one.sel(time=slice(20, 50))
    row[0].plot(shown.time, shown.values[:, 0], color="#0072B2", linewidth=0.9, label="first")
    row[0].plot(shown.time, shown.values[:, 1] - 8, color="#D55E00", linewidth=0.9, label="second")
    row[0].set(yticks=[], ylim=(-12, 14))
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    row[1].hist(rec.values[:, 0], edges, color="0.8")
    row[1].hist(one.values[:, 0], edges, histtype="step", color="#0072B2")
    row[1].set(yscale="log", yticks=[])
    row[2].semilogy(frequency, spectrum(rec), color="0.8", linewidth=4)
    row[2].semilogy(frequency, spectrum(one), color="#0072B2", linewidth=1)
    row[2].set(yticks=[], xlim=(0, 4))
    lags = np.arange(-60, 61) / rate
    row[3].plot(lags, relation(rec), color="0.8", linewidth=4)
    row[3].plot(lags, relation(one), color="black", linewidth=1)
    row[3].set(ylim=(-0.4, 1), yticks=(0, 1))
axes[0, 0].legend(loc="upper left", ncols=2, frameon=False, fontsize=8)
for ax, title in zip(axes[0], ("traces", "values", "spectrum", "relation"), strict=True):
    ax.set_title(title)
for ax, label in zip(axes[-1], ("time (s)", "value", "frequency (Hz)", "lag of the second (s)"), strict=True):
    ax.set_xlabel(label)
for ax in axes.ravel():
    ax.spines[["top", "right"]].set_visible(False)

# %%
# In numbers
# ----------
# How far the sorted values, the spectrum and the relation are from the data's, each as a share of the data's own size.

print(f"{'':36} values  spectrum  relation")
for name, one in drawn.items():
    apart = [np.abs(np.sort(one.values[:, 0]) - np.sort(rec.values[:, 0])).mean() / rec.values[:, 0].std()]
    for look in (spectrum, relation):
        apart.append(np.linalg.norm(look(one) - look(rec)) / np.linalg.norm(look(rec)))
    print(f"{' '.join(name.split()):36} {apart[0]:6.2f}  {apart[1]:8.2f}  {apart[2]:8.2f}")

# %%
# Which of them to take is told in :doc:`/nulls`.
