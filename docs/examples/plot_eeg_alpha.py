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
# conduction. For a real one write ``ni.load("physionet-eegmmidb", "S001R02")``, or ``eeg.load("your.edf")`` for a file
# of yours; the rest of the page stays as it is.

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
