"""Text whose entropy is known, with planted concepts, and a task that needs memory."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from neurointerp.errors import RecordingError

SYMBOLS, CONCEPTS, FORMS, LETTERS, SPELLED = 32, 20, 2, 8, 3
MARKER = SYMBOLS + FORMS * LETTERS
COPIED = 8
_P_CONCEPT, _P_COPY = 0.08, 0.02
PLAIN, WORD, ATTRIBUTE, COPY = 0, 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Sequences and all that is known about each token.

    Attributes
    ----------
    tokens
        (sequence, token).
    surprisal
        (sequence, token): nats of each token given all before it in its sequence, under the process itself.
    kind
        (sequence, token): 0 plain, 1 letter of a concept's word, 2 attribute of a concept, 3 copy with its marker.
    concept, form
        (sequence, token): which concept a word or attribute belongs to, and in which form it was spelled; else -1.
    place
        (sequence, token): 0, 1, 2 for the letters of a word, else -1.
    """

    tokens: NDArray[np.int64]
    surprisal: NDArray[np.float64]
    kind: NDArray[np.int8]
    concept: NDArray[np.int8]
    form: NDArray[np.int8]
    place: NDArray[np.int8]

    @property
    def entropy(self) -> float:
        """Give the mean surprisal of all tokens but the first, in nats: what a perfect model would lose on these."""
        return float(self.surprisal[:, 1:].mean())


def known_entropy_corpus(*, sequences: int = 1000, length: int = 65, language: int = 0, seed: int = 0) -> Corpus:
    """Draw sequences from a process whose every probability is known.

    Plain text is a second-order Markov chain over 32 symbols, the mean of one table by the last symbol and one by the
    symbol before it. Before any plain token, with probability 0.08, one of 20 concepts is mentioned: a word of three
    letters in one of two forms, each with an alphabet of 8 letters of its own, then the concept's two attributes, plain
    symbols that are the same for both forms. With probability 0.02 a marker comes, then a copy of the 8 tokens before
    it. Everything is visible in the past, so that the surprisal of each token is exact.

    Parameters
    ----------
    sequences, length
        How many, and of how many tokens.
    language
        Seed of the chain, the words and the attributes.
    seed
        Seed of the sequences.

    Returns
    -------
    Corpus
        Tokens below 64.

    Raises
    ------
    RecordingError
        When a size is below 1.

    Examples
    --------
    >>> corpus = known_entropy_corpus(sequences=200)
    >>> corpus.tokens.shape, 1.5 < corpus.entropy < 2.5
    ((200, 65), True)
    """
    if sequences < 1 or length < 1:
        raise RecordingError(f"known_entropy_corpus: {sequences} sequences of {length} tokens; both must be at least 1")
    chain, words, attributes = _language(language)
    spelled = _spelling(words)
    rng = np.random.default_rng(seed)
    out = [np.full((sequences, length), fill, dtype) for fill, dtype in _COLUMNS]
    for row in range(sequences):
        _sequence(rng, chain, words, attributes, spelled, [column[row] for column in out])
    return Corpus(*out)


def recall_task(
    *, sequences: int = 1000, pairs: int = 8, keys: int = 32, values: int = 32, queries: int = 1, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw sequences of key-value pairs, then keys whose values must be recalled.

    Parameters
    ----------
    sequences, pairs
        How many sequences, and pairs of a key and a value in each; no key comes twice.
    keys, values
        Number of keys (tokens from 0) and of values (the tokens behind them).
    queries
        Queried keys at the end, each followed by its value.
    seed
        Seed of everything.

    Returns
    -------
    tuple of numpy.ndarray
        (sequence, token) ids, and True at the values to recall.

    Raises
    ------
    RecordingError
        When there are more pairs than keys, or more queries than pairs.

    Examples
    --------
    >>> tokens, asked = recall_task(sequences=1, pairs=2, keys=4, values=4)
    >>> bool(tokens[0, -1] == tokens[0, list(tokens[0, :4:2]).index(tokens[0, -2]) * 2 + 1])
    True
    """
    if not 1 <= queries <= pairs <= keys:
        raise RecordingError(f"recall_task: {queries} queries of {pairs} pairs of {keys} keys; each must fit the next")
    rng = np.random.default_rng(seed)
    key = np.argsort(rng.random((sequences, keys)), axis=1)[:, :pairs]
    value = keys + rng.integers(values, size=(sequences, pairs))
    asked = np.argsort(rng.random((sequences, pairs)), axis=1)[:, :queries]
    shown = np.stack([key, value], axis=2).reshape(sequences, -1)
    recalled = np.stack([np.take_along_axis(part, asked, 1) for part in (key, value)], axis=2).reshape(sequences, -1)
    tokens = np.concatenate([shown, recalled], axis=1)
    counted = np.zeros(tokens.shape, dtype=bool)
    counted[:, 2 * pairs + 1 :: 2] = True
    return tokens, counted


_COLUMNS = ((0, np.int64), (0.0, np.float64), (PLAIN, np.int8), (-1, np.int8), (-1, np.int8), (-1, np.int8))


def _language(seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw the chain (before last, last, next), the words (form, concept, letter) and attributes (concept, place)."""
    rng = np.random.default_rng(seed)
    last, before = (rng.dirichlet(np.full(SYMBOLS, 0.1), SYMBOLS) for _ in range(2))
    words = np.empty((FORMS, CONCEPTS, SPELLED), dtype=np.int64)
    for form in range(FORMS):
        codes = rng.choice(LETTERS**SPELLED, CONCEPTS, replace=False)
        letters = np.stack(np.unravel_index(codes, (LETTERS,) * SPELLED), axis=1)
        words[form] = SYMBOLS + form * LETTERS + letters
    first = rng.permutation(SYMBOLS)[:CONCEPTS]
    return (before[:, None] + last[None]) / 2, words, np.stack([first, rng.integers(SYMBOLS, size=CONCEPTS)], axis=1)


def _spelling(words: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the surprisal (form, concept, letter) of each letter given those before it, words being equally likely."""
    flat = words.reshape(-1, SPELLED)
    same = [(flat[:, None, :n] == flat[None, :, :n]).all(2).sum(1) for n in range(SPELLED + 1)]
    return np.stack([np.log(same[n] / same[n + 1]) for n in range(SPELLED)], axis=1).reshape(words.shape)


def _sequence(
    rng: np.random.Generator, chain: NDArray[np.float64], words: NDArray[np.int64], attributes: NDArray[np.int64],
    spelled: NDArray[np.float64], columns: list[NDArray[np.generic]],
) -> None:  # fmt: skip
    """Fill one row of every column, in place."""
    length, cumulated, t = len(columns[0]), chain.cumsum(2), 0
    before, last = rng.integers(SYMBOLS, size=2)
    past = [int(before), int(last)]
    rows: list[tuple[int, float, int, int, int, int]] = [(s, np.log(SYMBOLS), PLAIN, -1, -1, -1) for s in past]
    while len(rows) < length:
        t = len(rows)
        can_copy = t >= COPIED
        draw = rng.random()
        if draw < _P_CONCEPT:
            form, concept = int(rng.integers(FORMS)), int(rng.integers(CONCEPTS))
            for n in range(SPELLED):
                cost = spelled[form, concept, n] - (np.log(_P_CONCEPT) if n == 0 else 0.0)
                rows.append((int(words[form, concept, n]), cost, WORD, concept, form, n))
            rows += [(int(symbol), 0.0, ATTRIBUTE, concept, form, -1) for symbol in attributes[concept]]
        elif can_copy and draw < _P_CONCEPT + _P_COPY:
            again = [row[0] for row in rows[-COPIED:]]
            rows.append((MARKER, -np.log(_P_COPY), COPY, -1, -1, -1))
            rows += [(symbol, 0.0, COPY, -1, -1, -1) for symbol in again]
        else:
            a, b = _context(rows)
            symbol = min(int(np.searchsorted(cumulated[a, b], rng.random())), SYMBOLS - 1)
            share = 1 - _P_CONCEPT - (_P_COPY if can_copy else 0.0)
            rows.append((symbol, -np.log(share * chain[a, b, symbol]), PLAIN, -1, -1, -1))
    for column, values in zip(columns, zip(*rows[:length], strict=True), strict=True):
        column[:] = values


def _context(rows: list[tuple[int, float, int, int, int, int]]) -> tuple[int, int]:
    """Give the last two plain symbols; letters and markers are passed over."""
    found = [row[0] for row in rows[-8:] if row[0] < SYMBOLS][-2:]
    if len(found) < 2:
        found = [row[0] for row in rows if row[0] < SYMBOLS][-2:]
    return found[0], found[1]
