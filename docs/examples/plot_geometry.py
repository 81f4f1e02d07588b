"""
Geometry: what networks make of the same images
===============================================

Three small networks learn the same digits from different starts. Their units have nothing in common, but the images
have: which pairs of images does each layer hold apart, and which layers of which networks are alike?
"""

# %%
# Three networks, recorded
# ------------------------
# The images are scikit-learn's 8 x 8 digits: real pixels. 120 of them, which no network has seen, are the stimuli.
import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from sklearn.datasets import load_digits

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import geometry
from neurointerp.loaders import activations

digits = load_digits()
images = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
order = np.random.default_rng(0).permutation(len(images))
shown, learnt = order[:120], order[120:]
shown = shown[np.argsort(digits.target[shown], kind="stable")]
names = [f"digit {digits.target[i]}, image {i}" for i in shown]


def network(seed: int) -> torch.nn.Module:
    """Train a small convolutional network on the digits."""
    torch.manual_seed(seed)
    conv, relu = torch.nn.Conv2d, torch.nn.ReLU
    model = torch.nn.Sequential(
        conv(1, 8, 3, padding=1), relu(), conv(8, 16, 3, 2, 1), relu(), torch.nn.Flatten(),
        torch.nn.Linear(256, 32), relu(), torch.nn.Linear(32, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    labels, rows = torch.tensor(digits.target), torch.tensor(learnt)
    for batch in range(250):
        pick = rows[torch.randint(len(rows), (64,), generator=torch.Generator().manual_seed(batch))]
        loss = torch.nn.functional.cross_entropy(model(images[pick]), labels[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


sites = {"first": "1", "second": "3", "hidden": "6", "output": "7"}
recordings = {}
for seed in range(3):
    model = network(seed)
    for name, site in sites.items():
        layer = activations.record(model, images[shown], sites=[site], batch_size=60)
        flat = np.asarray(layer.values).reshape(len(shown), -1)
        recordings[f"{name} {seed}"] = ni.recording(
            flat, modality="activations", units="1", dims=("trial", "unit"), coords={"stimulus": ("trial", names)}
        )

# %%
# Which images are held apart
# ---------------------------
# Dissimilarities of the same 120 images, sorted by digit: pixels first, then the layers of one network.
pixels = ni.recording(
    images[shown].flatten(1).numpy(), modality="stimulus", units="1", dims=("trial", "unit"),
    coords={"stimulus": ("trial", names)},
)  # fmt: skip
figure, axes = plt.subplots(1, 4, figsize=(11, 2.6), layout="constrained")
drawn = {"pixels": pixels, **{name: recordings[f"{name} 0"] for name in ("first", "hidden", "output")}}
for ax, (title, rec) in zip(axes, drawn.items(), strict=True):
    plot.dissimilarities(geometry.rdm(rec, metric="euclidean"), ax)
    ax.set_title(title)
plt.show()

# %%
# Compared with what an observer could know
# -----------------------------------------
# Two models without any network: the pixels, and the digit's name (0 for the same digit, 1 for another).
different = (digits.target[shown][:, None] != digits.target[shown]).astype(float)
named = xr.DataArray(different, dims=("stimulus", "stimulus2"), coords={"stimulus": names, "stimulus2": names})
found = geometry.rsa(
    {"pixels": pixels, "name": named, **{n: recordings[f"{n} 0"] for n in sites}}, metric="euclidean",
    permutations=100,
)  # fmt: skip
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
plot.similarity_matrix(found, ax)
plt.show()

# %%
# The deeper a layer, the less it holds images apart as pixels do and the more as their names do. A star marks what is
# more than chance: images renamed in one of the two, 100 times, at a false discovery rate of 5%.
#
# Which layers of which networks are alike
# ----------------------------------------
# The angular Procrustes distance is a metric, so that twelve layers can be placed in a plane by it.
distances = geometry.procrustes(recordings, permutations=0)
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
plot.embedding(distances, ax, group={name: name.split()[0] for name in recordings})
plt.show()

# %%
# Layers lie by depth and not by network: with other starts, other units do the same. How far that likeness is owed to
# the few directions that hold most of the variance is another question: `geometry.feature_variance` asks it.
