"""The claims table: filled from what was measured, honest about what was not, and every value is kept by a chapter."""

import re
from pathlib import Path

import nbformat
import pytest

from lorakit.chapters.choose_for_real import claims
from lorakit.chapters.choose_for_real.claims_table import OPEN, claims_table
from lorakit.lab import workbook

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"


def code_of(chapter: str) -> str:
    (path,) = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.says)
def test_the_chapter_of_a_claim_keeps_its_values(claim):
    kept = " ".join(re.findall(r"\bkeep\((.*?)\)\n", code_of(claim.chapter) + "\n", re.DOTALL))
    for name in claim.values:
        assert re.search(rf"\b{name}=", kept), f"chapter {claim.chapter} does not keep {name}"


def test_an_empty_workbook_gives_a_table_that_says_where_to_measure():
    table = claims_table(recorded={})
    assert table.measured == 0 and OPEN in str(table)
    assert table._repr_html_().count(OPEN) == len(claims.CLAIMS)


def test_a_kept_value_settles_its_claim():
    workbook.keep(switch_us=47.3)
    table = claims_table()
    assert table.measured == 1 and "47 µs" in str(table)


def test_every_claim_reads_the_recorded_values():
    table = claims_table()
    assert [row[0] for row in table.rows if row[3] is None] == []


@pytest.mark.parametrize("value", ["text", None, [], {}])
def test_a_workbook_edited_by_hand_breaks_nothing(value):
    edited = {name: {"value": value} for claim in claims.CLAIMS for name in claim.values}
    assert claims_table(mine=edited, recorded=edited | {"switch_us": 3}).rows


def test_recording_needs_every_value(monkeypatch, tmp_path):
    monkeypatch.setattr(claims, "FILE", tmp_path / "claims.json")
    workbook.keep(switch_us=1.0)
    with pytest.raises(ValueError, match="not measured yet: same_at_step_0"):
        claims.record(workbook.read(workbook.MEASURED))
    workbook.keep(**{name: 0.5 for claim in claims.CLAIMS for name in claim.values})
    claims.record(workbook.read(workbook.MEASURED))
    assert claims.recorded()["switch_us"]["value"] == 0.5
