"""Maps of components in the report, in Chromium: slices of real fMRI and topographies of real MEG, dot by dot."""

import base64
import csv
import io

import matplotlib
import numpy as np
import pytest

from neurointerp import report
from neurointerp.analyses import comparison
from neurointerp.loaders import eeg, fmri

SIZES = {"units": 100, "samples": 100, "nulls": 2, "resamples": 0}

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def tree(mirror):
    """Compare a run of a brain in the scanner (Haxby 2001, at 25 mm) with the magnetometers of ten seconds of MEG."""
    image = fmri.load(mirror / "fmri/haxby2001_pymvpa/sub001/BOLD/task001_run001/bold_25mm.nii.gz").load()
    image = image.isel(unit=np.flatnonzero(np.isin(image["k"].values, (4, 5, 6))))
    sensors = eeg.load(mirror / "meg/mne_more/141027_cropped_90Hz_raw.fif", modality="meg").load()
    recs = {"brain": image.assign_attrs(system="human"), "helmet": sensors.assign_attrs(system="human")}
    return comparison.compare(recs, **SIZES)


@pytest.fixture(scope="module")
def page(tree, tmp_path_factory):
    return report.write(tree, tmp_path_factory.mktemp("report") / "report.html").as_uri()


DOTS = """async (image) => {
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth * 4, image.naturalHeight * 4];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return { dots: canvas.toDataURL("image/png"), svg: decodeURIComponent(image.src.slice(image.src.indexOf(",") + 1)) };
}"""
PLACES = """() => {
  const of = (e) => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; };
  return { images: [...document.querySelectorAll("image")].map(of),
           uses: [...document.querySelectorAll("use")].map((e) => [e.getAttribute("xlink:href"), ...of(e)]) };
}"""


@pytest.fixture(scope="module")
def cards(browser, page):
    """Give the cards of a recording as Chromium shows them: words, dots (y, x, colour), and where its parts lie."""
    found = {}
    for number, name in enumerate(("brain", "helmet"), 1):
        messages = []
        view = browser.new_page(viewport={"width": 1280, "height": 900})
        view.on("console", lambda message, messages=messages: messages.append(message.text))
        view.goto(f"{page}#recording-{number}")
        figures = view.locator(f"#recording-{number} .cards figure")
        found[name] = []
        for figure in figures.all():
            drawn = figure.locator("img").evaluate(DOTS)
            with view.expect_download() as saved:
                figure.get_by_role("link", name="Save the weights").click()
            table = list(csv.DictReader(io.StringIO(saved.value.path().read_text("utf-8"))))
            alone = browser.new_page(viewport={"width": 900, "height": 400})
            alone.set_content(f"<body style='margin:0'>{drawn['svg']}")
            shown = alone.locator("svg").bounding_box()
            found[name].append({
                "caption": figure.locator("figcaption").inner_text(), "alt": figure.locator("img").get_attribute("alt"),
                "dots": pixels(drawn["dots"]), "places": alone.evaluate(PLACES), "box": shown,
                "weights": {row["unit"]: float(row["weight"]) for row in table},
            })  # fmt: skip
            alone.close()
        assert messages == []
        view.close()
    return found


def pixels(uri):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"), dtype=float)


COLOURS = 255 * matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, 256))[:, :3]


def value(card, x, y):
    """Give the value, from -1 (blue) to 1 (red), of the colour of the page at a place of the drawing."""
    height, width, _ = card["dots"].shape
    row = int((y - card["box"]["y"]) / card["box"]["height"] * height)
    column = int((x - card["box"]["x"]) / card["box"]["width"] * width)
    nearest = np.argmin(((COLOURS - card["dots"][row, column]) ** 2).sum(axis=1))
    return nearest / 127.5 - 1


def test_every_component_of_a_brain_is_slices_and_of_a_helmet_a_map(cards):
    for name, of in (("brain", "voxel"), ("helmet", "sensor")):
        assert len(cards[name]) == 4, of
        for number, card in enumerate(cards[name]):
            assert card["caption"].startswith(f"Component {number}")
            assert "units by name" not in card["caption"]  # what a card falls back to
            assert "not drawn" not in card["caption"]
            strongest = max(card["weights"], key=lambda unit: abs(card["weights"][unit]))
            assert strongest in card["alt"].split("largest weight are ")[1].split(",")[0]


def test_a_voxel_has_the_colour_of_its_weight_where_it_lies(cards, tree):
    """Three slices through the strongest voxel: each voxel of each of them is read from the page."""
    rec = tree["matched/brain/matched"]
    place = np.stack([rec[axis].values for axis in "ijk"], axis=1).astype(int)
    low, high = place.min(axis=0), place.max(axis=0)
    seen = 0
    for card in cards["brain"]:
        weight = np.array([card["weights"][unit] for unit in rec["unit"].values])
        peak = place[np.abs(weight).argmax()]
        assert len(card["places"]["images"]) == 3
        for across, (x, y, width, height) in enumerate(card["places"]["images"]):
            right, up = (axis for axis in range(3) if axis != across)
            cut = place[:, across] == peak[across]
            share = (place[cut] - low + 0.5) / (high - low + 1)
            shown = [value(card, x + width * one[right], y + height * (1 - one[up])) for one in share]
            np.testing.assert_allclose(shown, weight[cut] / np.abs(weight).max(), atol=0.02)  # a table of 256 colours
            seen += cut.sum()
    assert seen > 200


def test_a_sensor_has_the_colour_of_its_weight_where_it_lies(cards, tree):
    """The dots of sensors are in the order of units; beside each the map has the colour of its weight."""
    rec = tree["matched/helmet/matched"]
    x, y = rec["x"].values, rec["y"].values
    for card in cards["helmet"]:
        kinds = [use[0] for use in card["places"]["uses"]]
        dots = next(kind for kind in kinds if kinds.count(kind) == rec.sizes["unit"])
        places = np.array([use[1:] for use in card["places"]["uses"] if use[0] == dots])
        across, down = places[:, 0] + places[:, 2] / 2, places[:, 1] + places[:, 3] / 2
        assert np.corrcoef(across, x)[0, 1] > 0.9  # the right ear to the right, the nose up
        assert np.corrcoef(-down, y)[0, 1] > 0.9
        weight = np.array([card["weights"][unit] for unit in rec["unit"].values])
        beside = 1.2 * places[0, 2] / 2 + 0.5
        shown = [
            np.mean([value(card, a + dx, b) for dx in (-beside, beside)]) for a, b in zip(across, down, strict=True)
        ]
        assert np.corrcoef(shown, weight)[0, 1] > 0.85


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_maps_fit_a_phone_and_stay_readable_in_the_dark(browser, page, width, scheme):
    for number in (1, 2):
        view = browser.new_page(viewport={"width": width, "height": 740}, color_scheme=scheme)
        view.goto(f"{page}#recording-{number}")
        assert view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        paper = view.locator(".view:visible .paper").first
        ground = paper.evaluate("e => getComputedStyle(e).backgroundColor.match(/\\d+/g).map(Number)")
        assert min(ground) > 200  # black letters and a white middle of the colours need light paper
        images = view.locator(".view:visible .cards img")
        assert images.count() == 4
        for image in images.all():
            assert image.evaluate("async i => { await i.decode(); return i.clientWidth; }") >= 330
        view.close()
