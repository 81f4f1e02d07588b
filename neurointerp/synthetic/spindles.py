"""EEG of alert and drowsy people in which brief alpha spindles are the cause, known to the sample."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._simulated import names, simulated
from neurointerp.synthetic.eeg import _DEPTH, _HEAD, _dipole_potential, _positions

Floats = NDArray[np.float64]

_CITATION = "Cui, Lan, Sourina, Mueller-Wittig (2022) IEEE Trans Neural Netw Learn Syst 34:7921-7933 (the setting)"
_SPINDLE, _BETA = (0.15, -0.88, 0.45), ((-0.65, 0.0, 0.76), (0.65, 0.0, 0.76))  # directions: parieto-occipital, motor
_SOURCES = 64  # more than electrodes, as in a head: of fewer, a filter over space could take all away
_DROWSY, _ALERT = 0.85, 0.10  # the share of samples of each class that hold spindles

# Inclination from the vertex and azimuth from the right ear, in degrees, on a sphere (10-20 and the places between).
_CAP = {
    "Fp1": (-92, -72), "Fp2": (92, 72), "F7": (-92, -36), "F3": (-60, -51), "Fz": (46, 90), "F4": (60, 51),
    "F8": (92, 36), "FT7": (-92, -18), "FC3": (-50, -28), "FCz": (23, 90), "FC4": (50, 28), "FT8": (92, 18),
    "T3": (-92, 0), "C3": (-46, 0), "Cz": (0, 0), "C4": (46, 0), "T4": (92, 0), "TP7": (-92, 18), "CP3": (-50, 28),
    "CPz": (23, -90), "CP4": (50, -28), "TP8": (92, -18), "T5": (-92, 36), "P3": (-60, 51), "Pz": (46, -90),
    "P4": (60, -51), "T6": (92, -36), "O1": (-92, 72), "Oz": (92, -90), "O2": (92, -72),
}  # fmt: skip


def drowsiness(
    *,
    n_subjects: int = 11,
    n_trials: int = 184,
    duration: float = 3.0,
    sampling_rate: float = 128.0,
    spindle: float = 12e-6,
    seed: int = 0,
) -> xr.DataTree:
    r"""Simulate EEG samples of alert and drowsy people; what tells them apart are brief alpha spindles.

    Each person has a mixing of their own of 64 sources of :math:`1/f` power, a gain (that of the head, one for all
    electrodes) and a noise of each electrode (log s.d. 0.3). There are more sources than electrodes, as in any head:
    no filter over space takes the background away. Blinks (Fp1, Fp2 and what is near them) and bursts of muscle noise
    (T3, T4) come in both classes alike. Of the drowsy samples 85 in 100 hold one or two spindles (0.5 to 1 s, 9 to 11
    Hz, in a Hann window) of one radial dipole under the parieto-occipital scalp, at any time, of the alert ones 10 in
    100; alert samples hold bursts of 18 to 25 Hz under C3 and C4. By default spindles are as strong as lets linear
    discriminants of log power in four bands tell 0.71 of samples, in people they never saw (mean of seeds 201 to 203).

    Parameters
    ----------
    n_subjects, n_trials
        People, and samples of each; half of them drowsy, in random order.
    duration, sampling_rate
        Of a sample, in s and Hz.
    spindle
        Amplitude of a spindle at the electrode that sees it best, before the person's gain, in V. The background
        is about 10 uV.
    seed
        Seed of everything.

    Returns
    -------
    xr.DataTree
        ``recordings/drowsiness`` (trial, time, unit) in V: 30 channels with ``x``, ``y``, ``z`` in m, and on ``trial``
        ``subject`` and ``condition``. ``truth``: ``spindle (trial, time)``, 1 within a spindle; ``leadfield (unit)`` of
        its source, relative to the largest.

    Raises
    ------
    RecordingError
        If a parameter is out of range.

    References
    ----------
    The setting (11 people, 184 samples each, 30 channels, 3 s at 128 Hz): Cui et al. (2022), EEG-based
    cross-subject driver drowsiness recognition with an interpretable convolutional neural network, IEEE Trans Neural
    Netw Learn Syst 34:7921-7933. The signals are this package's.

    Examples
    --------
    >>> from neurointerp.synthetic import drowsiness
    >>> tree = drowsiness(n_subjects=2, n_trials=4)
    >>> dict(tree["recordings/drowsiness/recording"].sizes)
    {'trial': 8, 'time': 384, 'unit': 30}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    _parameters.integer("n_subjects", n_subjects, minimum=1)
    _parameters.integer("n_trials", n_trials, minimum=2)
    rate = _parameters.number("sampling_rate", sampling_rate, minimum=100.0)
    times = int(_parameters.number("duration", duration, minimum=1.0) * rate + 1e-9)
    _parameters.number("spindle", spindle, minimum=0.0)

    places = _cap()
    fields = [_seen(places, direction) for direction in (_SPINDLE, *_BETA)]
    blink, muscle = (_near(places, labels) for labels in (("Fp1", "Fp2"), ("T3", "T4")))
    values = np.zeros((n_subjects, n_trials, times, len(_CAP)))
    truth = np.zeros((n_subjects, n_trials, times))
    drowsy = np.stack([rng.permutation(np.arange(n_trials) % 2) for _ in range(n_subjects)])
    for person in range(n_subjects):
        mixing = rng.standard_normal((_SOURCES, len(_CAP))) * 10e-6 / np.sqrt(_SOURCES)
        gain, noise = np.exp(0.3 * rng.standard_normal()), np.exp(0.3 * rng.standard_normal(len(_CAP)))
        for trial in range(n_trials):
            x = _pink(rng, times, rate) @ mixing + 2e-6 * noise * rng.standard_normal((times, len(_CAP)))
            x += np.outer(_bursts(rng, times, rate, 0.5, (0.25, 0.4), (0.0, 0.0)), 60e-6 * blink)
            x += _muscle(rng, times, rate)[:, None] * rng.standard_normal((times, len(_CAP))) * 8e-6 * muscle
            state = drowsy[person, trial]
            if rng.random() < (_DROWSY if state else _ALERT):
                course = _bursts(rng, times, rate, 1.0, (0.5, 1.0), (9.0, 11.0), more=0.5)
                truth[person, trial] = course != 0
                x += np.outer(spindle * course, fields[0])
            if not state:
                for field in fields[1:]:
                    x += np.outer(3e-6 * _bursts(rng, times, rate, 0.6, (0.2, 0.5), (18.0, 25.0)), field)
            values[person, trial] = x * gain
    people = np.repeat(np.array(names("p", n_subjects), dtype=object), n_trials)
    rec = simulated(
        values.reshape(-1, times, len(_CAP)), function="drowsiness", parameters=parameters, citation=_CITATION,
        modality="eeg", units="V", sampling_rate=rate, unit=list(_CAP), dims=("trial", "time", "unit"),
        coords={
            **_positions("unit", places), "channel_type": ("unit", ["eeg"] * len(_CAP)), "subject": ("trial", people),
            "condition": ("trial", np.array(["alert", "drowsy"], dtype=object)[drowsy.ravel()]),
        },
        name="drowsiness",
    )  # fmt: skip
    known = {
        "spindle": xr.DataArray(
            truth.reshape(-1, times), dims=("trial", "time"), coords={"time": rec["time"].variable},
            attrs={"units": "1"},
        ),
        "leadfield": xr.DataArray(
            fields[0], dims="unit", coords={"unit": rec["unit"].variable}, attrs={"units": "1"}
        ),
    }  # fmt: skip
    return session({"drowsiness": rec}, truth=known)


def _cap() -> Floats:
    inclination, azimuth = np.deg2rad(np.array(list(_CAP.values()), dtype=float)).T
    ring = np.sin(inclination)
    return _HEAD * np.column_stack([ring * np.cos(azimuth), ring * np.sin(azimuth), np.cos(inclination)])


def _seen(places: Floats, direction: tuple[float, float, float]) -> Floats:
    """Give what each channel sees of a radial dipole, relative to the channel that sees most."""
    unit = np.array([direction]) / np.linalg.norm(direction)
    field = _dipole_potential(places, _DEPTH * unit, unit)[:, 0]
    return np.asarray(field / np.abs(field).max())


def _near(places: Floats, labels: tuple[str, ...]) -> Floats:
    """Give a weight that falls off over 2 cm from the named channels."""
    known = list(_CAP)
    apart = np.stack([np.linalg.norm(places - places[known.index(label)], axis=1) for label in labels])
    return np.asarray(np.exp(-0.5 * (apart.min(axis=0) / 0.02) ** 2))


def _pink(rng: np.random.Generator, times: int, rate: float) -> Floats:
    """Draw the signals (time, source) of 1/f power above 0.5 Hz and unit variance, cut from ones twice as long."""
    frequency = np.fft.rfftfreq(2 * times, 1 / rate)
    gain = np.where(frequency >= 0.5, 1 / np.sqrt(np.maximum(frequency, 0.5)), 0.0)
    phasors = rng.standard_normal((_SOURCES, gain.size, 2)) @ np.array([1, 1j])
    signals = np.fft.irfft(gain * phasors, 2 * times)[:, :times]
    return np.asarray((signals / signals.std(axis=1, keepdims=True)).T)


def _bursts(
    rng: np.random.Generator, times: int, rate: float, chance: float, length: tuple[float, float],
    frequency: tuple[float, float], more: float = 0.0,
) -> Floats:  # fmt: skip
    """Draw a course of Hann-windowed bursts of amplitude 1; at frequency 0 the window itself."""
    course = np.zeros(times)
    for _ in range(int(rng.random() < chance) + int(rng.random() < more)):
        size = int(rng.uniform(*length) * rate)
        start = int(rng.integers(0, times - size + 1))
        phase = 2 * np.pi * (rng.uniform(*frequency) * np.arange(size) / rate + rng.random() * (frequency[1] > 0))
        course[start : start + size] += np.hanning(size + 2)[1:-1] * np.cos(phase)
    return course


def _muscle(rng: np.random.Generator, times: int, rate: float) -> Floats:
    """Draw the envelope of muscle noise: in a third of the samples, for up to a second."""
    return _bursts(rng, times, rate, 0.33, (0.3, 1.0), (0.0, 0.0))
