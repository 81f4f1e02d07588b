"""Scalp EEG of rhythmic and 1/f sources in a conducting sphere."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._simulated import names, on_clock, simulated

_CITATION = "Yao (2000) IEEE Trans Biomed Eng 47:964-966; Timmer & Koenig (1995) Astron Astrophys 300:707-710"
_HEAD, _DEPTH = 0.09, 0.055  # m, radius of the head and of the sources
_CONDUCTIVITY = 0.33  # S/m
_OCCIPITAL, _MOTOR = (0.0, -0.97, 0.24), (-0.65, 0.0, 0.76)  # directions from the centre
_ALPHA_MOMENT, _BETA_MOMENT, _BACKGROUND_MOMENT = 50e-9, 30e-9, 35e-9  # A m, rms
_ALPHA_WIDTH, _BETA_WIDTH = 0.6, 1.5  # Hz, standard deviation of the spectral peak

# Inclination from the vertex and azimuth from the right ear, in degrees: the BioSemi 32-channel cap.
_CAP = {
    "Fp1": (-92, -72), "AF3": (-74, -65), "F7": (-92, -36), "F3": (-60, -51), "FC1": (-32, -45),
    "FC5": (-72, -21), "T7": (-92, 0), "C3": (-46, 0), "CP1": (-32, 45), "CP5": (-72, 21),
    "P7": (-92, 36), "P3": (-60, 51), "Pz": (46, -90), "PO3": (-74, 65), "O1": (-92, 72),
    "Oz": (92, -90), "O2": (92, -72), "PO4": (74, -65), "P4": (60, -51), "P8": (92, -36),
    "CP6": (72, -21), "CP2": (32, -45), "C4": (46, 0), "T8": (92, 0), "FC6": (72, 21),
    "FC2": (32, 45), "F4": (60, 51), "F8": (92, 36), "AF4": (74, 65), "Fp2": (92, 72),
    "Fz": (46, 90), "Cz": (0, 0),
}  # fmt: skip


def eeg_sources(
    *,
    n_units: int = 32,
    n_background: int = 12,
    duration: float = 10.0,
    sampling_rate: float = 128.0,
    alpha: float = 10.0,
    beta: float = 20.0,
    exponent: float = 1.0,
    noise: float = 1e-6,
    seed: int = 0,
) -> xr.DataTree:
    r"""Simulate EEG as dipole sources seen through the potential of a homogeneous conducting sphere.

    Sources are Gaussian signals with a given spectrum: a narrow peak for the occipital alpha and the left
    motor beta source, whose amplitudes wax and wane over the inverse of the peak's width, and :math:`1/f^b`
    power for background sources at random places. All are radial dipoles 55 mm from the centre of a 90 mm
    head. ``recording = sources @ leadfield.T + noise``, in volts against the mean of the whole sphere.

    Parameters
    ----------
    n_units
        With 32, the positions and names of the BioSemi cap; otherwise that many channels spread evenly over
        the upper part of the head and called ``E..``.
    n_background
        Number of 1/f sources.
    duration
        Length in s; rounded down to whole samples.
    sampling_rate
        Samples per second, above four times ``beta`` and ``alpha``.
    alpha, beta
        Frequencies of the two rhythms in Hz.
    exponent
        Exponent b of the background's power spectrum.
    noise
        Standard deviation of the sensor noise in V.
    seed
        Seed of source positions, source signals and noise.

    Returns
    -------
    xr.DataTree
        ``recordings/eeg_sources`` (time, unit) in V, with ``x``, ``y``, ``z`` in m (to the right, forward,
        up; origin at the centre of the sphere) and ``channel_type``. ``truth``: ``sources (time, source)`` in
        A m, ``leadfield (unit, source)`` in V/(A m); sources are called alpha, beta, background.. and carry
        ``x``, ``y``, ``z``.

    Raises
    ------
    RecordingError
        If a parameter is out of range.

    References
    ----------
    Potential: Yao (2000), Electric potential produced by a dipole in a homogeneous conducting sphere, IEEE
    Trans Biomed Eng 47:964-966. Signals: Timmer and Koenig (1995), On generating power law noise, Astron
    Astrophys 300:707-710, with any spectrum in place of the power law. Deviations: one sphere, so no skull
    and less blur than a real head; moments are chosen for tens of microvolts at the scalp.

    Examples
    --------
    >>> from neurointerp.synthetic import eeg_sources
    >>> tree = eeg_sources()
    >>> dict(tree["recordings/eeg_sources/recording"].sizes)
    {'time': 1280, 'unit': 32}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    _parameters.integer("n_units", n_units, minimum=2)
    _parameters.integer("n_background", n_background, minimum=0)
    _parameters.number("alpha", alpha, above=0.0)
    _parameters.number("beta", beta, above=0.0)
    _parameters.number("exponent", exponent, minimum=0.0)
    _parameters.number("noise", noise, minimum=0.0)
    rate = _parameters.number("sampling_rate", sampling_rate, above=4 * max(alpha, beta))
    n_samples = int(_parameters.number("duration", duration, minimum=2 / rate) * rate + 1e-9)

    labels, channels = _channels(n_units)
    around = rng.standard_normal((n_background, 3))
    around[:, 2] = np.abs(around[:, 2])  # no source below the channels
    directions = np.vstack([_OCCIPITAL, _MOTOR, around])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    places = _DEPTH * directions
    leadfield = _dipole_potential(channels, places, directions)
    sources = _signals(rng, n_samples, rate, n_background, alpha, beta, exponent)
    values = sources @ leadfield.T + noise * rng.standard_normal((n_samples, n_units))

    rec = simulated(
        values,
        function="eeg_sources",
        parameters=parameters,
        citation=_CITATION,
        modality="eeg",
        units="V",
        sampling_rate=rate,
        unit=labels,
        coords=_positions("unit", channels) | {"channel_type": ("unit", ["eeg"] * n_units)},
        name="eeg_sources",
    )
    kinds = np.array(["alpha", "beta", *names("background", n_background)], dtype=object)
    truth = {
        "sources": on_clock(sources, rec, "source", kinds)
        .assign_coords(_positions("source", places))
        .assign_attrs(units="A m"),
        "leadfield": xr.DataArray(
            leadfield,
            dims=("unit", "source"),
            coords={"unit": rec["unit"].variable, "source": kinds},
            attrs={"units": "V/(A m)"},
        ),
    }
    return session({"eeg_sources": rec}, truth=truth)


def _dipole_potential(
    electrodes: NDArray[np.float64], places: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.float64]:
    r"""Return the surface potential (electrode, dipole) of unit dipoles in a homogeneous conducting sphere.

    .. math:: V = \frac{q}{4\pi\sigma} \cdot \left[\frac{2 (r - r_0)}{d^3}
        + \frac{r + R (r - r_0) / d}{R (R^2 - r \cdot r_0 + R d)}\right], \quad d = |r - r_0|

    the gradient in :math:`r_0` of the potential of a point current; its mean over the sphere is zero.

    Positions are in m from the centre, moments ``q`` in A m; potentials in V at a conductivity of 0.33 S/m.
    """
    radius = np.linalg.norm(electrodes, axis=1)[:, None, None]
    r, r0 = electrodes[:, None, :], places[None, :, :]
    apart = r - r0
    d = np.linalg.norm(apart, axis=-1, keepdims=True)
    inner = (r * r0).sum(axis=-1, keepdims=True)
    field = 2 * apart / d**3 + (r + radius * apart / d) / (radius * (radius**2 - inner + radius * d))
    return np.asarray((field * directions).sum(axis=-1) / (4 * np.pi * _CONDUCTIVITY))


def _channels(count: int) -> tuple[list[str], NDArray[np.float64]]:
    """Return names and positions (unit, 3) in m."""
    if count == len(_CAP):
        inclination, azimuth = np.deg2rad(np.array(list(_CAP.values()), dtype=float)).T
        labels, height = list(_CAP), np.cos(inclination)
        ring = np.sin(inclination)
    else:
        labels = names("E", count)
        height = 1 - (np.arange(count) + 0.5) * 1.1 / count  # equal areas, from the vertex to just below the ears
        azimuth = np.arange(count) * np.pi * (3 - np.sqrt(5))  # the golden angle
        ring = np.sqrt(1 - height**2)
    return labels, _HEAD * np.column_stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height])


def _signals(
    rng: np.random.Generator,
    n_samples: int,
    rate: float,
    n_background: int,
    alpha: float,
    beta: float,
    exponent: float,
) -> NDArray[np.float64]:
    """Draw the moments (time, source) in A m."""

    def peak(centre: float, width: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        return lambda f: np.exp(-0.25 * ((f - centre) / width) ** 2)

    def power_law(f: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(f ** (-exponent / 2))

    columns = [
        _ALPHA_MOMENT * _shaped(rng, n_samples, rate, peak(alpha, _ALPHA_WIDTH)),
        _BETA_MOMENT * _shaped(rng, n_samples, rate, peak(beta, _BETA_WIDTH)),
    ]
    columns += [_BACKGROUND_MOMENT * _shaped(rng, n_samples, rate, power_law) for _ in range(n_background)]
    return np.column_stack(columns)


def _shaped(
    rng: np.random.Generator,
    n_samples: int,
    rate: float,
    amplitude: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Draw a Gaussian signal of unit variance whose spectrum has this amplitude; twice as long, then cut.

    The cut keeps the ends of the signal from joining up, as those of a Fourier sum do.
    """
    frequency = np.fft.rfftfreq(2 * n_samples, 1 / rate)
    gain = np.zeros(len(frequency))
    gain[1:] = amplitude(frequency[1:].astype(np.float64))
    phasors = rng.standard_normal(len(gain)) + 1j * rng.standard_normal(len(gain))
    signal = np.fft.irfft(gain * phasors, 2 * n_samples)[:n_samples]
    return np.asarray((signal - signal.mean()) / signal.std())


def _positions(dim: str, places: NDArray[np.float64]) -> dict[str, tuple[str, NDArray[np.float64], dict[str, str]]]:
    """Return x, y, z coordinates along ``dim`` in m."""
    attrs = {"units": "m", "frame": "head"}
    return {axis: (dim, places[:, index], dict(attrs)) for index, axis in enumerate("xyz")}
