"""Checks of simulator arguments; each returns the value or raises an error that names the parameter."""

from collections.abc import Sequence

import numpy as np

from neurointerp.errors import RecordingError


def integer(name: str, value: object, *, minimum: int = 1, maximum: int | None = None) -> int:
    """Return ``value`` as an int within ``[minimum, maximum]``."""
    allowed = f"an integer of at least {minimum}" + (f" and at most {maximum}" if maximum is not None else "")
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise RecordingError(f"{name} must be {allowed}; found {value!r}")
    if value < minimum or (maximum is not None and value > maximum):
        raise RecordingError(f"{name} must be {allowed}; found {value!r}")
    return int(value)


def number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> float:
    """Return ``value`` as a finite float, greater than ``above`` and within ``[minimum, maximum]``."""
    bounds = (("greater than", above), ("at least", minimum), ("at most", maximum))
    allowed = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
    message = f"{name} must be a finite number{' ' + allowed if allowed else ''}; found {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise RecordingError(message)
    outside = (
        (above is not None and value <= above)
        or (minimum is not None and value < minimum)
        or (maximum is not None and value > maximum)
    )
    if outside or not np.isfinite(float(value)):
        raise RecordingError(message)
    return float(value)


def choice(name: str, value: str, options: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``options``."""
    if value not in options:
        raise RecordingError(f"{name} must be one of {', '.join(options)}; found {value!r}")
    return value


def generator(seed: object) -> np.random.Generator:
    """Return the random generator of a non-negative integer seed."""
    return np.random.default_rng(integer("seed", seed, minimum=0))
