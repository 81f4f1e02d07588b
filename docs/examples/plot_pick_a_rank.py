"""
Pick a rank honestly
====================

The error of a factorization always falls with the number of components, so it cannot say how many there are. Three
things can, and they answer different questions. Here they are asked of a simulated recording in which six ensembles
were planted, and of the same cells with nothing in common.
"""

# %%
# The recording, and its null
# ---------------------------
# Simulated calcium traces of 60 cells with six overlapping ensembles. ``circular_shift`` moves each cell's trace by
# its own offset: every cell keeps its events, and what cells share is gone. Noise below the baseline is cut off.

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp.analyses import factorization

rec = ni.load("demo-calcium").isel(time=slice(0, 600)).clip(min=0, keep_attrs=True)
null = ni.surrogate.circular_shift(rec, seed=1)

# %%
# Three criteria
# --------------
# - **Held out**: entries scattered over the matrix are hidden, and predicted from the rest.
# - **Stability**: fits from other starts to resampled blocks of time are matched with the best fit to all of it.
# - **Parallel**: eigenvalues of the correlation matrix beside those of shifted surrogates.
#
# The criteria judge a method with its options: here NMF, the best of three starts.

method = partial(factorization.nmf, restarts=3, max_iter=60)
ranks = (1, 2, 4, 5, 6, 7, 8, 10)
found = {
    name: factorization.rank(each, ranks, method=method, folds=3, restarts=3)
    for name, each in {"six ensembles": rec, "nothing shared": null}.items()
}
for name, result in found.items():
    print(name, dict(zip(result.criterion.values.tolist(), result.suggested.values.tolist(), strict=True)))

# %%
# What each sees
# --------------
# The error on the entries that were fitted (dashed) falls on and on, with ensembles and without. That on the entries
# held out turns where components begin to fit noise; without ensembles it is never better than at the smallest rank.

colours = {"six ensembles": "#0072B2", "nothing shared": "#D55E00"}
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for name, result in found.items():
    axes[0].plot(ranks, result.held_out_error.mean("fold"), "o-", color=colours[name], label=f"{name}, held out")
    axes[0].plot(ranks, result.relative_error.min("restart"), "--", color=colours[name], alpha=0.4)
    axes[1].plot(ranks, result.similarity.median("restart"), "o-", color=colours[name], label=name)
    places = result.place.values[:12] + 1
    axes[2].plot(places, result.eigenvalue[:12], "o-", color=colours[name], label=name)
low, high = (found["six ensembles"].null_eigenvalue[:12].quantile(q, "draw") for q in (0.0, 1.0))
axes[2].fill_between(places, low, high, color="#bbbbbb", label="surrogates")
axes[0].set(title="relative error (dashed: of what was fitted)", xlabel="rank", xticks=ranks, ylim=(0.3, 1.3))
axes[1].set(title="stability (median cosine)", xlabel="rank", xticks=ranks, ylim=(0, 1.03))
axes[1].axhline(0.95, color="#888888", linewidth=0.8, linestyle=":")
axes[2].set(title="eigenvalues", xlabel="place", yscale="log", xticks=[1, 4, 6, 8, 12])
for ax in axes:
    ax.axvline(6, color="#888888", linewidth=0.8, linestyle=":")
    ax.legend(frameon=False, fontsize=8)

# %%
# Which to believe
# ----------------
# Here the three agree, with ensembles and without, and they need not. The parallel analysis counts directions of any
# method, the held-out error means the same for every method, and stability says nothing about one whose answer is not
# unique: with semi-NMF that keeps all units it would suggest too few. Nor are offsets free: z-scored, these cells rest
# below zero, and the held-out error then asks for a seventh component. Say which criterion you used, and where they
# disagree show all three.

table = {name: result.suggested.values for name, result in found.items()}
fig, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
for offset, (name, values) in zip((-0.15, 0.15), table.items(), strict=True):
    ax.barh(np.arange(3) + offset, values, height=0.28, color=colours[name], label=name)
ax.axvline(6, color="#888888", linewidth=0.8, linestyle=":", label="planted")
ax.set(yticks=range(3), yticklabels=["held out", "stability", "parallel"], xlabel="rank suggested", xlim=(0, 9))
ax.invert_yaxis()
ax.legend(frameon=False, loc="right")
