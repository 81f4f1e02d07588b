"""Encoding models: how well, and by what weights, features predict each unit's responses."""

from neurointerp.analyses.encoding.attention_encoder import attention_encoder, layer_ensemble
from neurointerp.analyses.encoding.readout import readout
from neurointerp.analyses.encoding.ridge import ridge

__all__ = ["attention_encoder", "layer_ensemble", "readout", "ridge"]
