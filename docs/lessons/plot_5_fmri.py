"""
fMRI: from images to which regions go together
==============================================

Runs of fMRI become parcels, parcels a connectivity matrix, and a row of the matrix a picture on the slices it came
from: nilearn draws it, for recordings go back to images.
"""

# %%
# Load the parcels of each run
# ----------------------------
# With a folder of real files (``NEUROINTERP_MIRROR``) these are eight runs of one person who looks at pictures [1]_, at
# 25 mm, and regions of the Harvard-Oxford atlas. Without it, two short runs of a slab of brain that nitime carries, cut
# into blocks of voxels; they are too short to agree. Nothing is resampled: atlas and data must lie on one grid, or
# ``load`` refuses them.

import os
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np
from nilearn import plotting
from scipy.signal import detrend

from neurointerp.analyses import connectivity
from neurointerp.loaders import fmri

if folder := os.environ.get("NEUROINTERP_MIRROR"):
    study = Path(folder, "fmri", "haxby2001_pymvpa", "sub001")
    runs = sorted(study.glob("BOLD/*/bold_25mm.nii.gz"))
    atlas = nibabel.load(study / "masks" / "25mm" / "hoc.nii.gz")
else:
    runs = [Path(str(files("nitime").joinpath("data", f"fmri{n}.nii.gz"))) for n in (1, 2)]
    image = nibabel.load(runs[0])
    i, j, k = np.indices(image.shape[:3])
    atlas = nibabel.Nifti1Image((1 + i // 5 + 2 * (j // 5) + 4 * (k // 6)).astype(np.int16), image.affine)

recordings = [fmri.load(run, atlas=atlas) for run in runs]
rec = recordings[0]
print(len(runs), "runs of", dict(rec.sizes), "TR", 1 / rec.attrs["sampling_rate"], "s")
print("voxels of each parcel:", dict(zip(rec.unit.values.tolist(), rec.members.values.tolist(), strict=True)))

# %%
# Correlate them
# --------------
# The scanner drifts, and a drift makes everything go together: a line is taken off each series first, and the first
# volume of each run, taken before the signal has settled, is left out. Each run gives a matrix, and what is no
# accident of one run comes again in the others.

settled = [one.isel(time=slice(1, None)) for one in recordings]
steady = [one.copy(data=detrend(one.values, axis=0)) for one in settled]
results = [connectivity.correlation(one)["connectivity"] for one in steady]
mean = sum(results) / len(results)
pairs = np.triu_indices(rec.sizes["unit"], k=1)
agreement = np.corrcoef([one.values[pairs] for one in results])
apart = agreement[np.triu_indices(len(results), k=1)]
print(f"agreement of the matrices of two runs: {apart.mean():.2f} ({apart.min():.2f} to {apart.max():.2f})")

fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", width_ratios=(1.25, 1))
shown = axes[0].imshow(mean, cmap="RdBu_r", vmin=-1, vmax=1)
fig.colorbar(shown, ax=axes[0], label="correlation, mean of runs", shrink=0.8)
ticks = {"ticks": range(rec.sizes["unit"]), "labels": rec.unit.values}
axes[0].set_xticks(**ticks, rotation=90, fontsize=7)
axes[0].set_yticks(**ticks, fontsize=7)
axes[0].set_title("parcels")
axes[1].plot(results[0].values[pairs], results[1].values[pairs], ".", markersize=4)
axes[1].axline((0, 0), slope=1, color="0.7", linewidth=0.8)
axes[1].set(xlabel="first run", ylabel="second run", title="correlation of each pair", aspect="equal")

# %%
# A row of the matrix on the slices
# ---------------------------------
# ``to_nifti`` paints each parcel with its value, on the grid of the data; the mean image lies below it. The seed, with
# a green line about it, is the parcel with the strongest partner.

strongest = np.where(np.eye(len(mean)), -1, mean.values)
seed = rec.unit.values[strongest.max(axis=1).argmax()]
row = rec.isel(time=0, drop=True).copy(data=mean.sel(source=seed).values)
row = row.where(row.unit != seed, 0)
print("seed:", seed, "strongest partner:", row.unit.values[row.values.argmax()])

partners, below = fmri.to_nifti(row, atlas=atlas), fmri.to_nifti(fmri.load(runs[0], mask="all").mean("time"))
own = fmri.to_nifti((row.unit == seed).assign_coords(row.coords), atlas=atlas)
inside = np.argwhere(own.get_fdata() != 0)
place = nibabel.affines.apply_affine(own.affine, inside[len(inside) // 2])
display = plotting.plot_stat_map(
    partners, bg_img=below, cut_coords=place, vmin=-0.8, vmax=0.8, cmap="RdBu_r", symmetric_cbar=True,
    black_bg=False, draw_cross=False, title=f"correlation with {seed}", figure=plt.figure(figsize=(9, 3)),
)  # fmt: skip
display.add_contours(own, levels=[0.5], colors="limegreen")

# %%
# .. [1] Haxby JV, et al. (2001). Distributed and overlapping representations of faces and objects in ventral temporal
#    cortex. Science 293:2425.
