"""Recordings, sessions and results kept in zarr (format 3), whole or not at all.

A store is a folder (or a `.zarr.zip`) of zarr groups and arrays with one file more, `digests.json`, written last: the
size and CRC-32C of every other file. Each chunk ends with the CRC-32C of its bytes, so that any zarr reader finds a
flipped bit; reading through `open` finds a missing, cut or exchanged chunk too.

`save` writes an object, `writer` writes a recording block by block, `filler` one of known length that may be
interrupted, `open` reads lazily, `verify` checks every file,
`digest` names the content.
"""

from neurointerp.store.appending import Writer, writer
from neurointerp.store.checking import verify
from neurointerp.store.content import digest
from neurointerp.store.filling import Filler, filler
from neurointerp.store.reading import open  # noqa: A004 - the public name of the design
from neurointerp.store.saving import save

__all__ = ["Filler", "Writer", "digest", "filler", "open", "save", "verify", "writer"]
