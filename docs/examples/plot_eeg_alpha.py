"""
See the alpha rhythm on the scalp
=================================

Where on the head is the alpha rhythm? The spectrum is taken from a recording, the picture is drawn by MNE: objects go
both ways.
"""

# %%
# Load EEG
# --------
# ``demo-eeg`` is simulated: an occipital alpha and a beta rhythm under a 1/f background, seen through volume
# conduction, so that the picture can be held against what was planted. A real one follows below; for a file of yours
# write ``eeg.load("your.edf")``.

import os

import matplotlib.pyplot as plt
import mne
import numpy as np

import neurointerp as ni
from neurointerp.loaders import eeg

session = ni.load_session("demo-eeg")
rec = session["recordings/eeg_sources/recording"]
print(rec.dims, rec.shape, rec.attrs["units"], rec.attrs["sampling_rate"], "Hz")

# %%
# The same data as an object of MNE
# ---------------------------------
# Values, names, types and positions are carried over; nothing is scaled, since both sides hold volts.

raw = eeg.to_mne(rec)
print(raw)
print("values equal:", np.array_equal(raw.get_data(), rec.values.T))

# %%
# Power spectra
# -------------
# MNE's Welch estimate, in windows of two seconds.

spectrum = raw.compute_psd(method="welch", fmin=1, fmax=40, n_fft=256, n_overlap=128, verbose="error")
power, frequency = spectrum.get_data(return_freqs=True)

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for name, color in (("Oz", "C0"), ("Fz", "C1")):
    ax.semilogy(frequency, power[raw.ch_names.index(name)] * 1e12, color=color, label=name)
ax.axvspan(8, 13, color="0.9")
ax.set(xlabel="frequency (Hz)", ylabel="power (µV²/Hz)", title="alpha, 8 to 13 Hz")
ax.legend(frameon=False)

# %%
# Alpha on the scalp
# ------------------
# The share of 1 to 40 Hz power that lies in the alpha band, and beside it what the simulation planted: how strongly
# each channel sees the alpha source.

alpha = (frequency >= 8) & (frequency <= 13)
share = power[:, alpha].sum(axis=1) / power.sum(axis=1)
planted = np.abs(session["truth/leadfield"].sel(source="alpha").values)

fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, values, title in zip(
    axes, (share, planted), ("share of alpha power", "planted: gain of the source"), strict=True
):
    mne.viz.plot_topomap(values, raw.info, axes=ax, show=False, contours=4, cmap="viridis")
    ax.set_title(title)
print(f"correlation over channels: {np.corrcoef(share, planted)[0, 1]:.2f}")
print("strongest:", ", ".join(np.array(raw.ch_names)[np.argsort(share)[::-1][:5]]))

# %%
# A real person
# -------------
# A minute with open and a minute with closed eyes [1]_: alpha appears at the back of the head when the eyes close. The
# files are EDF, which holds no positions; the names are those of the 10-10 system, which MNE knows. This part runs
# where the folder ``NEUROINTERP_MIRROR`` has the files.

if os.environ.get("NEUROINTERP_MIRROR"):
    fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    for ax, item, eyes in zip(axes, ("S001R01", "S001R02"), ("open", "closed"), strict=True):
        raw = eeg.to_mne(ni.load("physionet-eegmmidb", item))
        mne.datasets.eegbci.standardize(raw)
        raw.drop_channels(["T9", "T10"])  # the cap of the montage does not have them
        raw.set_montage("biosemi64")
        spectrum = raw.compute_psd(method="welch", fmin=1, fmax=40, n_fft=320, n_overlap=160, verbose="error")
        power, frequency = spectrum.get_data(return_freqs=True)
        alpha = (frequency >= 8) & (frequency <= 13)
        share = power[:, alpha].sum(axis=1) / power.sum(axis=1)
        image, _ = mne.viz.plot_topomap(
            share, raw.info, axes=ax, show=False, contours=4, cmap="viridis", vlim=(0, 0.8)
        )  # fmt: skip
        ax.set_title(f"eyes {eyes}")
        occipital = [raw.ch_names.index(name) for name in ("O1", "Oz", "O2")]
        print(f"eyes {eyes}: {share[occipital].mean():.0%} of the power at O1, Oz, O2 is alpha")
    fig.colorbar(image, ax=axes, label="share of alpha power", shrink=0.7)

# %%
# .. [1] Schalk G, et al. (2004). BCI2000: a general-purpose brain-computer interface (BCI) system. IEEE Trans Biomed
#    Eng 51:1034. Files: PhysioNet, EEG Motor Movement/Imagery Dataset.
