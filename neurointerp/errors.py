"""The errors neurointerp raises on bad input: one line naming what, where, what was found and the remedy."""


class NeurointerpError(Exception):
    """Base of every error that neurointerp raises on purpose."""


class RecordingError(NeurointerpError):
    """A recording or session breaks the contract; the message lists every violation."""


class AlignmentError(NeurointerpError):
    """Two recordings, or a recording and its events, do not line up."""


class StoreError(NeurointerpError):
    """A store cannot be read or written."""


class ManifestError(NeurointerpError):
    """The data manifest, or a file it names, is not what it says."""


class LoaderError(NeurointerpError):
    """A raw file cannot be read as a recording."""


class ModelError(LoaderError):
    """A torch model cannot be run, or has no such site, weight or module."""


class AnalysisError(NeurointerpError):
    """An analysis cannot run on what it was given."""
