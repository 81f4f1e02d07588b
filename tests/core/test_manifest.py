import hashlib

import numpy as np
import pytest
import yaml

import neurointerp as ni
from neurointerp import manifest


def entry(tmp_path, **changes):
    """Give a manifest entry for a real table of three regions on disk."""
    file = tmp_path / "rois.txt"
    np.savetxt(file, np.random.default_rng(0).standard_normal((20, 3)))
    source = {"url": file.as_uri(), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    return {
        "id": "rois", "title": "three regions", "modality": "fmri", "version": "1", "loader": "fmri",
        "options": {"tr": 2.0}, "sources": [source], "system": "human", "license": "CC0", "citation": "none",
        "expected": {"dims": ["time", "unit"], "sizes": {"time": 20, "unit": 3}, "sampling_rate": 0.5, "units": "1"},
    } | changes  # fmt: skip


def written(tmp_path, *entries):
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump({"datasets": list(entries)}), "utf-8")
    return path


def test_the_packages_own_manifest_is_valid_and_names_public_sources():
    found = manifest.datasets()
    embedded = [e for e in found.values() if e.embedded]
    assert [e.modality for e in embedded] == ["activations", "spikes", "calcium", "eeg", "fmri"]
    assert {e.simulated for e in embedded} == {True, False}
    for e in found.values():
        for item in e.all_items().values():
            assert all(s.url.startswith(("https://", "package:", "mirror:")) for s in item.sources), e.id
            assert e.license
            assert e.citation


@pytest.mark.parametrize("id", [e.id for e in manifest.datasets().values() if e.embedded])  # fmt: skip
def test_embedded_datasets_load_without_network(id):  # noqa: A002
    rec = ni.load(id)
    ni.check(rec)
    about = manifest.datasets()[id]
    assert rec.name == id
    assert rec.attrs["system"] == about.system
    assert rec.attrs["license"]
    assert rec.attrs["history"][-1]["parameters"]["dataset"] == id
    assert ni.digest(ni.load(id)) == ni.digest(rec)
    if about.simulated:
        tree = ni.load_session(id)
        assert len(tree["truth"].data_vars) > 0
        assert tree.attrs["dataset"] == id


def test_a_real_entry_is_fetched_checked_and_kept(tmp_path):
    path = written(tmp_path, entry(tmp_path))
    rec = ni.load("rois", manifest=path)
    assert dict(rec.sizes) == {"time": 20, "unit": 3}
    assert rec.attrs["system"] == "human"
    (tmp_path / "rois.txt").unlink()
    assert ni.load("rois", manifest=path).identical(rec)  # from the cache: no raw file is read


def test_several_items_must_be_named(tmp_path):
    one = entry(tmp_path)
    sources = one.pop("sources")
    items = {"a": {"sources": sources}, "b": {"sources": sources, "expected": {"sizes": {"time": 20}}}}
    path = written(tmp_path, one | {"items": items})
    with pytest.raises(ni.ManifestError, match="'rois' holds 2 items; name one of: a, b"):
        ni.load("rois", manifest=path)
    with pytest.raises(ni.ManifestError, match="has no item 'c'"):
        ni.load("rois", "c", manifest=path)
    assert ni.load("rois", "a", manifest=path).name == "rois-a"
    assert list(ni.load_all("rois", manifest=path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modality": "smell"}, "dataset 'rois': .*modality 'smell'"),
        ({"id": "Rois!"}, "dataset 'Rois!': id"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"sources": []}, "item .rois. of a real dataset needs a first one"),
        ({"sources": [{"url": "ftp://x/y", "sha256": "0" * 64}]}, "https://, file://, package: or mirror:"),
        ({"sources": [{"url": "https://x/y"}]}, "a sha256 is needed"),
        ({"sources": [{"url": "mirror:y", "sha256": "0" * 64}]}, "derived_from must name"),
        ({"license": None}, "license: Input should be a valid string"),
        ({"doi": "doi:10.1/x"}, "doi: String should match pattern"),
        ({"files": ["x.mat"]}, "they stand at an address, and go with neither sources nor items"),
    ],
)
def test_an_invalid_entry_names_itself_and_the_field(tmp_path, changes, message):
    with pytest.raises(ni.ManifestError, match=message):
        ni.datasets(written(tmp_path, entry(tmp_path) | changes))


def test_manifests_that_are_none(tmp_path):
    (tmp_path / "m.yaml").write_text("datasets: [")
    with pytest.raises(ni.ManifestError, match="is not YAML"):
        ni.datasets(tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text("- 1")
    with pytest.raises(ni.ManifestError, match="a list under the key 'datasets'"):
        ni.datasets(tmp_path / "m.yaml")
    with pytest.raises(ni.ManifestError, match="cannot read the manifest"):
        ni.datasets(tmp_path / "absent.yaml")
    with pytest.raises(ni.ManifestError, match="'rois' is listed twice"):
        ni.datasets(written(tmp_path, entry(tmp_path), entry(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loader": "nonesuch"}, "no loader 'nonesuch'"),
        ({"loader": "synthetic.nonesuch", "system": "simulated", "sources": []}, "no simulator 'synthetic.nonesuch'"),
        ({"expected": {"units": "V"}}, "expected units V, found 1"),
        ({"expected": {"sizes": {"unit": 4}}}, r"expected sizes {'unit': 4}, found {'unit': 3}"),
        ({"expected": {"sampling_rate": 1.0}}, "expected sampling_rate 1.0, found 0.5"),
        ({"modality": "eeg"}, "expected modality eeg, found fmri"),
    ],
)
def test_what_is_not_as_the_manifest_says_is_refused_and_not_kept(tmp_path, changes, message):
    with pytest.raises(ni.ManifestError, match=message):
        ni.load("rois", manifest=written(tmp_path, entry(tmp_path) | changes))
    assert not (tmp_path / "cache" / "stores").exists()


def test_a_wrong_hash_names_both(tmp_path):
    one = entry(tmp_path)
    one["sources"][0]["sha256"] = "0" * 64
    with pytest.raises(ni.ManifestError, match="the manifest says 0000"):
        ni.load("rois", manifest=written(tmp_path, one))
    with pytest.raises(ni.ManifestError, match="no dataset 'nope'; there are: rois"):
        ni.load("nope", manifest=written(tmp_path, one))
