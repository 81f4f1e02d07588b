"""Transfer entropy of binned spikes: what of a unit's next bin only the past of another tells, in nats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.connectivity._pairs import require_whole, sampling_rate
from neurointerp.analyses.connectivity._past import rows
from neurointerp.analyses.connectivity._subjects import combined_p, mean, subjects_of
from neurointerp.errors import AnalysisError
from neurointerp.result import pending, result
from neurointerp.streaming import Rows

_ANALYSIS = "connectivity.transfer_entropy"
MOST_WORDS = 256
"""Words of past, of target or source, that are counted: more are never seen often enough."""
BLOCK = 2**26
"""Bytes of words that are laid out at a time."""


def transfer_entropy(
    recording: xr.DataArray,
    *,
    order: int = 1,
    source_order: int = 1,
    levels: int = 2,
    threshold: float | None = None,
    seed: int = 0,
) -> xr.Dataset:
    r"""Measure what the past of each unit tells of the next bin of each other unit, beside that unit's own past.

    .. math:: T_{x \to y} = H(y_t \mid y_t^-) - H(y_t \mid y_t^-, x_t^-)

    with :math:`y_t^-` the `order` bins before and :math:`x_t^-` the `source_order` bins before, entropies from the
    counts of words.

    Parameters
    ----------
    recording
        Counts per bin, on a regular clock and without missing values; or any values with `threshold`. Each subject is
        taken alone, and may lack whole units (NaN). The past is taken within segments and trials. Bins must be short
        beside synaptic delays: within one bin nothing has a direction.
    order, source_order
        Bins of past of the target and of the source, small: `levels` to the power of either is at most 256.
    levels
        Symbols that counts are made into: `levels - 1` spikes or more are one symbol. Default 2: spike or none.
    threshold
        Values above it become one spike, others none; left out, values must be whole numbers of 0 or more.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `connectivity (source, target)`, nats, 0 or more, NaN on the diagonal; `corrected`, the same less the bias of
        few samples (Miller and Madow), around 0 where nothing is told; `p_value` of the likelihood-ratio test that
        nothing is (chi-squared with as many degrees of freedom as the words that were seen leave; not corrected for
        the number of pairs). A unit of one symbol alone is NaN, and counted in the attr `undefined_units`. With a
        `subject` dim `connectivity` and `corrected` are means over subjects, `p_value` combines theirs by Fisher's
        method, and `by_subject`, `corrected_by_subject`, `p_value_by_subject` and `subjects (source, target)`, how many
        had the pair, stand beside them.

    Raises
    ------
    AnalysisError
        When values are missing or no counts, the clock is irregular or absent, orders are too large, or no stretch
        is longer than the past.

    References
    ----------
    Schreiber (2000), Measuring information transfer, Phys Rev Lett 85:461-464; Barnett and Bossomaier (2012), Transfer
    entropy as a log-likelihood ratio, Phys Rev Lett 109:138105 (test); Miller (1955), Note on the bias of information
    estimates. Deviation: in nats, as `granger`, to which it is half of for Gaussian values. Common inputs and indirect
    paths count as causes, since no third unit is conditioned on.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> spikes = np.random.default_rng(0).random((2001, 2)) < 0.2
    >>> spikes[1:, 1] |= spikes[:-1, 0]  # the second fires when the first has fired
    >>> rec = ni.recording(spikes.astype(int), modality="spikes", units="1", sampling_rate=1000.0)
    >>> out = connectivity.transfer_entropy(rec)
    >>> bool(out.connectivity[0, 1] > 0.1), bool(out.p_value[1, 0] > 0.01)
    (True, True)
    """
    sampling_rate(recording, _ANALYSIS)
    _require_small(order, source_order, levels)
    people = subjects_of(recording, _ANALYSIS, partial(_with_past, past=max(order, source_order)))
    analysed = pending(recording)
    found, varies = [], []
    for values in people.each:
        symbols = _symbols(values, levels, threshold)
        varies.append(symbols.about.varies if isinstance(symbols, Rows) else (symbols != symbols[:1]).any(axis=0))
        found.append(_tested(symbols, varies[-1], people.plan, order, source_order, levels))
    attrs = {"units": "1", "undefined_units": people.undefined(varies)}
    variables: dict[str, xr.DataArray] = {}
    for name, each in zip(("connectivity", "corrected", "p_value"), zip(*found, strict=True), strict=True):
        average = combined_p if name == "p_value" else mean
        variables |= people.variables(name, each, average=average, attrs=attrs)
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=analysed,
        parameters={"order": order, "source_order": source_order, "levels": levels, "threshold": threshold},
        seed=seed,
    )


def _tested(
    symbols: Any, varies: np.ndarray, present: np.ndarray, order: int, source_order: int, levels: int
) -> tuple[np.ndarray, ...]:
    """Give transfer entropy, the same less its bias, and its p-value (source, target); NaN where undefined."""
    transfer, bias, freedom = _transfer(symbols, present, order, source_order, levels)
    undefined = ~varies[:, None] | ~varies | np.eye(len(varies), dtype=bool)
    found = transfer, transfer - bias, _p_value(2 * len(present) * transfer, freedom)
    return tuple(np.where(undefined, np.nan, values) for values in found)


def _require_small(order: int, source_order: int, levels: int) -> None:
    require_whole(_ANALYSIS, order=order, source_order=source_order, levels=levels)
    if order < 1 or source_order < 1 or levels < 2 or levels ** max(order, source_order) > MOST_WORDS:
        raise AnalysisError(
            f"{_ANALYSIS}: order {order!r}, source_order {source_order!r} and levels {levels!r}: at least 1, 1 and 2 "
            f"are needed, and no more than {MOST_WORDS} words of past"
        )


def _with_past(parts: Sequence[slice], past: int) -> NDArray[np.int64]:
    present = rows(parts, past)
    if not len(present):
        raise AnalysisError(f"{_ANALYSIS}: no segment has more than {past} bins, the past of one word")
    return present


def _symbols(values: Any, levels: int, threshold: float | None) -> Any:
    lazy = isinstance(values, Rows)
    if threshold is not None:
        return values.then(partial(_above, threshold=threshold)) if lazy else _above(values, 0, threshold=threshold)
    other = int(values.total(_no_counts)[0] if lazy else _no_counts(values, 0, slice(None))[0])
    if other:
        raise AnalysisError(
            f"{_ANALYSIS}: {other} of {values.size} values are no counts; bin spikes (align.bin_events), or pass "
            "threshold"
        )
    return values.then(partial(_capped, levels=levels)) if lazy else _capped(values, 0, levels=levels)


def _above(values: Any, first: int, *, threshold: float) -> NDArray[np.int64]:
    return np.asarray(values > threshold, dtype=np.int64)


def _no_counts(values: Any, first: int, own: slice) -> tuple[int]:
    return (int(((values < 0) | (values != np.floor(values))).sum()),)


def _capped(values: Any, first: int, *, levels: int) -> NDArray[np.int64]:
    return np.asarray(np.minimum(values, levels - 1), dtype=np.int64)


def _words(symbols: np.ndarray, present: np.ndarray, lags: Sequence[int], levels: int) -> NDArray[np.int64]:
    """Give the number of the word (sample, unit) that the symbols at these lags before each sample make."""
    word = np.zeros((len(present), symbols.shape[1]), dtype=np.int64)
    for lag in lags:
        word = word * levels + symbols[present - lag]
    return word


def _one_hot(words: np.ndarray, kinds: int) -> np.ndarray:
    """Give (sample, unit x kind) ones where a unit has a word: float32, in which counts are exact up to 2^24."""
    dtype = np.float32 if len(words) < 2**24 else np.float64
    return np.asarray((words[:, :, None] == np.arange(kinds)).reshape(len(words), -1), dtype=dtype)


def _transfer(
    symbols: Any, present: np.ndarray, order: int, source_order: int, levels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give transfer entropy, its bias and degrees of freedom (source, target), all pairs from products of counts."""
    about = {"order": order, "source_order": source_order, "levels": levels}
    if isinstance(symbols, Rows):
        (joint,) = symbols.total(partial(_of_block, present=present, about=about), before=max(order, source_order))
    else:
        joint = _counts(symbols, present, **about)
    units = symbols.shape[1]
    out = np.empty((3, units, units))
    for unit in range(units):
        counts = joint[unit].transpose(2, 3, 0, 1)  # (source, word of source, present, word of target)
        out[:, :, unit] = _information(counts, len(present))
    return out[0], out[1], out[2]


def _of_block(
    values: Any, first: int, own: slice, *, present: np.ndarray, about: dict[str, int]
) -> tuple[NDArray[np.float64]]:
    low, high = np.searchsorted(present, [first + own.start, first + own.stop])
    return (_counts(values, present[low:high] - first, **about),)


def _counts(
    symbols: np.ndarray, present: np.ndarray, *, order: int, source_order: int, levels: int
) -> NDArray[np.float64]:
    """Count words (target, present, word of target, source, word of source)."""
    units, own, other = symbols.shape[1], levels**order, levels**source_order
    target = _words(symbols, present, range(order + 1), levels)  # the present is the leading digit
    source = _words(symbols, present, range(1, source_order + 1), levels)
    joint = np.zeros((units, levels, own, units, other))
    pieces = max(1, BLOCK // (8 * units * (levels * own + other)))
    for start in range(0, len(present), pieces):
        block = slice(start, start + pieces)
        product = _one_hot(target[block], levels * own).T @ _one_hot(source[block], other)
        joint += product.reshape(joint.shape)
    return joint


def _information(counts: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the conditional information of each source from counts (source, word of source, present, word of target)."""
    whole, past = counts, counts.sum(axis=2)
    alone, own = counts.sum(axis=1), counts.sum(axis=(1, 2))
    entropy, kinds = zip(*(_entropy(table, samples) for table in (alone, own, whole, past)), strict=True)
    transfer = entropy[0] - entropy[1] - entropy[2] + entropy[3]
    freedom = kinds[2] - kinds[3] - kinds[0] + kinds[1]
    return np.maximum(transfer, 0.0), freedom / (2 * samples), freedom


def _entropy(counts: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the entropy in nats of the counts of each source, and how many kinds were seen."""
    flat = counts.reshape(len(counts), -1) / samples
    terms = np.where(flat > 0, -flat * np.log(np.where(flat > 0, flat, 1.0)), 0.0)
    return terms.sum(axis=1), (flat > 0).sum(axis=1)


def _p_value(statistic: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    from scipy.stats import chi2

    return np.where(freedom > 0, chi2.sf(statistic, np.maximum(freedom, 1)), 1.0)
