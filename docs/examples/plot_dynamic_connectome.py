"""
Watch a connectome change
=========================

Which groups of units change together, when, and in which animals? Correlation over a whole recording cannot say. Here
it is asked of ten simulated animals in which four groups of neurons go together for a while, in some of the animals
each; so the answers can be checked.
"""

# %%
# Ten animals, four motifs
# ------------------------
# Every neuron moves by itself. Four motifs of eight neurons share a signal, each in its own stretch of 14 s and in six
# of the ten animals. In animal ``w2`` six neurons were not identified: they are missing there, and stay missing.

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import connectivity, graphs, tensor

tree = ni.synthetic.dynamic_motifs(gain=1.5, seed=3)
rec = tree["recordings/dynamic_motifs/recording"].copy(deep=True)
truth = tree["truth"]
rec.loc[{"subject": "w2", "unit": ["n03", "n11", "n17", "n22", "n30", "n38"]}] = np.nan
print(dict(rec.sizes), rec.attrs["system"])

# %%
# Over the whole recording
# ------------------------
# The mean correlation over time and animals. Each motif lasts a quarter of the time in half of the animals, so little
# of it is left: the blocks that shorten the description most are not the four groups.

complete = rec.dropna("subject", how="any")
r = np.mean([connectivity.correlation(one).connectivity.values for one in complete], axis=0)
still = connectivity.correlation(complete[0]).copy()
still["connectivity"] = still.connectivity.copy(data=r)
member = truth["member"].values
blocks = graphs.block_model(still, starts=2).community.values[0]
print("blocks of the mean correlation:", len(np.unique(blocks)))
for m in range(4):
    print(f"planted group {m} lies in blocks", np.unique(blocks[member[m]]))

# %%
# Three stages in one call
# ------------------------
# ``affinity`` says at each moment which pairs change together, ``tensor.nonnegative_cp`` splits (time, animal, pair)
# into components, ``graphs.motifs`` folds each into a graph and divides it into blocks.

found = connectivity.dynamic_connectome(rec, 5, restarts=3, starts=2)
print("relative error", round(float(found.relative_error), 3), "background:", found.background.values)
for k in found.component.values:
    one = found.sel(component=k)
    when = one.time.values[one.active.values]
    who = list(one.subject.values[one.carrier.values])
    print(k, f"{when.min():.0f} to {when.max():.0f} s", who, "saves", round(float(one.saving)), "nats")

# %%
# One matrix before, one motif after, both ordered by the blocks of the motif.

best = int(found.saving.values.argmax())
label = found.community.sel(component=best, level=0)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
plot.connectivity_matrix(still, axes[0], community=label)
axes[0].set_title("correlation, all of it")
plot.connectivity_matrix(found.sel(component=best), axes[1], community=label)
axes[1].set_title(f"component {best}")

# %%
# Motif by motif
# --------------
# Left the time factor with its active interval, in the middle the animals (blue: above the uniform level), right the
# graph by block. The bars above are when each motif was planted.

frame = 1 / rec.attrs["sampling_rate"]
active = truth["active"].values
order = [k for k in found.component.values if not found.background.sel(component=k)]
match = [
    int(
        np.argmax([active[m][::4][: found.sizes["time"]] @ found.factor_time.sel(component=k).values for m in range(4)])
    )
    for k in order
]
fig = plt.figure(figsize=(9, 7), layout="constrained")
for sub, k, m in zip(fig.subfigures(len(order), 1), order, match, strict=True):
    window = np.flatnonzero(active[m]) * frame
    planted = ni.session({}, events={"onset": [window[0]], "duration": [window[-1] - window[0]]})["events"].to_dataset()
    plot.motif_strip(found, sub, k, events=planted)

# %%
# Connectogram
# ------------
# The same graph with names, and how many of each block's neurons were planted.

fig, ax = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
plot.connectogram(found.connectivity.sel(component=best), ax, community=label, edges=120)
m = match[order.index(best)]
inside = member[m][[list(rec.unit.values).index(u) for u in found.unit.values]]
smallest = [np.mean(inside[label.values == b]) for b in np.unique(label)]
print("share of planted neurons in each block:", np.round(smallest, 2))

# %%
# Is it there without motifs?
# ---------------------------
# Shifting every trace by its own lag keeps each neuron and loses what neurons share. A factorization finds components
# in noise as well. How far the error falls from one component to five, and how many nats blocks save in components
# that two animals or more carry, tell the two apart.

for name, data in (("data", rec), ("shifted", ni.surrogate.circular_shift(rec, seed=1))):
    pairs = connectivity.affinity(data)
    one, five = (tensor.nonnegative_cp(pairs, rank, restarts=3) for rank in (1, 5))
    read = graphs.motifs(five, starts=2)
    fall = float(one.relative_error - five.relative_error)
    print(f"{name:8s} fall in error {fall:.4f}, saved {read.saving.where(read.recurrent, 0).values.round()}")
