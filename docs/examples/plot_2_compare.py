"""
Compare two recordings
======================

The traces of a simulated calcium recording and a resting fMRI run of a person, cut to the same size and put
through the same analyses, each beside its null.
"""

# %%
# Compare
# -------
# ``compare`` takes any number of recordings. Both are cut to the same number of samples and units and z-scored.
# The null shifts each unit in time by its own random offset, so each unit keeps its dynamics and loses its relation
# to the others. Ten surrogates are enough for a picture; the command line uses twenty.

import matplotlib.pyplot as plt

import neurointerp as ni
from neurointerp import plot, report
from neurointerp.analyses import comparison

recordings = {name: ni.load(name) for name in ("demo-calcium", "demo-fmri")}
for name, rec in recordings.items():
    print(name, dict(rec.sizes), "simulated" if rec.attrs["system"] == "simulated" else "real")

tree = comparison.compare(recordings, nulls=10, seed=0)
print("matched to", tree.attrs["parameters"])

# %%
# Every figure beside its null
# ----------------------------
# A dot is the figure of the recording; the grey bar is the mean of its null and two standard deviations either way.

plot.figure_strips(tree, plt.figure(figsize=(10, 5.5), layout="constrained"))

# %%
# The same as a table, with the z-score of each figure against its null:

table = report.table(tree)
print(table.pivot(index="metric", columns="recording", values=["data", "z_score"]).round(2).to_string())

# %%
# What it was computed from
# -------------------------
# The tree also keeps what was analysed (``/matched``) and each result, with its labels.

fig, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained", width_ratios=[2, 1])
for (name, rec), row in zip(recordings.items(), axes, strict=True):
    kind = "simulated" if rec.attrs["system"] == "simulated" else "real"
    plot.traces(tree[f"matched/{name}/matched"], row[0]).set_title(f"{name} ({kind}), z-scored")
    graph = tree[f"connectivity/{name}/correlation"].to_dataset(inherit=False)
    plot.connectivity_matrix(graph, row[1], community=tree[f"connectivity/{name}/communities/community"])

# %%
# What these figures may and may not be read for is told in :doc:`/comparison`.
