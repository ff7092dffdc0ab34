"""The appendix's widget: its numbers are the formula's."""

import pytest

from lorakit.chapters.encoders.explorer import ChanceExplorer


def test_the_standard_error_is_the_formula_s_and_falls_with_the_root_of_n():
    explorer = ChanceExplorer(0.832)
    assert explorer.data["errors"][0] == pytest.approx(100 * (0.832 * 0.168 / 1821) ** 0.5)
    few, many = explorer.compute(200, 0.9), explorer.compute(20000, 0.9)
    assert few["errors"][0] == pytest.approx(10 * many["errors"][0])
    assert few["wrong"] > 0.3 > 0.02 > many["wrong"]
    before = explorer.live_png()
    assert "64 sentences" in str(explorer.set(n=64)) and explorer.live_png() != before
