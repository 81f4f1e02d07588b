"""Features of events at irregular times (words) on a slower, regular clock."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.align._clock import clock_units
from neurointerp.errors import AlignmentError
from neurointerp.matrix import require_complete, stretches
from neurointerp.recordings import add_history, recording


def lanczos(words: xr.DataArray, to: xr.DataArray, *, lobes: int = 3, mean: bool = False) -> xr.DataArray:
    r"""Low-pass features of words and sample them on the clock of another recording.

    :math:`y(t) = \sum_i x_i L(r (t - t_i))` for the rate :math:`r` of `to` and :math:`L(s) = \operatorname{sinc}(s)
    \operatorname{sinc}(s / a)` within :math:`|s| < a` lobes, 0 beyond: what lies above half the rate is damped, not
    folded down. It is a sum over words, so that it grows with their rate: a feature that is 1 at each word gives
    about the number of words per sample.

    Parameters
    ----------
    words
        (time, unit), one sample per word at its time in the same clock units as `to`.
    to
        A recording with a regular `time`; only its clock is read.
    lobes
        Lobes of the kernel on either side, at least 1.
    mean
        Divide by the sum of the kernel over words, so that it is their weighted mean; NaN where no word is within
        reach or the weights cancel.

    Returns
    -------
    xarray.DataArray
        (time, unit) on the clock of `to`, with its `segment`; units and attrs of `words`. Where no word is within
        reach it is 0: nothing was said.

    Raises
    ------
    AlignmentError
        When a clock is missing or irregular, clock units differ, `words` has segments (drop them if they are no gaps
        in time), or no word is near any sample.
    AnalysisError
        When values are missing.

    References
    ----------
    Duchon (1979), Lanczos filtering in one and two dimensions, J Appl Meteorol 18:1016-1022; for words and fMRI:
    Huth et al. (2016), Natural speech reveals the semantic maps that tile human cerebral cortex, Nature 532:453-458.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> words = ni.recording(np.ones((200, 1)), modality="stimulus", units="1", time=np.arange(200) * 0.5)
    >>> scans = ni.recording(np.zeros((50, 1)), modality="fmri", units="1", sampling_rate=0.5)
    >>> lanczos(words, scans).values[10:13, 0].round(2)
    array([3.99, 3.99, 3.99])
    """
    if words.dims != ("time", "unit") or "time" not in to.dims or "sampling_rate" not in to.attrs:
        raise AlignmentError(
            f"lanczos: words need the dims (time, unit), found {words.dims}; `to` a regular time, found dims {to.dims}"
            f", sampling_rate {to.attrs.get('sampling_rate')}"
        )
    if clock_units(words) != clock_units(to) or lobes < 1:
        raise AlignmentError(
            f"lanczos: clocks in {clock_units(words)!r} and {clock_units(to)!r}, {lobes} lobes: one clock unit and a "
            "lobe or more are needed"
        )
    if len(stretches(words)) > 1:
        raise AlignmentError(
            f"lanczos: words have {len(stretches(words))} segments, and nothing may cross them; drop_vars('segment') "
            "if they are no gaps in time"
        )
    require_complete(words, "align.lanczos")
    weight = _kernel(words["time"].values, to["time"].values, float(to.attrs["sampling_rate"]), lobes)
    if not weight.any():
        raise AlignmentError(
            f"lanczos: none of {words.sizes['time']} words (from {words['time'].values[:1]}) is near a sample of `to`"
        )
    values = weight @ np.asarray(words.values, dtype=np.float64)
    if mean:
        total = weight.sum(axis=1, keepdims=True)
        values = np.where(np.abs(total) > 1e-6, values / np.where(np.abs(total) > 1e-6, total, 1.0), np.nan)
    labels = {str(name): ("unit", c.values) for name, c in words.coords.items() if c.dims == ("unit",)}
    clock = {str(name): ("time", to[name].values) for name in ("segment",) if name in to.coords}
    labels.pop("unit", None)
    out = recording(
        values, modality=words.attrs["modality"], units=words.attrs["units"], time=to["time"].values,
        unit=list(words["unit"].values), coords={**labels, **clock}, name=str(words.name or "words"),
        attrs={**words.attrs, "sampling_rate": to.attrs["sampling_rate"]},
    )  # fmt: skip
    out["time"].attrs.update(to["time"].attrs)
    return add_history(out, "align.lanczos", lobes=lobes, mean=mean, words=words.sizes["time"])


def _kernel(at: NDArray[np.float64], to: NDArray[np.float64], rate: float, lobes: int) -> NDArray[np.float64]:
    """Give the weight of each word (columns) in each sample (rows)."""
    distance = (to[:, None] - at[None, :]) * rate
    found: NDArray[np.float64] = np.where(np.abs(distance) < lobes, np.sinc(distance) * np.sinc(distance / lobes), 0.0)
    return found
