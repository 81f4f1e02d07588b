"""The Dragon Hatchling (BDH): a language model of sparse, positive neurons whose memory is a Hebbian synapse matrix."""

from neurointerp.models.hatchling.corpus import Corpus, known_entropy_corpus, recall_task
from neurointerp.models.hatchling.model import BDH, Config, State, load, save
from neurointerp.models.hatchling.recorder import record, weight_graph
from neurointerp.models.hatchling.rival import RotaryTransformer
from neurointerp.models.hatchling.selectivity import concept_synapses
from neurointerp.models.hatchling.training import loss, train

__all__ = [
    "BDH",
    "Config",
    "Corpus",
    "RotaryTransformer",
    "State",
    "concept_synapses",
    "known_entropy_corpus",
    "load",
    "loss",
    "recall_task",
    "record",
    "save",
    "train",
    "weight_graph",
]
