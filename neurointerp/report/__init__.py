"""The one-file HTML report of a comparison, and its table."""

from neurointerp.report.html import render, write
from neurointerp.report.table import table

__all__ = ["render", "table", "write"]
