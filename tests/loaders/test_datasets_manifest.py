"""The calcium entries of the manifest load by id from the mirror, and by `file://` from anywhere."""

from importlib import import_module

import numpy as np
import pytest
import yaml

import neurointerp as ni
from neurointerp import holdings
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


WORMS = {entry.id: entry for entry in ni.datasets().values() if entry.collection == "celegans"}


class TestTheTwelveSources:
    def test_all_are_listed_with_doi_address_and_licence(self):
        assert set(WORMS) == {
            "kato2015", "nichols2017", "skora2018", "kaplan2020", "nejatbakhsh2020", "yemini2021", "uzel2022",
            "dag2023", "randi2023", "lin2023", "atanas2023", "venkatachalam2024",
        }  # fmt: skip
        for entry in WORMS.values():
            about = import_module(f"neurointerp.loaders.{entry.loader}").ABOUT
            assert entry.citation == about["citation"]
            assert entry.doi is None or entry.doi in entry.citation
            assert entry.address.startswith("https://")
            assert entry.license
        assert [entry.id for entry in WORMS.values() if entry.doi is None] == ["venkatachalam2024"]
        assert sum(entry.published["recordings"] for entry in WORMS.values()) == 919

    def test_what_nobody_has_hashed_is_not_fetched_and_the_remedy_is_named(self):
        unhashed = [entry for entry in WORMS.values() if entry.files]
        assert len(unhashed) == 10
        for entry in unhashed:
            assert entry.all_items() == {}
            for call in (ni.load, ni.load_all, ni.load_session):
                with pytest.raises(ni.ManifestError, match=rf"get .* from {entry.address}, .*holdings.adopt"):
                    call(entry.id)

    def test_copies_that_are_adopted_load_by_id(self, mirror, tmp_path):
        """The container of Kato et al. 2015, here with other values, becomes two worms of `kato2015`."""
        folder = tmp_path / "osf" / "deep"
        folder.mkdir(parents=True)
        copy = folder / "WT_NoStim.mat"
        copy.write_bytes((mirror / "calcium/kato2015_layout/WT_NoStim_layout.mat").read_bytes())
        mine = holdings.adopt("kato2015", tmp_path / "osf", tmp_path / "mine.yaml")
        worms = ni.load_all("kato2015", manifest=mine)
        assert list(worms) == ["2022-07-26-31", "2022-07-26-38"]
        assert worms["2022-07-26-38"].sizes == {"time": 800, "unit": 141}
        assert worms["2022-07-26-31"].attrs["license"] == "not read: see the address"
        with pytest.raises(ni.ManifestError, match="holds 2 items; name one of: 2022-07-26-31, 2022-07-26-38"):
            ni.load("kato2015", manifest=mine)
        with pytest.raises(ni.ManifestError, match=r"mine\.yaml exists already"):
            holdings.adopt("kato2015", tmp_path / "osf", mine)
        with copy.open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"!")
        with pytest.raises(ni.ManifestError, match=r"sha256 of .*WT_NoStim\.mat is"):
            ni.load_session("kato2015", "2022-07-26-31", manifest=mine)

    def test_files_that_stand_beside_are_hashed_too(self, tmp_path):
        rng = np.random.default_rng(0)
        for worm in range(2):
            np.savetxt(tmp_path / f"{worm}_gcamp.txt", rng.normal(size=(8, 2)))
            np.savetxt(tmp_path / f"{worm}_t.txt", np.arange(8) / 2)
            (tmp_path / f"{worm}_labels.txt").write_text("AVAL\nAWA\n")
        mine = holdings.adopt("randi2023", tmp_path, tmp_path / "mine.yaml")
        assert list(ni.load_all("randi2023", manifest=mine)) == ["0", "1"]
        items = ni.datasets(mine)["randi2023"].all_items()
        assert [source.argument for source in items["0"].sources] == [None, "labels", "time"]
        (tmp_path / "1_labels.txt").write_text("AVAR\nAWA\n")
        with pytest.raises(ni.ManifestError, match=r"sha256 of .*1_labels\.txt is"):
            ni.load_session("randi2023", "1", manifest=mine)

    def test_what_cannot_be_adopted(self, tmp_path):
        with pytest.raises(ni.ManifestError, match=r"holds no WT_NoStim\.mat or WT_Stim\.mat of https://osf"):
            holdings.adopt("kato2015", tmp_path, tmp_path / "mine.yaml")
        with pytest.raises(ni.ManifestError, match="'dag2023' has sources of its own"):
            holdings.adopt("dag2023", tmp_path, tmp_path / "mine.yaml")
        (tmp_path / "run_prfrd_data.mat").write_bytes(b"no MATLAB")
        with pytest.raises(ni.LoaderError, match="cannot be read as MATLAB"):
            holdings.adopt("lin2023", tmp_path, tmp_path / "mine.yaml")
        assert not list(tmp_path.glob("*.yaml*"))

    def test_a_manifest_that_cannot_be_written(self, tmp_path):
        table = "neuron,0,1,2\nASEL,1.5,0.5,0.25\n"
        (tmp_path / "herm.csv").write_text(table)
        (tmp_path / "._herm.csv").write_bytes(b"\x00 what macOS leaves beside a file")
        with pytest.raises(ni.ManifestError, match=r"cannot write .*none/mine\.yaml: No such file or directory"):
            holdings.adopt("venkatachalam2024", tmp_path, tmp_path / "none" / "mine.yaml")
        mine = holdings.adopt("venkatachalam2024", tmp_path, tmp_path / "mine.yaml")
        assert list(ni.datasets(mine)["venkatachalam2024"].all_items()) == ["herm"]
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
            "._herm.csv",
            "herm.csv",
            "mine.yaml",
        ]
