"""The calcium entries of the manifest load by id from the mirror, and by `file://` from anywhere."""

import numpy as np
import pytest
import yaml

import neurointerp as ni
from neurointerp.loaders.datasets import worm_neurons

ENTRIES = (
    "dag2023",
    "dag2023-common",
    "zimmer-layout",
    "dag2023-nwb",
    "atanas2023",
    "seeelegans2024",
    "bryant2022",
    "chae2019",
)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_item_loads_and_again_from_the_cache(mirror, entry):
    items = ni.datasets()[entry].all_items()
    loaded = ni.load_all(entry, mirror=mirror)
    assert list(loaded) == list(items)
    for name, rec in loaded.items():
        ni.check(rec)
        assert ni.load(entry, name, mirror=mirror).identical(rec)
        assert rec.attrs["citation"] == ni.datasets()[entry].citation


def test_two_containers_of_one_worm_agree(mirror):
    ours = ni.load("dag2023-common", "2022-07-26-38", mirror=mirror)
    theirs = ni.load("zimmer-layout", "2022-07-26-38", mirror=mirror)
    np.testing.assert_array_equal(ours.time, theirs.time)
    assert tuple(ours.unit.values[:300]) == tuple(theirs.unit.values[:300]) == worm_neurons.order(300)
    np.testing.assert_array_equal(ours.notnull().any("time").values[:300], theirs.notnull().any("time").values[:300])


def test_session_of_an_item(mirror):
    tree = ni.load_session("zimmer-layout", "2022-07-26-31", mirror=mirror)
    assert list(tree["recordings"]) == ["calcium", "residual", "calcium_smooth", "residual_smooth", "original"]
    tree = ni.load_session("chae2019", mirror=mirror)
    assert tree["stimuli/properties/stimulus"].sizes == {"stimulus": 49, "feature": 1320}


def test_file_sources(mirror, tmp_path):
    entry = ni.datasets()["atanas2023"].model_dump(mode="json", exclude_none=True)
    path = mirror / "calcium/wormwideweb_json/time_trace.json"
    entry["sources"][0]["url"] = path.as_uri()
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"datasets": [entry]}))
    rec = ni.load("atanas2023", manifest=tmp_path / "own.yaml")
    assert rec.sizes == {"time": 2886, "unit": 398}
    assert rec.attrs["source"] == [path.as_uri()]
