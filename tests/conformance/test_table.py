"""The table of properties names tests that exist, and docs/supported.md says what happens now."""

import ast
import re
from pathlib import Path

import support_table

from tests.support.properties import MORE, PROPERTIES

HERE = Path(__file__).parent


def suite_tests() -> dict[str, bool]:
    """Every test of the suite's other files: does it run over the architectures?"""
    found = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and path != Path(__file__):
                found[node.name] = "kind" in [argument.arg for argument in node.args.args]
    return found


def test_every_property_has_tests_that_run_over_the_architectures():
    assert list(PROPERTIES) == list(range(1, 22))
    found, named = suite_tests(), sum(PROPERTIES.values(), [])
    assert not [test for test in named if not found[test]]
    assert {*named, *MORE} == set(found)


def test_the_page_says_what_happens_now():
    text = support_table.PAGE.read_text(encoding="utf-8")
    # Other versions (`make drift`) may change their numbers on the page and nothing else.
    text = re.sub(r"transformers \S+, peft \S+\.\n", f"{support_table.versions()}.\n", text)
    assert text == support_table.page(), "run `python tools/support_table.py`"
