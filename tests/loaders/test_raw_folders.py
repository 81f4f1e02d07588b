"""Any raw file or folder: the loader that is chosen, and what must be given because the file does not state it."""

import shutil

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import calcium, raw, spikes

PHY = "spikes/phy_template"


def test_phy_folder_with_its_rate(mirror):
    rec = raw.load(mirror / PHY, bin_width=0.1, sampling_rate=25_000.0)
    ours = spikes.load(mirror / PHY, bin_width=0.1, sampling_rate=25_000.0)
    np.testing.assert_array_equal(rec, ours)
    assert (rec.name, rec.attrs["modality"], int(rec.sum())) == ("phy_template", "spikes", 314)
    with pytest.raises(ni.LoaderError, match=r"no params\.py states a literal sample_rate; pass sampling_rate= \(Hz\)"):
        raw.load(mirror / PHY, bin_width=0.1)
    with pytest.raises(ni.LoaderError, match=r"does not state its bin width \(s\); pass it \(--bin-width\)"):
        raw.load(mirror / PHY, sampling_rate=25_000.0)


def test_folders_tell_what_they_hold(mirror, tmp_path):
    assert int(raw.load(mirror / "spikes/ibl_alf", bin_width=0.1).sum()) == 124_905
    with pytest.raises(ni.LoaderError, match="sampling_rate= has no meaning for an ALF folder"):
        raw.load(mirror / "spikes/ibl_alf", bin_width=0.1, sampling_rate=30_000.0)
    rec = raw.load(mirror / "calcium/suite2p_pynapple/suite2p", sampling_rate=30.0)
    assert (rec.attrs["modality"], rec.shape) == ("calcium", (2000, 20))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ni.LoaderError, match="its name does not tell what it holds; pass the modality"):
        raw.load(tmp_path / "empty")


def test_nwb_holds_many_things_and_needs_its_modality(mirror):
    worm = mirror / "calcium/nwb_ophys/sub-worm_ses-2022-07-26-38_ophys.nwb"
    with pytest.raises(ni.LoaderError, match="pass the modality"):
        raw.load(worm)
    rec = raw.load(worm, modality="calcium")
    np.testing.assert_array_equal(rec, calcium.load(worm))
    assert len(rec.attrs["history"][-1]["parameters"]["sha256"][0]) == 64
    units = mirror / "spikes/pynapple_nwb/A8604-211122.nwb"
    assert int(raw.load(units, modality="spikes", bin_width=0.1).sum()) == 21_354


def test_matrix_of_calcium_in_stated_units(tmp_path):
    (tmp_path / "w.csv").write_text("AVAL,RIML\n1,2\n3,4\n")
    rec = raw.load(tmp_path / "w.csv", modality="calcium", sampling_rate=2.0, units="percent")
    np.testing.assert_array_equal(rec, [[1, 2], [3, 4]])
    assert (rec.attrs["units"], rec.attrs["sampling_rate"], rec.name) == ("percent", 2.0, "w")


def test_a_rate_beside_params_must_agree(mirror, tmp_path):
    for name in ("spike_times", "spike_clusters"):
        shutil.copy(mirror / PHY / f"{name}.npy", tmp_path)
    (tmp_path / "params.py").write_text("sample_rate = 25000.\n")
    assert int(raw.load(tmp_path, bin_width=0.1).sum()) == 314
    with pytest.raises(ni.LoaderError, match="states sample_rate 25000, sampling_rate=30000 was given"):
        raw.load(tmp_path, bin_width=0.1, sampling_rate=30_000.0)
