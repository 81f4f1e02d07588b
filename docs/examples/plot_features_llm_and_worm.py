"""
Features of a language model and of a worm, under one call
==========================================================

Semi-NMF writes signed data as sparse signed features over units times how much of each is present. The call is the
same for the neurons of a transformer's MLP and for those of a worm; so is what is then asked of each feature: which
units make it, and which samples evoke it. The transformer is the embedded recording of all-MiniLM-L6-v2. With a mirror
of the real files (``NEUROINTERP_MIRROR``) the worm is one of Dag et al. 2023; without one the traces are simulated, and
every picture says so.
"""

# %%
# Two recordings
# --------------
# The layer reads twelve paragraphs, the worm is awake. Both are z-scored, unit by unit: what falls below the mean is as
# much part of a state as what rises, and only a signed factorization can use it.

import os

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp import plot, statistics
from neurointerp.analyses import factorization, features
from neurointerp.synthetic import calcium_ensembles

layer = ni.load("demo-activations")
if os.environ.get("NEUROINTERP_MIRROR"):
    worm = ni.load("dag2023", item="2022-07-26-38").load()
    worm = worm.isel(unit=(worm["is_labeled"].values & ~np.isnan(worm.values).any(axis=0)))
else:
    made = {"n_ensembles": 16, "ensemble_size": 16, "overlap": 0.4, "signed": True}
    simulated = calcium_ensembles(n_units=160, n_samples=2000, **made)
    worm = simulated["recordings/calcium_ensembles/recording"]
recordings = {"layer": statistics.zscore(layer), "worm": statistics.zscore(worm)}
for name, rec in recordings.items():
    print(name, rec.shape, rec.attrs["modality"], rec.attrs["system"])

# %%
# One call
# --------
# ``keep_fraction`` is what makes features identifiable: each may use a tenth of the units. ``top_samples`` finds the
# samples that evoke each feature most, with what stands around them; of a slow recording it takes one for each event
# (``apart``).

found, top = {}, {}
for name, rec in recordings.items():
    found[name] = factorization.semi_nmf(rec, 16, keep_fraction=0.1, max_iter=300, seed=0)
    apart = 0 if "token" in rec.coords else 20
    top[name] = features.top_samples(found[name], rec, n=6, context=9, apart=apart)
    explained = float(found[name].explained_variance)
    print(f"{name}: 16 features explain {explained:.0%} of the variance, stopped by {found[name].stop_reason.item()}")

# %%
# Cards
# -----
# A card shows one feature: its units on the left, what evokes it on the right, as the modality has it. A feature of
# the layer reads as the texts around its strongest tokens (bold; the ground is as dark as the coefficient is large),
# one of the worm as the times at which it is on. Those shown are the ones whose tokens are most often of one paragraph,
# and whose course in the worm is largest.

paragraphs = [
    max(np.mean(row == value) for value in set(row.tolist())) for row in top["layer"]["sample_condition"].values
]
shown = {"layer": np.argsort(paragraphs)[::-1][:2], "worm": [0, 1]}
figure = plt.figure(figsize=(10, 9.5), layout="constrained")
rows = figure.subfigures(4, 1)
for panel, (name, component) in zip(rows, [(one, k) for one in shown for k in shown[one]], strict=True):
    plot.component_card(found[name], recordings[name], panel, component=int(component), top=top[name], units=8)

# %%
# Which units are shared
# ----------------------
# Two features overlap where they use the same units: siblings share a core and differ in what is exclusive to each. Of
# two that share units, ``same_sign`` tells whether they pull them the same way.

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for ax, (name, res) in zip(axes, found.items(), strict=True):
    groups = features.unit_groups(res)
    shared = groups["jaccard"].values.copy()
    np.fill_diagonal(shared, np.nan)
    image = ax.imshow(shared, cmap="viridis", vmin=0, vmax=0.5)
    members = groups["members"].values
    ax.set(title=f"{name}: {np.mean(members > 1):.0%} of units in several features", xlabel="feature", ylabel="feature")
    alike = float(groups["same_sign"].where(~np.eye(16, dtype=bool)).mean())
    print(f"{name}: {alike:.0%} of the shared units have the same sign in both features")
fig.colorbar(image, ax=axes, label="shared units / all units of the two")

# %%
# Do the features know what is read?
# ----------------------------------
# Each paragraph is about one thing (``condition``). A feature is assigned the thing on whose tokens its mean
# coefficient is largest, from the odd sentences, and scored on the even ones by the area under the ROC curve, beside
# labels that are shuffled. (Chance is a half.)

sentence = np.cumsum(np.isin(layer["token"].values, [".", "?", "!"])) - np.isin(layer["token"].values, [".", "?", "!"])
labelled = layer.assign_coords(part=("time", sentence * 100 + layer["sequence"].values))
odd = sentence % 2 == 1
train, held_out = (labelled.isel(time=keep).assign_coords(segment=("time", labelled["part"].values[keep]))
                   for keep in (odd, ~odd))  # fmt: skip
res = factorization.semi_nmf(train, 40, keep_fraction=0.05, max_iter=300)
score = features.concept_detection(res, train, held_out, group="part")
print("AUC by concept:", score.detector_auc[0].to_series().round(2).to_dict())
print(f"mean {float(score.detector_auc.mean()):.2f}; labels shuffled: {float(score.shuffled_auc.mean()):.2f}")
