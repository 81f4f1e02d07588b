"""From a feature map to the responses of units: readouts that differ in what they may know about space.

All take maps (sample, channel, row, col) and give (sample, unit); `fit` trains any of them, alone or with a core.
They need torch: `pip install 'neurointerp[models]'`.
"""

from neurointerp.models.readouts.linear import LinearReadout
from neurointerp.models.readouts.rotation import RotationCore
from neurointerp.models.readouts.routing import RoutingEncoder
from neurointerp.models.readouts.spatial import (
    AttentionReadout,
    FactorizedReadout,
    GaussianReadout,
    PointReadout,
    Readout,
)
from neurointerp.models.readouts.training import Training, fit, predict
from neurointerp.models.readouts.transformer import SpatialTransformerReadout

__all__ = [
    "AttentionReadout", "FactorizedReadout", "GaussianReadout", "LinearReadout", "PointReadout", "Readout",
    "RotationCore", "RoutingEncoder", "SpatialTransformerReadout", "Training", "fit", "predict",
]  # fmt: skip
