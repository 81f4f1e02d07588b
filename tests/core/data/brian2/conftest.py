"""The script needs Brian2, which is not where the tests run: it is not collected."""

collect_ignore = ["brian2_reference.py"]
