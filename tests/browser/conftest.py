"""One JupyterLab and one browser for all chapters."""

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser installs playwright")
from tests.browser.chromium import find  # noqa: E402
from tests.browser.lab_page import Chapter  # noqa: E402
from tests.browser.lab_server import lab_server  # noqa: E402

PATIENCE = 300  # seconds that a chapter may take on a slow machine
PROJECTOR = {"width": 1366, "height": 768}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with lab_server(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def browser():
    path = find()
    if not path:
        pytest.skip("no Chromium: make test-browser installs one where that is possible")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def lab(server, browser):
    """The page with Lab in it: loaded once, since it takes longer to load than a notebook."""
    return Chapter(browser.new_page(viewport=PROJECTOR), server.lab, PATIENCE)
