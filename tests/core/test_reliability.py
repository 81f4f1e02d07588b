"""The page that states each promise names tests that exist."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_every_test_that_the_page_names_exists_and_every_row_names_one():
    named = re.findall(r"`(\w+)::(\w+)`", PAGE.read_text("utf-8"))
    assert len(named) > 80
    source = {file: (Path(__file__).parent / f"test_{file}.py").read_text("utf-8") for file, _ in named}
    assert [f"{file}::{name}" for file, name in named if f"def test_{name}(" not in source[file]] == []
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ") and "kept by" not in line]
    assert len(rows) > 60
    assert [row for row in rows if "::" not in row] == []
