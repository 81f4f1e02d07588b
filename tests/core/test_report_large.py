"""A report of fifty recordings in Chromium stays light."""

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import report
from neurointerp.analyses import comparison

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def five():
    """Give recordings as large as a comparison lets them be, one of each of five modalities."""
    rng = np.random.default_rng(0)
    return {
        modality: ni.recording(
            rng.standard_normal((1000, 5)) @ rng.standard_normal((5, 64)) + rng.standard_normal((1000, 64)),
            modality=modality, units="V" if modality == "eeg" else "1", sampling_rate=20.0,
        )
        for modality in ("eeg", "calcium", "spikes", "fmri", "activations")
    }  # fmt: skip


def fifty(tree):
    """Give a comparison of five recordings ten times over, under names of their own: what is drawn is what counts."""
    parts = {node.path: node.to_dataset(inherit=False) for node in tree.subtree if node.has_data}
    root = parts.pop("/")
    names = [str(name) for name in root["recording"].values]
    copies = [f"{name} {copy}" for copy in range(10) for name in names]
    wide = xr.concat(
        [root] * 10, "recording", data_vars="minimal", coords="minimal", compat="override", join="override"
    )
    nodes = {"/": wide.assign_coords(recording=np.array(copies, dtype=object))}
    for path, node in parts.items():
        family, *rest = path.strip("/").split("/")
        if rest:
            for copy in range(10):
                nodes["/" + "/".join([family, f"{rest[0]} {copy}", *rest[1:]])] = node
    more = xr.DataTree.from_dict(nodes)
    more.attrs = tree.attrs | {
        key: {f"{name} {copy}": tree.attrs[key][name] for copy in range(10) for name in names}
        for key in ("recording", "provenance")
    }
    return more


@pytest.mark.slow
def test_fifty_recordings_stay_light(browser, tmp_path):
    tree = fifty(comparison.compare(five(), nulls=2))
    recs = list(tree["recording"].values)
    path = report.write(tree, tmp_path / "report.html")
    assert path.stat().st_size < 15e6
    view = browser.new_page(viewport={"width": 1280, "height": 900})
    view.goto(path.as_uri())
    assert view.locator("#summary tbody tr:visible th").all_inner_texts() == recs
    shown = "e => e.checkVisibility()"
    sizes = view.evaluate(
        f"[document.querySelectorAll('*').length, [...document.querySelectorAll('*')].filter({shown}).length,"
        f" [...document.images].filter({shown}).length]"
    )
    assert sizes[0] < 40_000
    assert sizes[1] < 12_000
    assert sizes[2] == 0  # no picture of a recording is decoded for the overview
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
    view.close()
