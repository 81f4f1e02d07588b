"""The expressive leaky memory (ELM) neuron: leaky synapses, memories at spaced time constants, and a small MLP."""

from neurointerp.models.elm.adding import adding_accuracy, spike_adding, train_adding
from neurointerp.models.elm.baselines import LIF, LSTM, TCN, fit_glm
from neurointerp.models.elm.neuron import ELM, Config, load, save
from neurointerp.models.elm.recorder import record
from neurointerp.models.elm.routing import neuronio_routing
from neurointerp.models.elm.surrogate import evaluate, fit, predict
from neurointerp.models.elm.teacher import two_stage_neuron

__all__ = [
    "ELM",
    "LIF",
    "LSTM",
    "TCN",
    "Config",
    "adding_accuracy",
    "evaluate",
    "fit",
    "fit_glm",
    "load",
    "neuronio_routing",
    "predict",
    "record",
    "save",
    "spike_adding",
    "train_adding",
    "two_stage_neuron",
]
