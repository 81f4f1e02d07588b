"""Brains that saw pictures: kriegeskorte2008 and devries2020, and what stands beside the listeners of brennan2016."""

import json

import numpy as np
import pytest
import scipy.io

import neurointerp as ni
from neurointerp.loaders.datasets import brennan2016, devries2020, kriegeskorte2008

OBJECTS = "image_brain/kriegeskorte92"
SCENES = "image_brain/allen_visp_511510667"
ALICE = "fmri/alice_brennan2016"


@pytest.fixture(scope="module")
def tree(mirror):
    return ni.load_session("kriegeskorte2008", mirror=mirror)


class TestKriegeskorte2008:
    def test_pictures_are_those_of_the_file_with_their_categories(self, tree, mirror):
        rec = tree["recordings/images/recording"]
        held = scipy.io.loadmat(mirror / OBJECTS / "Kriegeskorte_Neuron2008_supplementalData.mat", simplify_cells=True)
        for index in (0, 40, 91):
            np.testing.assert_array_equal(rec.values[index], held["stimuli_92objs"][index]["image"])
            assert rec["category"].values[index] == held["stimuli_92objs"][index]["category"]
        assert rec.dtype == np.uint8
        assert (int(rec.animal.sum()), int(rec.face.sum()), int(rec.human.sum()), int(rec.natural.sum())) == (
            48, 24, 24, 71,
        )  # fmt: skip
        groups = tree["structure/groups/structure"]
        np.testing.assert_array_equal(groups.sel(group="face").sum(), rec.face.sum())
        np.testing.assert_array_equal(groups.sel(group="animate"), rec.animal)
        np.testing.assert_array_equal(rec["stimulus"], groups["stimulus"])

    def test_dissimilarities_of_people_sessions_and_models(self, tree, mirror):
        brains = scipy.io.loadmat(mirror / OBJECTS / "92_brainRDMs.mat", squeeze_me=True, struct_as_record=False)[
            "RDMs"
        ]
        it = tree["structure/it/structure"]
        assert list(it["subject"].values) == ["BE", "KO", "SN", "TI"]
        for row, subject in enumerate(it["subject"].values):
            for session in (1, 2):
                assert brains[row, session - 1].name == f"hIT | {subject} | Session: {session}"
                np.testing.assert_array_equal(
                    it.sel(subject=subject, session=session), brains[row, session - 1].RDM.astype(float)
                )
        published, model = tree["structure/published/structure"], tree["structure/model/structure"]
        np.testing.assert_array_equal(published.sel(system="monkey IT"), model.sel(model="monkeyIT"))
        np.testing.assert_allclose(published.sel(system="human IT"), it.mean(["subject", "session"]), atol=1e-6)

    def test_objects_of_a_kind_lie_close_in_it(self, tree):
        """The check that rows and labels belong together: faces are alike to every person, in both sessions."""
        it, face = tree["structure/it/structure"].values, tree["recordings/images/recording"].face.values
        off = ~np.eye(92, dtype=bool)
        within = it[..., face[:, None] & face & off].mean(axis=-1)
        across = it[..., face[:, None] & ~face].mean(axis=-1)
        assert (within < across).all()

    def test_the_images_load_by_id_and_survive_the_store(self, tree, mirror, tmp_path):
        rec = ni.load("kriegeskorte2008", mirror=mirror)
        np.testing.assert_array_equal(rec.values, tree["recordings/images/recording"].values)
        ni.save(tree, tmp_path / "tree.zarr")
        opened = ni.open(tmp_path / "tree.zarr")
        assert opened["structure/it"].to_dataset().identical(tree["structure/it"].to_dataset())

    def test_other_files_are_refused(self, mirror, tmp_path):
        with pytest.raises(ni.LoaderError, match="no stimuli_92objs; a file of the 92 objects"):
            kriegeskorte2008.load(mirror / OBJECTS / "92_brainRDMs.mat")
        path = mirror / OBJECTS / "Kriegeskorte_Neuron2008_supplementalData.mat"
        with pytest.raises(ni.LoaderError, match="no RDMs"):
            kriegeskorte2008.load_session(path, people=mirror / OBJECTS / "92_modelRDMs.mat")
        one = np.array([(np.arange(92.0**2).reshape(92, 92), "odd")], dtype=[("RDM", object), ("name", object)])
        scipy.io.savemat(tmp_path / "odd.mat", {"Models": one})
        with pytest.raises(ni.LoaderError, match=r"shape \(92, 92\): dissimilarities of 92 objects"):
            kriegeskorte2008.load_session(path, models=tmp_path / "odd.mat")


class TestDeVries2020:
    def test_responses_and_scenes_are_those_of_the_files(self, mirror):
        tree = ni.load_session("devries2020", mirror=mirror)
        rec, scenes = tree["recordings/calcium/recording"], tree["recordings/scenes/recording"]
        folder = mirror / SCENES
        np.testing.assert_array_equal(rec[:100], np.load(folder / "Allen_train_output.npy"))
        np.testing.assert_array_equal(rec[rec.split.values == "test"], np.load(folder / "Allen_test_output.npy"))
        np.testing.assert_array_equal(scenes.values[100:].reshape(18, -1), np.load(folder / "Allen_test_input.npy"))
        np.testing.assert_array_equal(rec["stimulus"], scenes["stimulus"])
        assert scenes.sizes == {"trial": 118, "row": 31, "col": 31, "unit": 1}
        assert '"averaged_by_authors": 50' in json.dumps(rec.attrs["history"])

    def test_scenes_are_upright_pictures(self, mirror):
        """The check that rows are rows: neighbours are alike along both axes, and twice as far they are less so."""
        grey = ni.load_session("devries2020", mirror=mirror)["recordings/scenes/recording"].values[..., 0]
        near = [np.corrcoef(grey[:, 1:].ravel(), grey[:, :-1].ravel())[0, 1],
                np.corrcoef(grey[:, :, 1:].ravel(), grey[:, :, :-1].ravel())[0, 1]]  # fmt: skip
        far = [np.corrcoef(grey[:, 4:].ravel(), grey[:, :-4].ravel())[0, 1],
               np.corrcoef(grey[:, :, 4:].ravel(), grey[:, :, :-4].ravel())[0, 1]]  # fmt: skip
        assert min(near) > 0.7
        assert (np.array(far) < np.array(near)).all()

    @pytest.fixture
    def small(self, tmp_path):
        rng = np.random.default_rng(0)
        sizes = {
            "out": (6, 3),
            "out_test": (2, 3),
            "in": (6, 961),
            "in_test": (2, 961),
            "wide": (2, 4),
            "five": (5, 961),
        }
        for name, size in sizes.items():
            np.save(tmp_path / f"{name}.npy", rng.standard_normal(size))
        return lambda name: tmp_path / f"{name}.npy"

    def test_a_small_set_of_the_same_layout(self, small):
        tree = devries2020.load_session(
            small("out"), test=small("out_test"), images=small("in"), test_images=small("in_test")
        )
        assert list(tree["recordings/calcium/recording"].split.values) == ["train"] * 6 + ["test"] * 2
        assert devries2020.load(small("out")).sizes == {"trial": 6, "unit": 3}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"test": "wide"}, "4 neurons, out.npy has 3"),
            ({"images": "five"}, "5 scenes for 6 responses"),
            ({"images": "out"}, "31 x 31 pixels"),
            ({"test": "out_test", "images": "in"}, "give both or neither"),
            ({"test": "out_test", "test_images": "in_test"}, "test_images= without images="),
        ],
    )
    def test_files_that_do_not_fit_are_refused(self, small, changes, message):
        with pytest.raises(ni.LoaderError, match=message):
            devries2020.load_session(small("out"), **{key: small(name) for key, name in changes.items()})


class TestBrennan2016:
    def test_what_may_disturb_the_series_stands_beside_it_on_its_clock(self, mirror):
        tree = ni.load_session("brennan2016", "s39", mirror=mirror)
        folder = mirror / ALICE
        recs = {name: tree[f"recordings/{name}/recording"] for name in tree["recordings"]}
        assert list(recs) == ["fmri", "word_rate", "sound_power", "translation", "rotation"]
        assert all(np.array_equal(rec["time"], recs["fmri"]["time"]) for rec in recs.values())
        moved = np.loadtxt(next(folder.glob("s39-rp_*.txt")))
        np.testing.assert_allclose(recs["translation"] * 1e3, moved[10:, :3])
        np.testing.assert_array_equal(recs["rotation"], moved[10:, 3:])
        np.testing.assert_array_equal(recs["sound_power"].values[:, 0], np.loadtxt(folder / "s39-sndpwr.txt"))
        assert [recs[name].attrs["units"] for name in ("translation", "rotation")] == ["m", "rad"]

    def test_the_ten_volumes_that_motion_still_has_are_the_first(self, mirror):
        """Motion shows in the series where it is put right, on average over listeners, not where the end is cut."""
        gain = []
        for item in ("s22", "s23", "s24", "s39"):
            tree = ni.load_session("brennan2016", item, mirror=mirror)
            series = tree["recordings/fmri/recording"].values
            moved = np.loadtxt(next((mirror / ALICE).glob(f"{item}-rp_*.txt")))
            explained = [_explained(moved[start : start + 362], series) for start in (10, 0)]
            gain.append(explained[0] - explained[1])
        assert np.mean(gain) > 0

    def test_series_that_do_not_fit_are_refused(self, mirror):
        path = mirror / ALICE / "6mm/s18-timecourses.txt"
        with pytest.raises(ni.LoaderError, match=r"shape \(362, 1\); \(372, 6\) is needed beside s18-timecourses"):
            brennan2016.load_session(path, motion=mirror / ALICE / "s18-rate.txt")
        with pytest.raises(ni.LoaderError, match=r"\(362, 1\) is needed"):
            brennan2016.load_session(path, sound=path)


def _explained(regressors, series):
    """Give the mean r2 of the differences of the series by those of the regressors."""
    x, y = np.diff(regressors, axis=0), np.diff(series, axis=0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - ((y - fitted) ** 2).sum() / (y**2).sum()
