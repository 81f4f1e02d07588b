"""neurointerp: artificial and biological neural recordings as one kind of labelled array.

Import it as `import neurointerp as ni`. Names load when they are first used; importing does no work.
"""

from pathlib import Path

import lazy_loader

_HERE = Path(__file__).parent
if not all((_HERE / name).is_dir() for name in ("loaders", "analyses")):
    raise ImportError(
        f"{_HERE} has lost its links to loaders/ and analyses/ (a checkout without symbolic links); "
        "run: git config core.symlinks true && git checkout -- neurointerp"
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "align", "analyses", "backend", "errors", "history", "holdings", "loaders", "manifest", "matrix", "models",
        "plot", "report", "result", "score", "split", "statistics", "store", "surrogate", "synthetic", "units",
    ],
    submod_attrs={
        "errors": [
            "AlignmentError", "AnalysisError", "LoaderError", "ManifestError", "ModelError", "NeurointerpError",
            "RecordingError", "StoreError",
        ],
        "history": ["provenance"],
        "manifest": ["datasets", "load", "load_all", "load_session"],
        "recordings": ["recording", "session"],
        "schema": ["check"],
        "store": ["digest", "open", "save", "verify"],
        "units": ["to_units"],
    },
)  # fmt: skip
