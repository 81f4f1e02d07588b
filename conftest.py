"""Makes one file of the package testable by itself: `pytest neurointerp/analyses/graphs/motifs.py`."""

import importlib
from pathlib import Path

PACKAGE = Path(__file__).parent / "neurointerp"


def pytest_collect_file(file_path: Path) -> None:
    """Import the package of a file first: pytest would else put the module in place of the function of its name."""
    if file_path.suffix == ".py" and file_path.is_relative_to(PACKAGE):
        importlib.import_module(".".join(file_path.parent.relative_to(PACKAGE.parent).parts))
