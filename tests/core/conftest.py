"""Fixtures that several files share: the command line, a small transformer, a chain of linear maps, a browser."""

import logging
import shutil
import sys

import pytest

from neurointerp import cli, models
from neurointerp.models.taps import tapped


@pytest.fixture
def here(monkeypatch, capsys):
    """Give a function that runs the command line in this process, which need not import it all anew."""
    log = logging.getLogger("neurointerp")
    monkeypatch.setattr(log, "handlers", log.handlers)
    monkeypatch.setattr(log, "propagate", log.propagate)
    level = log.level

    def run_here(*arguments, check=0):
        monkeypatch.setattr(sys, "argv", ["neurointerp", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.main()
        said = capsys.readouterr()
        assert done.value.code == check, said.err
        return said.out, said.err

    yield run_here
    log.setLevel(level)  # by its method, which forgets what loggers below remember of it


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def gpt2(small_model):
    return small_model("gpt2")


@pytest.fixture(scope="module")
def ids(torch):
    return torch.randint(3, 40, (2, 7), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def chain(torch):
    """Give three linear maps in double precision, with names."""
    torch.manual_seed(1)
    parts = {"a": torch.nn.Linear(4, 5), "b": torch.nn.Linear(5, 6), "c": torch.nn.Linear(6, 3)}
    model = torch.nn.Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    return model.double()


@pytest.fixture
def logits(torch):
    """Give a function that gives the logits of a model."""

    def run(model, given):
        with torch.no_grad():
            return model(given).logits

    return run


@pytest.fixture
def held(torch):
    """Give a function that gives what a model holds at a site."""

    def run(model, site, given):
        found = []
        with torch.no_grad(), tapped(model, [(models.sites_of(model, site)[0], lambda t: found.append(t.clone()))]):
            model(given)
        return found[0]

    return run


@pytest.fixture(scope="module")
def browser():
    """Give a Chromium that is started once for a file of tests."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
