"""Putting recordings on one clock: joins, cuts, rates, events, lags and stacks. Nothing here guesses."""

from neurointerp.align.assemble import concat, stack_subjects
from neurointerp.align.cut import crop, fold, windows
from neurointerp.align.delay import lag, shifted
from neurointerp.align.events import bin_events, epoch
from neurointerp.align.join import match
from neurointerp.align.pairing import pair
from neurointerp.align.rates import interpolate, resample

__all__ = [
    "bin_events",
    "concat",
    "crop",
    "epoch",
    "fold",
    "interpolate",
    "lag",
    "match",
    "pair",
    "resample",
    "shifted",
    "stack_subjects",
    "windows",
]
