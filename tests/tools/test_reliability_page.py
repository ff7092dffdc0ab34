"""Pages say what the records say; docs/reliability.md, too, and what was measured keeps its promises."""

import json
import re

import readme_tables
from reliability_page import PAGE, RESULTS, ROOT, page


def found(name: str) -> dict:
    return json.loads((RESULTS / f"reliability_{name}.json").read_text(encoding="utf-8"))


def test_the_page_is_what_the_records_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/reliability_page.py"


def test_readme_and_measured_are_what_the_records_say():
    for path in readme_tables.PAGES:
        text = path.read_text(encoding="utf-8")
        assert text == readme_tables.filled(text), "run: python tools/readme_tables.py"


def test_the_tests_that_the_page_names_exist():
    named = re.findall(r"`(tests/[^`]+)`", page())
    assert len(named) > 10
    assert not [pattern for pattern in named if not list(ROOT.glob(pattern))]


def test_the_recorded_runs_are_as_large_as_promised():
    assert found("conformance")["properties"] == 21 and found("conformance")["architectures"] >= 11
    hostile = found("hostile")
    assert hostile["cases"] >= 10_000
    assert hostile["refused"] + hostile["harmless"] + hostile["as_written"] == hostile["cases"]
    assert found("kills")["kills"] >= 200
    storm, cycles = found("threads"), found("leaks")["cycles"]
    assert storm["outputs"] >= 20_000 and storm["wrong"] == 0 and not storm["errors"]
    assert cycles["switch"]["cycles"] >= 5000, "of two switches each"
    assert cycles["load_and_delete"]["cycles"] >= 1000
    assert found("cell_order")["notebooks"] >= 13, "12 and 13 came after the last long run"
    assert found("cell_order")["unexpected"] == 0
