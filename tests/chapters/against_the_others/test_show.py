"""Chapter 07's pictures and widget draw the rows they are given; their titles say no more than the rows do."""

import pytest

from lorakit.chapters.against_the_others.explorer import RivalsExplorer, facts
from lorakit.chapters.against_the_others.table import of_kinds, rivals_table
from lorakit.chapters.against_the_others.token_view import context_figure
from tests.support import rivals_rows


@pytest.fixture(scope="module")
def runs():
    return of_kinds(rivals_rows.runs())


@pytest.fixture(scope="module")
def table(runs):
    return rivals_table(runs, rivals_rows.costs())


@pytest.fixture(scope="module")
def explorer(table):
    return RivalsExplorer(table)


def test_a_chosen_method_is_told_in_words(explorer, table):
    explorer.set(method="prefix + MLP")
    words = str(explorer)
    assert "300,000 numbers train" in words and "32,768 are kept" in words and "below LoRA's seeds" in words
    assert "240 positions" in words and "keeps every bit" in words
    assert "is changed" in facts(table, "full") and "is not what answers" in facts(table, "distill")
    assert "LoRA's seeds" not in facts(table, "lora") and "(95.2 % of the base)" in facts(table, "full")


def test_a_prompt_is_lost_when_its_answer_has_no_room():
    assert "160 is the first that costs" in context_figure([20, 55], [0, 16, 160, 192], 48, 256).describe()
    assert "No prompt is lost" in context_figure([20, 55], [0, 16], 48, 256).describe()
    fig = context_figure([50, 60, 70], [0, 1], answer=10, context=80)
    assert [text.get_text() for text in fig.axes[0].texts] == ["all fit", "1 of 3 lost"]  # 70 + 10 just fits
    widths = [patch.get_width() for patch in fig.axes[0].patches]
    assert widths == [0, 70, 10, 0, 1, 69, 10, 0]  # the bar is always the whole context
