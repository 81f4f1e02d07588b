"""The one-file HTML report of a comparison, and its table."""

from neurointerp.report.html import render, require_libraries, write
from neurointerp.report.table import table

__all__ = ["render", "require_libraries", "table", "write"]
