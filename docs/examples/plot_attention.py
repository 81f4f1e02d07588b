"""
What a region attends to
========================

Two regions see pictures with one digit among scrambled ones. One reads a fixed place, whatever is there; the other
reads the digit, wherever it is. The attention encoder is told neither, and its attention says which is which.
"""

# %%
# Pictures and two simulated regions
# ----------------------------------
# The digits are real (scikit-learn's); the rivals are digits whose pixels were permuted. The regions are simulated, so
# that what they read is known. Each of nine cells of a picture is a token, described by the main components of its
# pixels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import encoding
from neurointerp.models.readouts import Training

rng = np.random.default_rng(0)
digits = load_digits().images / 16
trials, side = 900, 3
cells = rng.permuted(digits[rng.integers(0, len(digits), (trials, side**2))].reshape(trials, side**2, 64), axis=-1)
where = rng.integers(0, side**2, trials)
cells[np.arange(trials), where] = digits[rng.integers(0, len(digits), trials)].reshape(trials, 64)

flat = cells.reshape(-1, 64) - cells.mean(axis=(0, 1))
components = np.linalg.svd(flat, full_matrices=False)[2][:24]
tokens = (flat @ components.T).reshape(trials, side**2, 24)
names = [f"picture {i}" for i in range(trials)]
row, col = np.divmod(np.arange(side**2), side)
features = ni.recording(
    tokens, modality="stimulus", units="1", dims=("trial", "token", "unit"),
    coords={"stimulus": ("trial", names), "row": ("token", row), "col": ("token", col)},
)  # fmt: skip


def read(values: np.ndarray) -> np.ndarray:
    """Give twelve simulated units that weigh a token at random, with as much noise as signal."""
    signal = values @ rng.standard_normal((24, 12))
    return signal / signal.std() + rng.standard_normal(signal.shape)


fixed, digit = read(tokens[:, 0]), read(tokens[np.arange(trials), where])
region = ["reads a place"] * 12 + ["reads the digit"] * 12
responses = ni.recording(
    np.hstack([fixed, digit]), modality="fmri", units="1", dims=("trial", "unit"),
    coords={"stimulus": ("trial", names), "region": ("unit", region)}, attrs={"system": "simulated"},
)  # fmt: skip

# %%
# Fit, beside the baseline
# ------------------------
# ``linear`` is ridge on all tokens, tuned for each unit: it can know a place, and cannot follow the digit.

training = Training(epochs=40, batch=32, learning_rate=0.01, patience=10)
routed = encoding.attention_encoder(
    features, responses, "region", width=24, heads=2, hidden=24, cv=2, training=training
)
ridge = encoding.readout(features, responses, "linear", cv=2)
for name, found in (("attention", routed), ("linear", ridge)):
    r = found.correlation.mean("fold").groupby("region").mean().to_series()
    print(f"{name:10s}", ", ".join(f"{key}: r = {value:.2f}" for key, value in r.items()))

# %%
# Where it looks
# --------------
# Attention of held-out pictures, over the picture. It is where the model reads; that a region codes what is there is
# known here because it was put there.

hit = routed.attention.mean("head").sel(roi="reads the digit").values[np.arange(trials), where]
print(f"attention on the digit: {hit.mean():.2f}, by chance {1 / side**2:.2f}")
whole = cells.reshape(trials, side, side, 8, 8).transpose(0, 1, 3, 2, 4).reshape(trials, 8 * side, 8 * side)
shown = [int(np.flatnonzero(where == place)[0]) for place in (2, 4, 6)]
figure, axes = plt.subplots(3, 3, figsize=(8, 6.5), layout="constrained")
for column, trial in zip(axes.T, shown, strict=True):
    column[0].imshow(whole[trial], cmap="gray")
    column[0].set(xticks=[], yticks=[])
    column[0].set_title(f"the picture, trial {trial}", fontsize=8)
    for ax, name in zip(column[1:], ("reads a place", "reads the digit"), strict=True):
        plot.attention_overlay(routed, ax, trial=trial, roi=name, image=whole[trial])
plt.show()

# %%
# Over trials
# -----------
# The region that reads a place (above, on the left) attends there more than elsewhere in all pictures; the mean of the
# other tells no place. Ridge predicts the first better and the second hardly at all: routing pays where
# what is read moves.

figure, axes = plt.subplots(1, 2, figsize=(6, 2.6), layout="constrained")
for ax, name in zip(axes, ("reads a place", "reads the digit"), strict=True):
    mean = routed.attention.mean(["head", "trial"]).sel(roi=name).values.reshape(side, side)
    image = ax.imshow(mean, cmap="inferno", vmin=0, vmax=0.4)
    ax.set(title=name, xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="attention")
plt.show()
