"""
EEG: from an EDF file to the alpha rhythm on the scalp
======================================================

Two raw files, eyes open and eyes closed, are read, checked, kept, and compared: where on the head is the alpha rhythm,
and is its rise more than chance? With a mirror of the real files (``NEUROINTERP_MIRROR``) they are EDF files of one
person [1]_; without one they are simulated, written as raw files first, and every picture says so.
"""

# %%
# The raw files
# -------------
# Yours take the place of these two paths. Reading EEG needs ``pip install 'neurointerp[eeg,report]'``.

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

import neurointerp as ni
from neurointerp import statistics
from neurointerp.analyses import connectivity
from neurointerp.loaders import eeg

folder = Path(tempfile.mkdtemp())
if mirror := os.environ.get("NEUROINTERP_MIRROR"):
    there = Path(mirror, "eeg", "physionet_eegmmidb")
    paths = {"open": there / "S001R01_first60s.edf", "closed": there / "S001R02_first60s.edf"}
    told = "Schalk et al. 2004"
else:
    simulated = ni.load_session("demo-eeg")
    closed = simulated["recordings/eeg_sources/recording"]
    truth = simulated["truth"].to_dataset()
    alpha = (truth["leadfield"] * truth["sources"]).sel(source="alpha").transpose("time", "unit").values
    paths = {eyes: folder / f"{eyes}.edf" for eyes in ("open", "closed")}
    for eyes, rec in (("open", closed.copy(data=closed.values - 0.8 * alpha)), ("closed", closed)):
        mne.export.export_raw(paths[eyes], eeg.to_mne(rec), verbose="error")  # needs `pip install edfio`
    told = "simulated"
print(told, {eyes: path.name for eyes, path in paths.items()})

# %%
# Read
# ----
# A recording is a labelled array: samples by channels, in volts, with a clock in seconds. Nothing is filtered or
# referenced again. What the loader changed or left out stands in ``history``. On the command line the same is
# ``neurointerp convert mine.edf mine.zarr``.

recordings = {eyes: eeg.load(path, strip=".") for eyes, path in paths.items()}
rec = recordings["closed"]
print(dict(rec.sizes), rec.attrs["units"], rec.attrs["sampling_rate"], "Hz", rec.unit.values[:5])

# %%
# Keep, and open again
# --------------------
# A store is written whole or not at all, and carries digests of what it holds. Opening it reads no values yet.

store = ni.save(rec, folder / "closed.zarr")
again = ni.open(store)
print(ni.verify(store), "chunks are whole; the same recording:", ni.digest(again) == ni.digest(rec))

# %%
# Spectra, by MNE
# ---------------
# Recordings become objects of MNE and come back; both sides hold volts. EDF has no positions: where the file did not
# state them, the names are those of the 10-10 system, which MNE knows.


def spectrum(one):
    """Give the power of each channel (channel, frequency), the frequencies, and MNE's description of the channels."""
    raw = eeg.to_mne(one)
    if "x" not in one.coords:
        mne.datasets.eegbci.standardize(raw)
        raw.drop_channels([name for name in ("T9", "T10") if name in raw.ch_names])  # the montage does not have them
        raw.set_montage("biosemi64")
    window = 2 * int(one.attrs["sampling_rate"])
    found = raw.compute_psd(method="welch", fmin=1, fmax=40, n_fft=window, n_overlap=window // 2, verbose="error")
    return *found.get_data(return_freqs=True), raw.info


power = {eyes: spectrum(one) for eyes, one in recordings.items()}
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
for (eyes, (values, frequency, info)), colour in zip(power.items(), ("#0072B2", "#D55E00"), strict=True):
    ax.semilogy(frequency, values[info.ch_names.index("Oz")] * 1e12, color=colour, label=f"eyes {eyes}")
ax.axvspan(8, 13, color="0.9", zorder=0)
ax.set(xlabel="frequency (Hz)", ylabel="power at Oz (µV²/Hz)", title=f"alpha, 8 to 13 Hz ({told})")
ax.legend(frameon=False)

# %%
# Where is it?
# ------------
# The share of the power from 1 to 40 Hz that lies in the alpha band, on one colour scale.

share = {
    eyes: values[:, (frequency >= 8) & (frequency <= 13)].sum(axis=1) / values.sum(axis=1)
    for eyes, (values, frequency, _) in power.items()
}
info = power["closed"][2]
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for ax, (eyes, values) in zip(axes, share.items(), strict=True):
    image, _ = mne.viz.plot_topomap(
        values, info, axes=ax, show=False, contours=4, cmap="viridis", vlim=(0, max(map(np.max, share.values())))
    )  # fmt: skip
    ax.set_title(f"eyes {eyes} ({told})")
fig.colorbar(image, ax=axes, label="share of alpha power", shrink=0.7)
gain = share["closed"] - share["open"]
print("rises most at", ", ".join(np.array(info.ch_names)[np.argsort(gain)[::-1][:5]]))

# %%
# More than chance?
# -----------------
# Windows of two seconds are the unit of this test: their labels, open or closed, are shuffled. Neighbouring windows are
# not independent, so that the p-value is on the low side; a second pair of runs would say more.


def alpha_of_windows(one):
    """Give the share of alpha at the back of the head in each window of two seconds."""
    trials = ni.align.windows(one.sel(unit=["O1", "Oz", "O2"]), 2 * int(one.attrs["sampling_rate"]))
    values = np.abs(np.fft.rfft(statistics.zscore(trials).values, axis=1)) ** 2
    frequency = np.fft.rfftfreq(trials.sizes["time"], 1 / one.attrs["sampling_rate"])
    within = (frequency >= 8) & (frequency <= 13)
    return (values[:, within].sum(axis=(1, 2))) / values[:, frequency <= 40].sum(axis=(1, 2))


groups = {eyes: alpha_of_windows(one) for eyes, one in recordings.items()}
pooled, size = np.concatenate(list(groups.values())), len(groups["open"])
rng = np.random.default_rng(0)
null = [(mixed := rng.permutation(pooled))[size:].mean() - mixed[:size].mean() for _ in range(999)]
found = groups["closed"].mean() - groups["open"].mean()
p = (1 + np.sum(np.array(null) >= found)) / 1000
print(
    f"alpha at O1, Oz, O2: +{found:.2f} with closed eyes; shuffled {np.mean(null):+.2f} ± {np.std(null):.2f}, p {p:.3f}"
)

# %%
# Who goes with whom
# ------------------
# A result is labelled as its input is. Coherence in the alpha band is high between neighbours for a dull reason as
# well, since the skull mixes sources; the imaginary part sees no mixing without delay.

bands = {"fmin": 8.0, "fmax": 13.0, "window": 2 * int(rec.attrs["sampling_rate"]), "bandwidth": 2.0}
some = rec.sel(unit=["Fz", "Cz", "Pz", "Oz", "O1", "O2"])
for method in (connectivity.coherence, connectivity.imaginary_coherence):
    graph = method(some, **bands).connectivity.mean("frequency")
    print(f"{method.__name__:20} O1 - O2 {abs(graph.sel(source='O1', target='O2').item()):.2f}", end="   ")
    print(f"Fz - Oz {abs(graph.sel(source='Fz', target='Oz').item()):.2f}")

# %%
# Next: :doc:`/tutorials/plot_6_study` puts such a file beside other kinds of recording; :doc:`/loaders_eeg` says what
# becomes of each field of a file.
#
# .. [1] Schalk G, et al. (2004). BCI2000: a general-purpose brain-computer interface (BCI) system. IEEE Trans Biomed
#    Eng 51:1034. Files: PhysioNet, EEG Motor Movement/Imagery Dataset.
