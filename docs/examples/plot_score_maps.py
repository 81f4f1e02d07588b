"""
Scores where the units lie
==========================

A score per unit is a list of numbers until it is seen where the units are: in a brain, or in the layers of a network.
"""

# %%
# In a brain
# ----------
# The responses here are simulated: 300 samples, in which every voxel follows one feature as strongly as it answered in
# a real contrast of pressing a button with the left and the right hand (NeuroVault 10426, which nilearn carries), and
# noise. The map of held-out scores should be that of the contrast. The header of the image does not say in which space
# it is; NeuroVault does (MNI), so it is stated here: without it the outline of a standard brain would be refused.

from importlib.resources import files

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import torch
from sklearn.datasets import load_digits

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import encoding
from neurointerp.loaders import activations

STEP = 3
image = nibabel.load(str(files("nilearn") / "datasets" / "data" / "image_10426.nii.gz"))
contrast = np.asarray(image.dataobj)[::STEP, ::STEP, ::STEP]
affine = image.affine @ np.diag([STEP, STEP, STEP, 1.0])
voxels = np.argwhere(contrast != 0)
places = (voxels @ affine[:3, :3].T + affine[:3, 3]) * 1e-3
gain = contrast[tuple(voxels.T)] / np.abs(contrast).max()

rng = np.random.default_rng(0)
clock = np.arange(300) * 2.0
drive = rng.standard_normal((300, 3))
feature = ni.recording(drive, modality="stimulus", units="1", time=clock, unit=["hand", "other", "noise"])
grid = {"shape": list(contrast.shape), "affine": affine.tolist(), "affine_units": "mm"}
index = {axis: ("unit", voxels[:, n], grid if axis == "i" else {}) for n, axis in enumerate("ijk")}
where = {axis: ("unit", places[:, n], {"units": "m", "frame": "mni"}) for n, axis in enumerate("xyz")}
brain = ni.recording(
    drive[:, :1] * gain + rng.standard_normal((300, len(gain))), modality="fmri", units="1", time=clock,
    coords={**index, **where}, attrs={"system": "simulated"},
)  # fmt: skip
found = encoding.ridge(feature, brain)
score = found.correlation.mean("fold").values
print(
    f"{len(gain)} voxels; the map of scores and the size of the contrast: r = {np.corrcoef(score, abs(gain))[0, 1]:.2f}"
)

figure = plt.figure(figsize=(9, 5))
upper, lower = figure.add_axes((0.02, 0.5, 0.94, 0.42)), figure.add_axes((0.02, 0.02, 0.94, 0.42))
plot.brain_map(score, brain, upper)
figure.text(0.5, 0.95, "held-out r of simulated voxels", ha="center")
plot.brain_map(gain, brain, lower)
figure.text(0.5, 0.46, "the contrast that they were made from (real, of its largest)", ha="center")
plt.show()

# %%
# In a stack of layers
# --------------------
# A network of three convolutions learns digits. What it was taught, which digit it is, predicts each of its units on
# images it has not seen; units are averaged by layer and by row of the image.

digits = load_digits()
pixels = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
learnt, shown = slice(0, 1400), slice(1400, 1797)
torch.manual_seed(0)
conv, relu = torch.nn.Conv2d, torch.nn.ReLU
net = torch.nn.Sequential(
    conv(1, 8, 3, padding=1), relu(), conv(8, 8, 3, padding=1), relu(), conv(8, 8, 3, padding=1), relu(),
    torch.nn.Flatten(), torch.nn.Linear(512, 10),
)  # fmt: skip
optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
labels = torch.tensor(digits.target)
for step in range(150):
    rows = torch.randint(1400, (64,), generator=torch.Generator().manual_seed(step))
    loss = torch.nn.functional.cross_entropy(net(pixels[rows]), labels[rows])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

maps = [activations.record(net.eval(), pixels[shown], sites=[site], batch_size=100) for site in ("1", "3", "5")]
values = np.concatenate([np.moveaxis(one.values, -1, 1).reshape(397, -1) for one in maps], axis=1)
layer, _, row, _ = (axis.ravel() for axis in np.indices((3, 8, 8, 8)))  # layer, channel, row, col
keep = values.std(axis=0) > 0
units = ni.recording(
    values[:, keep], modality="activations", units="1", dims=("trial", "unit"),
    coords={"layer": ("unit", layer[keep] + 1), "row": ("unit", row[keep])},
)  # fmt: skip
told = ni.recording(
    np.eye(10)[digits.target[shown]], modality="stimulus", units="1", dims=("trial", "unit"),
)  # fmt: skip
known = encoding.ridge(told, units).correlation.mean("fold").values
figure, ax = plt.subplots(figsize=(5.5, 2.8), layout="constrained")
plot.layer_map(known, units, ax, across="row")
plt.show()

# %%
# Deeper layers are told more by the name of the digit, in the rows where digits differ.
