"""
A trial tensor of spikes
========================

Sixty trials of forty neurons: which neurons fire together, when within a trial, and how does that change from trial to
trial? A matrix of the mean over trials loses the last question. A tensor (trial, time, unit) keeps it, and its
components have a factor for each. The spikes are simulated, so that the answers can be checked.
"""

# %%
# Trials, and what is missing of them
# -----------------------------------
# Poisson counts around four planted components. Six neurons are lost after trial 40, as happens when a probe drifts:
# from there on their counts are missing (NaN), which is something else than silence.

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import tensor

tree = ni.synthetic.tensor_trials(rank=4, n_trials=60, n_samples=50, n_units=40, mean=0.5, seed=4)
counts = tree["recordings/tensor_trials/recording"].astype(float, keep_attrs=True)
truth = tree["truth"]
lost = [3, 9, 14, 22, 30, 37]
counts[40:, :, lost] = np.nan
counts = counts.assign_coords(block=("trial", np.repeat(["first", "second", "third"], 20).astype(object)))
print(dict(counts.sizes), counts.attrs["system"], f"{int(counts.isnull().sum())} counts are missing")

# %%
# How many components?
# --------------------
# The error always falls, so it cannot say. Beside it: how much several starts agree (their similarity falls where there
# are more components than the data determine), and the core consistency, which is near 100 as long as components do
# not interact. Both point to four. ``suggested`` is the rank after which factors stop spreading over new directions;
# here they spread on, into noise, and it comes too late: a hint, to be read with the other two.

ranks = tensor.rank(counts, range(1, 8), restarts=5, max_iter=300)
print(ranks[["core_consistency", "spread"]].to_dataframe().round(2))
print("suggested:", int(ranks.suggested))

fig, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
axes[0].plot(ranks["rank"], ranks.relative_error, "o-", color="C0", markersize=3, linewidth=0.8)
axes[0].set(ylabel="relative error", title="error of five starts")
axes[1].plot(ranks["rank"], ranks.similarity[:, 1:], "o", color="C0", markersize=4, alpha=0.6)
axes[1].plot(ranks["rank"], ranks.similarity[:, 1:].mean("restart"), color="C0")
axes[1].set(ylabel="similarity to the best", ylim=(0, 1.05), title="do starts agree?")
axes[2].plot(ranks["rank"], ranks.core_consistency, "o-", color="C0")
axes[2].set(ylabel="percent", title="core consistency", ylim=(-25, 105))
for ax in axes:
    ax.axvline(4, color="0.7", linewidth=0.8, zorder=0)
    ax.set_xlabel("components")
    ax.spines[["top", "right"]].set_visible(False)

# %%
# The components
# --------------
# A row for each: how strongly it is there in each trial, when, and in which neurons. The percentage is its part of all
# weights.

found = tensor.nonnegative_cp(counts, 4, restarts=5)
fig, axes = plt.subplots(4, 3, figsize=(9, 5.5), layout="constrained", gridspec_kw={"width_ratios": [1, 1, 1.3]})
plot.tensor_components(found, axes, colour={"trial": "block"})
stable = tensor.stability(counts, 4, restarts=5)
print("stability of each:", stable.component_stability.values.round(3))

# %%
# Are they the planted ones?
# --------------------------
# The product over dims of the cosines with the planted factors. With zeros in place of what is missing, the lost
# neurons seem to fall silent: the trial factors learn of a change that never was.

silent = tensor.nonnegative_cp(counts.fillna(0).assign_attrs(counts.attrs), 4, restarts=5)
for name, fit in (("missing left out", found), ("missing as zero", silent)):
    cosine = np.prod([fit[f"factor_{d}"].values.T @ truth[f"factor_{d}"].values for d in counts.dims], axis=0)
    print(f"{name}: {np.sort(cosine.max(axis=0)).round(3)}")
plt.show()
