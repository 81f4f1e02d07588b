"""Putting recordings on one clock: joins, cuts, rates, events, lags and stacks. Nothing here guesses."""

from neurointerp.align.assemble import concat, stack_subjects
from neurointerp.align.cut import crop, fold, windows
from neurointerp.align.delay import lag, shifted
from neurointerp.align.events import bin_events, epoch
from neurointerp.align.join import match
from neurointerp.align.kernels import hrf
from neurointerp.align.labels import join
from neurointerp.align.pairing import pair
from neurointerp.align.rates import interpolate, resample
from neurointerp.align.words import lanczos

__all__ = [
    "bin_events",
    "concat",
    "crop",
    "epoch",
    "fold",
    "hrf",
    "interpolate",
    "join",
    "lag",
    "lanczos",
    "match",
    "pair",
    "resample",
    "shifted",
    "stack_subjects",
    "windows",
]
