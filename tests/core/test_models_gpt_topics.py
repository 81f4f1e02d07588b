"""The simulated text on planted topics."""

import re

import pytest

from neurointerp.errors import ModelError

pytest.importorskip("torch", reason="torch is not installed")


def test_each_document_holds_words_of_its_topic_alone():
    from neurointerp.models import gpt

    made = gpt.topic_text(documents=200, seed=3)
    words = [word for lexicon in made.lexicons.values() for word in lexicon]
    assert len(words) == len(set(words)) == 140
    plain = set()
    for document, topic in zip(made.documents, made.topics, strict=True):
        tokens = re.findall(r"\w+", document)
        mine = [word for word in tokens if word in made.lexicons[topic]]
        others = [word for word in tokens if word in words and word not in made.lexicons[topic]]
        assert mine
        assert not others
        plain |= set(tokens) - set(mine)
    assert not plain & set(words)
    assert set(made.topics) == set(made.lexicons)


def test_the_seed_decides_and_bad_numbers_are_refused():
    from neurointerp.models import gpt

    assert gpt.topic_text(documents=5, seed=1) == gpt.topic_text(documents=5, seed=1)
    assert gpt.topic_text(documents=5, seed=1) != gpt.topic_text(documents=5, seed=2)
    assert len(gpt.topic_text(documents=5, topics=3).lexicons) == 3
    with pytest.raises(ModelError, match="topics 11"):
        gpt.topic_text(topics=11)
