"""Where voxels lie: grids that must agree, positions in metres, and what travels with a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri._files import Source

METRES = {"meter": 1.0, "mm": 1e-3, "micron": 1e-6}
FRAMES = {0: "unknown", 1: "scanner", 2: "aligned", 3: "talairach", 4: "mni", 5: "template"}
AFNI_FRAMES = {"ORIG": "scanner", "TLRC": "talairach", "MNI": "mni"}
SAME = 1e-3
"""How far two affines may differ and be the same grid (units of the image, mm by habit)."""
CONFLICT = 0.1
"""How far (in voxels, at the farthest corner) qform and sform may lie apart and mean the same place."""


def one_affine(source: Source) -> dict[str, Any]:
    """Say in history which affine was taken where the header holds two; refuse two that contradict each other.

    The rule where both are there is nibabel's (and the NIfTI standard's method 3): the sform is used, else
    the qform, else the voxel sizes. Two that name different spaces (scanner and MNI, say) may both be right;
    two that claim the same space and put the image in different places cannot.
    """
    nibabel = files.library("nibabel", "fmri")
    image = source.image
    if not isinstance(image, nibabel.Nifti1Pair):
        return {}
    (sform, scode), (qform, qcode) = image.header.get_sform(coded=True), image.header.get_qform(coded=True)
    if not scode or not qcode or not np.array_equal(image.affine, sform):
        return {}
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in _shape(image)])).reshape(3, -1)
    apart = np.linalg.norm((sform - qform)[:3, :3] @ corners + (sform - qform)[:3, 3:], axis=0).max()
    if apart <= CONFLICT * min(image.header.get_zooms()[:3]):
        return {}
    spaces = [FRAMES.get(int(code), str(code)) for code in (scode, qcode)]
    if scode != qcode:
        return {"affine": f"sform ({spaces[0]}); the qform ({spaces[1]}) lies up to {apart:.3g} {_space(image)} away"}
    raise LoaderError(
        f"{source.label}: sform and qform both claim the {spaces[0]} space and lie {apart:.3g} {_space(image)} apart; "
        "switch one off (image.set_sform or set_qform of nibabel, with code=0) and pass the image"
    )


def is_volume(image: Any) -> bool:
    """Tell whether nibabel read voxels with an affine in a format that is served: NIfTI, MGH or AFNI."""
    nibabel = files.library("nibabel", "fmri")
    return isinstance(image, nibabel.Nifti1Pair | nibabel.MGHImage | nibabel.brikhead.AFNIImage) and not isinstance(
        image, nibabel.Cifti2Image
    )


def same(source: Source, reference: Source, remedy: str) -> None:
    """Refuse two images that do not lie on one grid."""
    image, other = source.image, reference.image
    if not equal(image, other):
        shapes = f"{_shape(image)} or affine differs from that of {reference.label} {_shape(other)}"
        raise LoaderError(f"{source.label}: its grid {shapes}; {remedy}")


def equal(image: Any, other: Any) -> bool:
    """Tell whether two images lie on one grid."""
    return bool(_shape(image) == _shape(other) and np.allclose(image.affine, other.affine, atol=SAME))


def about(image: Any) -> dict[str, Any]:
    """Describe a grid in JSON: what `to_nifti` needs to make an image that overlays this one."""
    return {
        "shape": list(_shape(image)),
        "affine": np.asarray(image.affine, dtype=np.float64).tolist(),
        "affine_units": _space(image),
        "frame": frame(image),
    }


def coordinates(image: Any, voxels: np.ndarray) -> dict[str, Any]:
    """Give i, j, k of each voxel (the grid in the attrs of `i`) and x, y, z in metres where the unit is known."""
    coords: dict[str, Any] = {axis: ("unit", voxels[:, n].astype(np.int64)) for n, axis in enumerate("ijk")}
    coords["i"] = (*coords["i"], about(image))
    places = positions(image, voxels)
    if places is None:
        return coords
    attrs = {"units": "m", "frame": frame(image)}
    return coords | {axis: ("unit", places[:, n], attrs) for n, axis in enumerate("xyz")}


def positions(image: Any, voxels: np.ndarray) -> np.ndarray | None:
    """Give places in metres, where the header states the unit of space."""
    scale = METRES.get(_space(image))
    if scale is None:
        return None
    places: np.ndarray = (voxels @ image.affine[:3, :3].T + image.affine[:3, 3]) * scale
    return places


def frame(image: Any) -> str:
    """Name the space that the affine leads to."""
    nibabel = files.library("nibabel", "fmri")
    if isinstance(image, nibabel.brikhead.AFNIImage):
        return AFNI_FRAMES.get(str(image.header.get_space()), "unknown")
    if not isinstance(image, nibabel.Nifti1Pair):
        return "scanner"
    code = int(image.header["sform_code"]) or int(image.header["qform_code"])
    return FRAMES.get(code, "unknown")


def name(label: str) -> str:
    """Give the file name of a label for history, which holds no folders."""
    return Path(label).name


def _shape(image: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in image.shape[:3])


def _space(image: Any) -> str:
    nibabel = files.library("nibabel", "fmri")
    if isinstance(image, nibabel.Nifti1Pair):
        return str(image.header.get_xyzt_units()[0])
    return "mm"  # MGH and AFNI have no other
