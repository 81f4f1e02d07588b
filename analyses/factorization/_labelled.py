"""Labels for what the non-negative factorizations give."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurointerp import matrix
from neurointerp.analyses.factorization._alternate import Fit, explained
from neurointerp.analyses.factorization._samples import Samples
from neurointerp.backend import to_numpy


def variables(fit: Fit, labels: matrix.Labels, samples: Samples, units: str) -> dict[str, xr.DataArray]:
    """Give the variables of a result, on the dims and coordinates of the recording."""
    F, loss = to_numpy(fit.features), fit.losses[fit.best]
    on = {"component": np.arange(F.shape[0]), **labels.unit_coords}
    return {
        "features": xr.DataArray(
            F * F.dtype.type(samples.scale), dims=("component", "unit"), coords=on, attrs={"units": units}
        ),
        "coefficients": labels.unstack(fit.coefficients, "component").assign_attrs(units="1"),
        "support": xr.DataArray(F != 0, dims=("component", "unit"), coords=on),
        "loss": xr.DataArray(fit.losses, dims="iteration", coords={"iteration": np.arange(len(fit.losses))}),
        "relative_error": xr.DataArray(loss**0.5),
        "explained_variance": xr.DataArray(explained(loss, samples)),
        "best_iteration": xr.DataArray(fit.best),
        "stop_reason": xr.DataArray(np.array(fit.stop_reason, dtype=object)),
    }
