"""The claims table: filled from what was measured, honest about what was not, and every value is kept by a chapter."""

import re
from pathlib import Path

import nbformat
import pytest

from lorakit.chapters.choose_for_real.claims import CLAIMS, OPEN, claims_table
from lorakit.lab import workbook

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"


def code_of(chapter: str) -> str:
    (path,) = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.says)
def test_the_chapter_of_a_claim_keeps_its_values(claim):
    kept = " ".join(re.findall(r"\bkeep\((.*?)\)(?:  #[^\n]*)?\n", code_of(claim.chapter) + "\n", re.DOTALL))
    for name in claim.values:
        assert re.search(rf"\b{name}=", kept), f"chapter {claim.chapter} does not keep {name}"


def test_what_was_measured_settles_its_claim_and_the_others_stay_open():
    assert (claims_table()["yours"] == OPEN).all()
    workbook.keep(switch_us=47.3, base_unchanged=True)
    settled = claims_table().query("yours != @OPEN")["yours"].to_dict()
    assert settled == {"hot swap is instant": "47 µs", "training leaves the base alone": "yes"}


def test_every_claim_has_recorded_values():
    assert not (claims_table()["recorded"] == "–").any()
