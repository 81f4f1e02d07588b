"""
MEG: from a raw file to the sides of the head
=============================================

Tones in the left and in the right ear: a raw FIF file is read, cut at its events and averaged; the averages are drawn
as maps of the helmet and traced back to two sources. The raw file is simulated, with sources of known place and
strength, so that the answers can be checked. With a mirror of the real files (``NEUROINTERP_MIRROR``) the same
functions then read the averages of a person who heard such tones [1]_.
"""

# %%
# A raw file
# ----------
# Yours takes the place of this one. Here 102 magnetometers on a helmet see two sources, one in each temporal lobe, a
# tenth of a second after each of 120 tones. Each side answers the ear across more strongly. Reading MEG needs
# ``pip install 'neurointerp[eeg,report]'``.

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

import neurointerp as ni
from neurointerp import plot
from neurointerp.loaders import eeg

RATE, TONES = 300.0, 120
PLACES = {"left": (-0.052, 0.005, 0.055), "right": (0.052, 0.005, 0.055)}  # m: right ear, nose, up
STRENGTH = {"left ear": {"left": 18e-9, "right": 34e-9}, "right ear": {"left": 34e-9, "right": 18e-9}}  # A m
sphere = mne.make_sphere_model(r0=(0.0, 0.0, 0.04), head_radius=None, verbose="error")


def helmet():
    """Describe 102 magnetometers that look at the middle of the head from 12 cm, down to the ears."""
    turn, down = np.arange(102) * np.pi * (3 - np.sqrt(5)), np.linspace(1, -0.25, 102)
    outward = np.stack([np.sqrt(1 - down**2) * np.cos(turn), np.sqrt(1 - down**2) * np.sin(turn), down], axis=1)
    info = mne.create_info([f"MEG{i:03}" for i in range(102)], RATE, "mag")
    for channel, way in zip(info["chs"], outward, strict=True):
        across = np.cross(way, (0.0, 1.0, 0.0) if abs(way[1]) < 0.9 else (1.0, 0.0, 0.0))
        across /= np.linalg.norm(across)
        channel["loc"][:] = [*(0.12 * way + (0.0, 0.0, 0.04)), *across, *np.cross(way, across), *way]
    info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.eye(4))
    return info


def simulated(path):
    """Write the raw file: events on a trigger channel, two sources, and noise of every sensor."""
    info, rng = helmet(), np.random.default_rng(0)
    down = [np.cross(np.subtract(place, (0, 0, 0.04)), (0.0, 1.0, 0.0)) for place in PLACES.values()]
    across = np.array([one / np.linalg.norm(one) for one in down])
    one = np.ones(2)
    sources = mne.Dipole(
        np.arange(2.0), np.array(list(PLACES.values())), one, across * np.sign(across[:, 2:]), 100 * one
    )
    field = mne.make_forward_dipole(sources, sphere, info, verbose="error")[0]["sol"]["data"]  # T for 1 A m
    values = 1.5e-13 * rng.standard_normal((102, int(TONES * 0.7 * RATE) + 300))
    trigger = np.zeros((1, values.shape[1]))
    after = np.arange(int(0.3 * RATE)) / RATE
    course = np.exp(-(((after - 0.1) / 0.02) ** 2))
    for number in range(TONES):
        start, ear = 100 + int(number * 0.7 * RATE), number % 2
        values[:, start : start + len(after)] += np.outer(field @ list(list(STRENGTH.values())[ear].values()), course)
        trigger[0, start : start + 5] = 1 + ear
    raw = mne.io.RawArray(values, info, verbose="error")
    marks = mne.io.RawArray(trigger, mne.create_info(["STI 014"], RATE, "stim"), verbose="error")
    raw.add_channels([marks], force_update_info=True)
    raw.save(path, verbose="error")
    return path


folder = Path(tempfile.mkdtemp())
path = simulated(folder / "tones_raw.fif")

# %%
# Read
# ----
# Magnetometers are one recording, in tesla, with a place for each; triggers have become rows of the event table.

session = eeg.load_session(path)
rec, events = session["recordings/meg/recording"], session["events"].to_dataset()
print(dict(rec.sizes), rec.attrs["units"], rec.attrs["sampling_rate"], "Hz; places in the frame", rec.x.attrs["frame"])
print(*np.unique(events.trial_type.values, return_counts=True))

# %%
# Cut and average
# ---------------
# A tenth of a second before each tone is the baseline. ``condition`` holds the code on the trigger channel, which says
# in which ear the tone was. What is left of the mean when every second trial is turned upside down is chance.

EARS = {"1": "left ear", "2": "right ear"}


def peak(average):
    """Give the sample from 60 to 150 ms after the tone at which the sensors see most."""
    time = average["time"].values
    return int(np.where((time > 0.06) & (time < 0.15), (average.values**2).mean(axis=1), 0).argmax())


trials = ni.align.epoch(rec, events, -0.1, 0.3)
trials = trials.copy(data=trials.values - trials.sel(time=slice(None, 0)).mean("time").values[:, None])
averages = {}
for code, ear in EARS.items():
    own = trials[trials["condition"].values == code]
    turned = own.values * np.resize([1, -1], own.sizes["trial"])[:, None, None]
    averages[ear] = own[0].copy(data=own.values.mean(axis=0))
    at = peak(averages[ear])
    size, beside = (1e15 * np.sqrt((one**2).mean(axis=1)) for one in (averages[ear].values, turned.mean(axis=0)))
    print(
        f"{ear}: {size[at]:.0f} fT after {1e3 * trials.time.values[at]:.0f} ms; chance, at most, {beside.max():.0f} fT"
    )

# %%
# Maps of the helmet
# ------------------
# Each sensor as a line, and all of them at the peak, seen from above with the nose up. A field that leaves the head on
# one side of a source and enters on the other is what a single source looks like; here there is one on each side.


def draw(averages, told):
    """Draw the average of each ear: all sensors over time, and a map at the largest."""
    _, axes = plt.subplots(2, 2, figsize=(9, 5.6), layout="constrained", width_ratios=[2, 1])
    for (ear, average), (left, right) in zip(averages.items(), axes, strict=True):
        time, values, at = average["time"].values * 1e3, average.values * 1e15, peak(average)
        left.plot(time, values, color="#0072B2", linewidth=0.5, alpha=0.5)
        left.axvline(time[at], color="#D55E00", linewidth=1)
        left.set(
            xlabel="time after the tone (ms)", ylabel="field (fT)", title=f"{ear} ({told})", xlim=(time[0], time[-1])
        )
        left.spines[["top", "right"]].set_visible(False)
        plot.sensor_map(average.values[at], average, right)
        right.set_title(f"{time[at]:.0f} ms", fontsize=9)


draw(averages, "simulated")

# %%
# Two sources
# -----------
# MNE fits a dipole, in a head that is a sphere: first to the sensors of either side alone, then by turns to what the
# dipole of the other side leaves. Place and strength are known here, so that the error can be read.


def sources(average, info):
    """Fit a dipole to each side at the peak: its place (mm), its strength (nA m), and what both explain (%)."""
    names, at = list(average["unit"].values), peak(average)
    info = mne.pick_info(info, [info.ch_names.index(name) for name in names])
    field = average.values[at]
    own = {side: sign * average["x"].values > 0 for side, sign in (("left", -1), ("right", 1))}
    seen = {side: np.zeros(len(field)) for side in own}
    found = {}
    for turn in range(5):
        for side, other in (("left", "right"), ("right", "left")):
            used = own[side] if turn == 0 else np.ones(len(field), dtype=bool)
            part = mne.pick_info(info, np.flatnonzero(used))
            evoked = mne.EvokedArray((field - seen[other])[used][:, None], part, verbose="error")
            noise = mne.make_ad_hoc_cov(part, verbose="error")
            fit = mne.fit_dipole(evoked, noise, sphere, verbose="error")[0]
            forward, source = mne.make_forward_dipole(fit, sphere, info, verbose="error")
            seen[side] = forward["sol"]["data"] @ source.data[:, 0]
            found[side] = 1e3 * fit.pos[0], 1e9 * float(fit.amplitude[0])
    explained = 100 * (1 - np.sum((field - sum(seen.values())) ** 2) / np.sum(field**2))
    return found, explained


def compared(averages, info, told, planted=None):
    """Print the sources of each ear and draw their strength."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained", sharey=True)
    for ax, (ear, average) in zip(axes, averages.items(), strict=True):
        found, explained = sources(average, info)
        for side, (place, strength) in found.items():
            known = "" if planted is None else f", {np.linalg.norm(place - 1e3 * np.array(PLACES[side])):.0f} mm off"
            print(
                f"{ear}, {side} side: {strength:.0f} nA m at {place.round()} mm{known}; both explain {explained:.0f}%"
            )
        ax.bar(list(found), [strength for _, strength in found.values()], color=["#0072B2", "#D55E00"], width=0.6)
        for place, side in enumerate(found if planted is not None else []):
            ax.hlines(1e9 * planted[ear][side], place - 0.4, place + 0.4, color="black", linestyle="--")
        ax.set(title=ear, xlabel="side of the head")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("strength (nA m)")
    fig.suptitle(told, fontsize=10)


compared(averages, mne.io.read_info(path, verbose="error"), "simulated; dashed: planted", STRENGTH)

# %%
# A person
# --------
# A FIF file of averages is a recording ``(trial, time, unit)``, a trial for each condition. This one [1]_ has means of
# three and of six tones. At 93 ms both maps have the pattern of a source on each side, and the left source of tones
# in the right ear lies where the one above was planted. But before the tone, at -70 ms, the field of three tones is
# as large as after it, two dipoles explain half of it, and of six tones they do not find the side across to be the
# stronger: for that there are too few.

if mirror := os.environ.get("NEUROINTERP_MIRROR"):
    real = Path(mirror, "meg", "mne_sample", "test-ave.fif.gz")
    held = eeg.load(real, modality="meg").load()
    print(dict(zip(held["condition"].values, held["averaged"].values.tolist(), strict=True)), "trials")
    own = {}
    for number, ear in enumerate(EARS.values()):
        one = held[number].sel(time=slice(-0.1, 0.3))
        own[ear] = one.copy(data=one.values - one.sel(time=slice(None, 0)).values.mean(axis=0))
    draw(own, "a person")
    compared(own, mne.io.read_info(real, verbose="error"), "a person")

# %%
# Next: :doc:`/tutorials/plot_6_study` puts recordings of other kinds beside each other; :doc:`/loaders_eeg` says what
# becomes of each field of a file.
#
# .. [1] Gramfort A, et al. (2013). MEG and EEG data analysis with MNE-Python. Front Neurosci 7:267.
