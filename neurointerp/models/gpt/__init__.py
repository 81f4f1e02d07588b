"""A small GPT, byte or word level, that is trained in seconds to minutes on one text and whose parts have names."""

from neurointerp.models.gpt.model import GPT, Config, load, save
from neurointerp.models.gpt.tokens import Tokenizer
from neurointerp.models.gpt.topics import TopicText, topic_text
from neurointerp.models.gpt.training import generate, train

__all__ = ["GPT", "Config", "Tokenizer", "TopicText", "generate", "load", "save", "topic_text", "train"]
