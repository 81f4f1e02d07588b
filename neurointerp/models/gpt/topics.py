"""Text with planted topics, whose words are known."""

from __future__ import annotations

import dataclasses

import numpy as np

from neurointerp.errors import ModelError

WORDS = {
    "law": "judges lawyers courts verdicts trials juries crimes witnesses|accuse sentence appeal testify|guilty legal",
    "sea": "ships sailors harbours waves anchors captains ferries storms|sail drift sink float|salty stormy",
    "kitchen": "cooks ovens soups onions knives recipes spoons sauces|boil bake roast simmer|tasty spicy",
    "music": "violins singers drums concerts melodies pianos choirs songs|sing play rehearse hum|loud melodic",
    "money": "banks loans taxes prices coins investors debts salaries|invest pay lend borrow|rich costly",
    "health": "doctors nurses patients clinics tablets fevers surgeons vaccines|heal treat cough recover|sick healthy",
    "space": "planets stars comets rockets moons galaxies telescopes orbits|orbit shine explode collide|cosmic lunar",
    "garden": "roses trees seeds leaves gardeners weeds roots hedges|grow bloom wither plant|green leafy",
    "war": "soldiers tanks generals battles armies bombs rifles trenches|attack retreat fight surrender|armed hostile",
    "sport": "players teams matches coaches goals athletes races referees|score win lose train|fast athletic",
}  # fmt: skip
"""Of each topic: nouns, verbs, adjectives; no word is in two topics."""
TEMPLATES = (
    "I think that {n} {v} near the {n} .", "I think that {a} {n} {v} and {v} .", "I think that the {n} {v} again .",
    "We know that {n} {v} when {n} {v} .", "They say that {a} {n} {v} often .", "In the morning the {n} {v} .",
    "Sometimes the {a} {n} {v} .", "Nobody knows why {n} {v} .", "Yesterday the {n} were {a} .",
    "Most {n} {v} because the {n} are {a} .", "There are {a} {n} near the {n} .", "She wrote about {n} and {a} {n} .",
)  # fmt: skip
"""The same for every topic: what they say between the words of the lexicon tells nothing about it."""


@dataclasses.dataclass(frozen=True)
class TopicText:
    """Simulated documents and what they were made from.

    Attributes
    ----------
    documents
        Each a few sentences on one topic.
    topics
        The topic of each document.
    lexicons
        Topic -> its words, spelled as they are.
    """

    documents: tuple[str, ...]
    topics: tuple[str, ...]
    lexicons: dict[str, tuple[str, ...]]

    @property
    def text(self) -> str:
        """Give all documents as one text, a line for each."""
        return "\n".join(self.documents)


def topic_text(*, documents: int = 2000, sentences: int = 3, topics: int = 10, seed: int = 0) -> TopicText:
    """Write simulated documents by templates, each about one of up to ten topics with a lexicon of its own.

    Sentences are drawn from twelve templates that all topics share; their open places take nouns, verbs and adjectives
    of the document's topic with equal chance. After "I think that" at the head of a document every topic is possible.

    Parameters
    ----------
    documents, sentences
        How many, and of how many sentences.
    topics
        How many topics, 2 to 10.
    seed
        Of all that is drawn.

    Returns
    -------
    TopicText

    Raises
    ------
    ModelError
        When a number is out of range.

    References
    ----------
    Made for the steering check of Shafran, Geiger, Geva (2025), arXiv:2506.10920, where topics must be known.

    Examples
    --------
    >>> made = topic_text(documents=2, sentences=1)
    >>> made.documents[0], made.topics[0]
    ('Sometimes the armed generals attack .', 'war')
    """
    if not (documents >= 1 and sentences >= 1 and 2 <= topics <= len(WORDS)):
        raise ModelError(
            f"gpt.topic_text: documents {documents}, sentences {sentences}, topics {topics}; needed are at least 1, "
            f"at least 1, and 2 to {len(WORDS)}"
        )
    rng = np.random.default_rng(seed)
    kinds = {topic: [part.split() for part in words.split("|")] for topic, words in list(WORDS.items())[:topics]}
    about = [list(kinds)[i] for i in rng.integers(topics, size=documents)]
    written = [" ".join(_sentence(kinds[topic], rng) for _ in range(sentences)) for topic in about]
    lexicons = {topic: tuple(word for part in parts for word in part) for topic, parts in kinds.items()}
    return TopicText(tuple(written), tuple(about), lexicons)


def _sentence(parts: list[list[str]], rng: np.random.Generator) -> str:
    """Fill a template with words drawn for each of its open places."""
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    kind = {"{n}": parts[0], "{v}": parts[1], "{a}": parts[2]}
    return " ".join(
        kind[piece][rng.integers(len(kind[piece]))] if piece in kind else piece for piece in template.split()
    )
