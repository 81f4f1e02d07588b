"""The Venkatachalam lab's tables, read from tables made in their layout: there are no files at hand."""

import zipfile

import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp.loaders.datasets import venkatachalam2024, worm_neurons


class TestVenkatachalam:
    def table(self, neurons=("ADAL", "SIAD", "ASEL", "AVAL"), frames=50, blank=7):
        rng = np.random.default_rng(3)
        values = rng.normal(size=(len(neurons), frames))
        values[:, :blank] = np.nan
        values[1] = np.nan
        values[2, 20] = np.nan
        about = pd.DataFrame({"id": range(len(neurons)), "neuron": neurons, "neuron_group": "x", "conf": 1.0})
        about["stimulus"] = "[(17, '100mM NaCl'), ('30.0', 'Control')]"
        traces = pd.DataFrame(values, columns=[str(frame) for frame in range(frames)])
        return pd.concat([about, traces, pd.DataFrame({"key": ["20220327_herm_2"] * len(neurons)})], axis=1), values

    @pytest.fixture
    def path(self, tmp_path):
        table, _ = self.table()
        table.to_csv(tmp_path / "20220327_herm_2.csv", index=False)
        with zipfile.ZipFile(tmp_path / "20220327_herm_2.zip", "w") as archive:
            archive.write(tmp_path / "20220327_herm_2.csv", "20220327_herm_2.csv")
        (tmp_path / "20220327_herm_2.csv").unlink()
        return tmp_path / "20220327_herm_2.zip"

    def test_traces_clock_and_names(self, path):
        _, values = self.table()
        rec = venkatachalam2024.load(path)
        np.testing.assert_allclose(rec.values, values[[0, 2, 3], 7:].T, rtol=1e-15)
        np.testing.assert_allclose(rec.time, np.arange(43) * 0.375)
        assert list(rec.unit.values) == ["ADAL", "ASEL", "AVAL"]
        steps = rec.attrs["history"]
        assert steps[-2]["parameters"]["first_stamp"] == 7 * 0.375
        assert steps[-1]["parameters"]["blank_frames"] == [7, 0]
        assert steps[-1]["parameters"]["empty_neurons"] == ["SIAD"]
        assert venkatachalam2024.load(path, frame=0.5).time[-1] == 21

    def test_stimuli_are_on_the_clock_of_the_recording(self, path):
        events = venkatachalam2024.load_session(path)["events"].to_dataset()
        np.testing.assert_allclose(events.onset, [10 * 0.375, 23 * 0.375])
        assert events.duration.isnull().all()
        assert list(events.trial_type.values) == ["100mM NaCl", "Control"]

    def test_on_the_common_order(self, path, adopted):
        out = venkatachalam2024.load_session(path, homogenised=True)["recordings/calcium/recording"]
        assert set(out.unit.values[out.notnull().any("time")]) == {"ADAL", "ASEL", "AVAL"}
        assert tuple(out.unit.values) == worm_neurons.order(300)
        assert list(venkatachalam2024.load_all(path.parent, homogenised=True)) == ["20220327_herm_2"]
        assert list(adopted("venkatachalam2024", path.parent)) == ["20220327_herm_2"]

    def test_malformed(self, tmp_path):
        file = tmp_path / "w.csv"
        table, _ = self.table()
        table.rename(columns={"neuron": "cell"}).to_csv(file, index=False)
        with pytest.raises(ni.LoaderError, match="no column neuron; a table of the Venkatachalam lab is needed"):
            venkatachalam2024.load(file)
        table[["neuron", "key"]].to_csv(file, index=False)
        with pytest.raises(ni.LoaderError, match="0 columns are named by a frame number"):
            venkatachalam2024.load(file)
        table.rename(columns={"49": "48.1"}).to_csv(file, index=False)
        with pytest.raises(ni.LoaderError, match="50 columns are named by a frame number; whole ones that increase"):
            venkatachalam2024.load(file)
        table.assign(stimulus="[(17, 'NaCl'), (50, 'Control')]").to_csv(file, index=False)
        with pytest.raises(ni.LoaderError, match="stimulus 'Control' is outside of the table's 50 frames"):
            venkatachalam2024.load_session(file)
        table.loc[:, "0":"49"] = np.nan
        table.to_csv(file, index=False)
        with pytest.raises(ni.LoaderError, match="no neuron has a value in any of 50 frames"):
            venkatachalam2024.load(file)
        with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
            archive.writestr("a.csv", "neuron,0,1")
            archive.writestr("b.csv", "neuron,0,1")
        with pytest.raises(ni.LoaderError, match=r"one \.csv of at most .* is needed, found a\.csv \(10 bytes\), b"):
            venkatachalam2024.load(tmp_path / "w.zip")
