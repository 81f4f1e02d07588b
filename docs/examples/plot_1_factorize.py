"""
Factorize a recording and check it against the truth
====================================================

A simulated recording comes with what it was made from. So a factorization can be scored: does it find the
ensembles that were planted?
"""

# %%
# Load a session
# --------------
# ``ni.load`` gives the recording alone; ``ni.load_session`` gives everything the source holds. Here that is the
# simulated calcium traces of 60 cells and, under ``truth``, the six overlapping ensembles that drive them.

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import factorization

session = ni.load_session("demo-calcium")
rec = session["recordings/calcium_ensembles/recording"]
truth = session["truth"]
print(rec.dims, rec.shape, rec.attrs["modality"], rec.attrs["system"])
print({name: array.dims for name, array in truth.data_vars.items()})

# %%
fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
plot.traces(rec, ax)
ax.set_title("demo-calcium (simulated), dF/F")

# %%
# Factorize
# ---------
# Semi-NMF writes the traces as non-negative coefficients over time times signed features over cells. Each ensemble
# has twelve of sixty cells, so each feature may keep a fifth of them (``keep_fraction``). The number of components
# is given here; on real data it is not known.

found = factorization.semi_nmf(rec, 6, keep_fraction=0.2, seed=0)
print(f"explained variance {float(found.explained_variance):.2f}, stopped by {found.stop_reason.item()}")

# %%
# Match components to ensembles
# -----------------------------
# The order of components is arbitrary. The Hungarian method pairs them with the planted ensembles so that the sum
# of their cosines is largest.


def cosine(a, b):
    """Give the cosine of every row of ``a`` with every row of ``b``."""
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


planted = truth["ensembles"].values
similarity = cosine(planted, found["features"].values)
ensemble, component = linear_sum_assignment(-similarity)
matched = similarity[ensemble, component]
print("cosine with the planted ensembles:", matched.round(2))

# %%
# The dots mark the cells that the feature keeps and that belong to the ensemble (filled), or do not (open).

fig, axes = plt.subplots(2, 1, figsize=(9, 5), layout="constrained", sharex=True)
for ax, values, title in zip(
    axes,
    (planted[ensemble], found["features"].values[component]),
    ("planted ensembles", "features found, matched"),
    strict=True,
):
    scaled = values / np.abs(values).max(axis=1, keepdims=True)
    ax.imshow(scaled, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    ax.set(title=title, ylabel="ensemble", yticks=range(6))
for row, (true, kept) in enumerate(zip(planted[ensemble], found["support"].values[component], strict=True)):
    for cell in np.flatnonzero(kept):
        axes[1].plot(cell, row, "o", markersize=4, color="black", fillstyle="full" if true[cell] else "none")
axes[1].set_xlabel("cell")

# %%
# And the courses over time: the planted activation of one ensemble (a rate, Hz) and the coefficient found. The
# coefficient lags behind and decays, because the indicator does.

best = int(matched.argmax())
time = rec["time"].values
fig, ax = plt.subplots(figsize=(9, 2.6), layout="constrained")
drive = truth["coefficients"].values[:, ensemble[best]]
course = found["coefficients"].values[:, component[best]]
ax.fill_between(time, drive / drive.max(), color="#bbbbbb", step="mid", label="planted")
ax.plot(time, course / course.max(), color="#0072B2", linewidth=1, label="found")
ax.set(xlabel="time (s)", ylabel="fraction of its maximum", title=f"ensemble {ensemble[best]}")
ax.legend(frameon=False, loc="upper right")
