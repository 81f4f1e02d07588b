"""Bytes or words as token ids."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

UNKNOWN = "<unk>"
_PIECES = re.compile(r" ?\w+| ?[^\w\s]+|\s")


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Text to token ids and back.

    Attributes
    ----------
    pieces
        The words of a word-level vocabulary, the first one standing for every word outside it; None for bytes.

    Examples
    --------
    >>> Tokenizer()("Hi"), Tokenizer().decode([72, 105])
    ([72, 105], 'Hi')
    >>> words = Tokenizer.of_words("to be or not to be", 4)
    >>> words.pieces, words("to be king")
    (('<unk>', ' be', ' not', ' or'), [0, 1, 0])
    """

    pieces: tuple[str, ...] | None = None

    @classmethod
    def of_words(cls, text: str, size: int) -> Tokenizer:
        """Keep the most frequent words of a text (spelled with the space before them); ties in alphabetical order."""
        counts = Counter(_PIECES.findall(text))
        known = sorted(counts, key=lambda piece: (-counts[piece], piece))[: size - 1]
        return cls((UNKNOWN, *known))

    @property
    def size(self) -> int:
        """Give the number of tokens."""
        return 256 if self.pieces is None else len(self.pieces)

    @property
    def name_or_path(self) -> str:
        """Give the name that a recording keeps."""
        return "bytes" if self.pieces is None else f"{self.size} words"

    def __call__(self, text: str) -> list[int]:
        """Give the token ids of a text."""
        if self.pieces is None:
            return list(text.encode("utf-8"))
        index = {piece: i for i, piece in enumerate(self.pieces)}
        return [index.get(piece, 0) for piece in _PIECES.findall(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of token ids; bytes that are no UTF-8 become U+FFFD."""
        if self.pieces is None:
            return bytes(ids).decode("utf-8", errors="replace")
        return "".join(self.pieces[i] for i in ids)

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        r"""Give a printable name per token: the word, or the byte as a character or as `\x..`."""
        if self.pieces is None:
            return [bytes([i]).decode("latin-1").encode("unicode_escape").decode() if i != 92 else "\\" for i in ids]
        return [self.pieces[i] for i in ids]
