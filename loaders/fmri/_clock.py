"""When volumes and slices were taken: repetition time from header and sidecar, slice times, joined runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files

SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
AFNI_TIME = {77001: "msec", 77002: "sec"}
SHORTEST_TR, LONGEST_TR = 0.05, 30.0
"""What a repetition time may be (s): a header that says otherwise has a wrong time unit."""
TR_TOLERANCE = 1e-4
"""How far header and sidecar may differ (s): headers hold float32."""
AXES = {"i": 0, "j": 1, "k": 2}


def repetition_time(image: Any, label: str, tr: float | None, sidecar: dict[str, Any], sidecar_name: str) -> float:
    """Give the TR (s): the argument, or what header and sidecar agree on."""
    if tr is not None:
        return checked(label, tr)
    return reconciled(label, stated(image), sidecar, sidecar_name, f"(it says {_header(image)[0]:g})")


def stated(image: Any) -> float | None:
    """Give the TR (s) that the header of an image states; None where it states no unit of time."""
    number, unit = _header(image)
    return None if unit not in SECONDS else as_seconds(number, unit)


def reconciled(label: str, stated: float | None, sidecar: dict[str, Any], sidecar_name: str, says: str) -> float:
    """Compare the TR of a header (s; None if it has none) with the sidecar's; two values are an error."""
    beside = sidecar.get("RepetitionTime")
    if beside is None:
        if stated is None:
            raise LoaderError(f"{label}: the header states no time unit {says}; pass tr= in seconds")
        return checked(label, stated)
    if not isinstance(beside, int | float) or isinstance(beside, bool):
        raise LoaderError(f"{label}: RepetitionTime of {sidecar_name} is {beside!r}; a number of seconds is needed")
    if stated and abs(stated - beside) > TR_TOLERANCE:
        raise LoaderError(
            f"{label}: the header says TR = {stated:g} s, its sidecar {sidecar_name} {beside:g} s; "
            "one of them is wrong: pass tr= in seconds"
        )
    return checked(label, float(beside))


def overridden(tr: float | None, stated: float | None, sidecar: dict[str, Any]) -> dict[str, float]:
    """Give the TR of header and sidecar (s) for history, where `tr=` was given and they say something else."""
    found = {"tr_of_header": stated, "tr_of_sidecar": sidecar.get("RepetitionTime")}
    return {
        name: float(value)
        for name, value in found.items()
        if tr is not None and isinstance(value, int | float) and abs(value - tr) > TR_TOLERANCE
    }


def checked(label: str, tr: float) -> float:
    """Refuse a TR that no scanner has."""
    if not (math.isfinite(tr) and SHORTEST_TR <= tr <= LONGEST_TR):
        raise LoaderError(
            f"{label}: a repetition time of {tr:g} s is not plausible ({SHORTEST_TR:g} to {LONGEST_TR:g} s); "
            "pass tr= in seconds"
        )
    return float(tr)


def agreed(labels: Sequence[str], steps: Sequence[float]) -> float:
    """Give the TR that all runs share."""
    for label, step in zip(labels, steps, strict=True):
        if step != steps[0]:
            raise LoaderError(f"{label}: TR is {step:g} s, that of {labels[0]} is {steps[0]:g} s; load them apart")
    return steps[0]


def as_seconds(number: Any, unit: str) -> float:
    """Convert a float32 of a header: its shortest decimal is the number that was meant (1.35, not 1.35000002)."""
    return round(float(str(np.float32(number))) * SECONDS[unit], 9)


def segments(label: str, lengths: Sequence[int], runs: Sequence[int] | None) -> dict[str, Any]:
    """Give `segment` where there are several runs: in one file by `runs`, or one per file."""
    if runs is not None:
        if len(runs) != sum(lengths):
            raise LoaderError(f"{label}: runs has {len(runs)} numbers for {sum(lengths)} volumes")
        return {"segment": ("time", np.asarray(runs, dtype=np.int64))}
    if len(lengths) > 1:
        return {"segment": ("time", np.repeat(np.arange(len(lengths)), lengths))}
    return {}


def stamps(label: str, volumes: int, tr: float, sidecar: dict[str, Any]) -> tuple[np.ndarray, float | None]:
    """Give the time of each volume (s) and the rate; sparse acquisitions state `VolumeTiming` and have no rate."""
    timing = sidecar.get("VolumeTiming")
    if timing is None:
        return np.arange(volumes) * tr, 1 / tr
    times = np.asarray(timing, dtype=np.float64)
    if times.shape != (volumes,):
        raise LoaderError(f"{label}: VolumeTiming of the sidecar has {times.size} times for {volumes} volumes")
    return times, None


def slice_times(
    image: Any, label: str, voxels: np.ndarray, tr: float, sidecar: dict[str, Any]
) -> tuple[str, np.ndarray, dict[str, str]] | None:
    """Give the time of each voxel's slice after its volume's stamp (s), where sidecar or header tell.

    A sidecar whose `SliceTimingCorrected` is true gives none: the images no longer have the scanner's slices.
    """
    found = _sidecar_slices(sidecar) if "SliceTiming" in sidecar else _header_slices(image)
    if found is None or sidecar.get("SliceTimingCorrected"):
        return None
    axis, times = found
    if len(times) != image.shape[axis]:
        raise LoaderError(
            f"{label}: SliceTiming has {len(times)} times, the image {image.shape[axis]} slices along {'ijk'[axis]}"
        )
    if np.nanmax(times, initial=0.0) > tr:
        raise LoaderError(
            f"{label}: SliceTiming goes to {np.nanmax(times):g}, beyond the TR of {tr:g} s; it must be in seconds"
        )
    return "unit", times[voxels[:, axis]], {"units": "s"}


def _header(image: Any) -> tuple[float, str]:
    nibabel = files.library("nibabel", "fmri")
    header = image.header
    if isinstance(image, nibabel.brikhead.AFNIImage):
        numbers = header.info.get("TAXIS_NUMS", (0, 0, 0))
        return float(header.info.get("TAXIS_FLOATS", (0.0, 0.0))[1]), AFNI_TIME.get(numbers[2], "unknown")
    unit = "msec" if isinstance(image, nibabel.MGHImage) else header.get_xyzt_units()[1]
    return float(header.get_zooms()[3]), unit


def _sidecar_slices(sidecar: dict[str, Any]) -> tuple[int, np.ndarray]:
    direction = str(sidecar.get("SliceEncodingDirection", "k"))
    times = np.asarray(sidecar["SliceTiming"], dtype=np.float64)
    if direction[:1] not in AXES:
        raise LoaderError(f"SliceEncodingDirection of the sidecar is {direction!r}; one of i, j, k (and -) is needed")
    return AXES[direction[0]], times[::-1] if direction.endswith("-") else times


def _header_slices(image: Any) -> tuple[int, np.ndarray] | None:
    nibabel = files.library("nibabel", "fmri")
    header = image.header
    if isinstance(image, nibabel.brikhead.AFNIImage):
        offsets, unit = header.info.get("TAXIS_OFFSETS"), _header(image)[1]
        return None if not offsets or unit not in SECONDS else (2, np.array(offsets) * SECONDS[unit])
    if not isinstance(image, nibabel.Nifti1Pair) or header.get_dim_info()[2] is None:
        return None
    unit = header.get_xyzt_units()[1]
    if header.get_value_label("slice_code") == "unknown" or not header["slice_duration"] > 0 or unit not in SECONDS:
        return None
    times = [math.nan if one is None else float(one) * SECONDS[unit] for one in header.get_slice_times()]
    return header.get_dim_info()[2], np.array(times)
