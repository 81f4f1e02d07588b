"""
A study across kinds: from raw files to one report
==================================================

Four raw files of four instruments and the activations of a network are brought to one contract, cut to one size, put
through the same analyses beside their nulls, and read with care. With a mirror of the real files
(``NEUROINTERP_MIRROR``) the raw files are real; without one they are written here from simulations, and say so.
"""

# %%
# Raw files
# ---------
# An EEG, an image series, spike times and fluorescence. Yours take their places. On the command line this page is
# ``neurointerp convert`` for each file and ``neurointerp compare study.yaml``.

import os
import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import detrend

import neurointerp as ni
from neurointerp import plot, report, statistics
from neurointerp.analyses import comparison
from neurointerp.loaders import eeg, fmri, raw, spikes

folder = Path(tempfile.mkdtemp())
if mirror := os.environ.get("NEUROINTERP_MIRROR"):
    mirror = Path(mirror)
    scalp = eeg.load(mirror / "eeg/physionet_eegmmidb/S001R03.edf", strip=".").assign_attrs(system="human")
    image = fmri.load(mirror / "fmri/pymvpa_bold/bold.nii.gz").isel(time=slice(0, 600)).assign_attrs(system="human")
    glow = ni.load("dag2023", "2022-07-26-38").load()
    glow = glow.isel(unit=~np.isnan(glow.values).any(axis=0))
    sparks = ni.load("ibl2019").load()
else:
    made = ni.load("demo-eeg")
    eeg.to_mne(made).save(folder / "scalp_raw.fif", verbose="error")
    scalp = eeg.load(folder / "scalp_raw.fif").assign_attrs(system="simulated")
    regions = files("nitime") / "data" / "fmri_timeseries.csv"
    image = fmri.load(str(regions), tr=1.89).assign_attrs(system="human")
    counts, glow = ni.load("demo-spikes"), ni.load("demo-calcium")
    middle = counts["time"].values + 0.5 / counts.attrs["sampling_rate"]
    held = {unit: np.repeat(middle, counts.sel(unit=unit).values) for unit in counts["unit"].values}
    np.savez(folder / "sparks.npz", **held)
    sparks = spikes.load(folder / "sparks.npz", bin_width=0.05).assign_attrs(system="simulated")
    np.save(folder / "glow.npy", glow.values)
    glow = raw.load(folder / "glow.npy", modality="calcium", units="1", sampling_rate=10.0)
    glow = glow.assign_attrs(system="simulated")
network = ni.load("demo-activations")  # a layer of all-MiniLM-L6-v2 that reads twelve paragraphs

# %%
# One contract
# ------------
# The same kind of object, whatever the instrument: dims ``(time, unit)``, a clock that says what it counts, units of
# the values. Stretches that do not belong together (runs, paragraphs) are segments, and nothing crosses them.

recordings = {"scalp": scalp, "image": image, "sparks": sparks, "glow": glow, "network": network}
for name, rec in recordings.items():
    ni.check(rec)
    step = rec["time"].attrs["units"]
    segments = len(np.unique(rec["segment"].values)) if "segment" in rec.coords else 1
    print(f"{name:8} {dict(rec.sizes)}, clock in {step}, {segments} segments, {rec.attrs['system']}")

# %%
# What would mislead
# ------------------
# The null of the comparison shifts each unit in time. A signal that drifts is not the same process once its ends are
# joined, so a line is taken off each unit, within each segment (:doc:`/nulls` says why). Spikes and activations do not
# drift here and stay as they are.


def level(rec):
    """Take a line off each unit, in each segment."""
    parts = rec["segment"].values if "segment" in rec.coords else np.zeros(rec.sizes["time"])
    values = np.concatenate([detrend(rec.values[parts == part], axis=0) for part in dict.fromkeys(parts)])
    return rec.copy(data=values)


recordings |= {name: level(recordings[name]) for name in ("scalp", "image", "glow")}

# %%
# Compare
# -------
# All are cut to the same number of units and samples, since most figures depend on both, and z-scored. The cut is a
# random draw: another ``seed`` gives another. Two surrogates and no intervals keep this page short; a study takes the
# defaults, twenty surrogates and ten parts left out, or more.

tree = comparison.compare(recordings, units=16, samples=200, nulls=2, resamples=0, seed=0)
plot.figure_strips(tree, plt.figure(figsize=(10, 6), layout="constrained"))

# %%
# The table and the report
# ------------------------
# The page holds every figure beside its null, each recording with its components, and the command that repeats it.

table = report.table(tree)
print(table.pivot(index="metric", columns="recording", values="data").round(2).to_string())
page = report.write(tree, folder / "report.html", command="neurointerp compare study.yaml")
print(f"report.html: {(folder / 'report.html').stat().st_size / 1e6:.1f} MB, nothing fetched when it is opened")

# %%
# System or instrument?
# ---------------------
# Independent noise in each unit raises the effective dimension. How much noise would make the calcium recording look
# like another? The lines are the others. A difference that some noise explains is no finding about brains.


def dimension(values):
    """Give the participation ratio of the correlation matrix."""
    spectrum = np.linalg.eigvalsh(np.corrcoef(values.T))
    return spectrum.sum() ** 2 / (spectrum**2).sum()


rng = np.random.default_rng(0)
matched = statistics.zscore(tree["matched/glow/matched"])
noise = np.linspace(0, 3, 13)
curve = [dimension(matched.values + sd * rng.standard_normal(matched.shape)) for sd in noise]
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.plot(noise, curve, "o-", color="#0072B2", markersize=4, label="calcium with noise added")
for name, style in (("scalp", ":"), ("image", "--"), ("sparks", "-."), ("network", "-")):
    value = tree["summary"].sel(metric="effective_dimension", arm="data", recording=name).item()
    ax.axhline(value, color="0.4", linestyle=style, linewidth=1, label=name)
ax.set(xlabel="noise (standard deviations of the signal)", ylabel="effective dimension")
ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
ax.spines[["top", "right"]].set_visible(False)

# %%
# As a file
# ---------
# The same study as text, with more surrogates. ``neurointerp compare study.yaml`` keeps what it computed of each
# recording, so that one more recording costs its own share.

study = ["recordings:"]
for name, rec in recordings.items():
    ni.save(rec, folder / f"{name}.zarr")
    study.append(f"  {name}: {{source: {name}.zarr}}")
study += ["units: 16", "samples: 200", "nulls: 20", "seed: 0"]
(folder / "study.yaml").write_text("\n".join(study), "utf-8")
print("\n".join(study))

# %%
# What can be said
# ----------------
# Of the real files: EEG and image lie outside their own nulls on most figures, their units go together more than
# shifted ones do. Of the calcium, the network and above all the spikes so short a stretch shows little. (Two
# surrogates show where a null lies, not how wide it is.) The EEG has by far the fewest dimensions, and the noise above
# cannot give it to the others; but one skull mixes all its electrodes, which no other instrument here does. Between
# calcium and the network the noise could be the whole difference. Times are not set beside each other: they are in
# seconds and in tokens. One recording of each kind says nothing about kinds: several of each, with ``group``, would.
#
# What such figures may be read for, and what not, is told in :doc:`/comparison` and :doc:`/comparing`.
