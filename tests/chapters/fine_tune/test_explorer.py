"""The memory widget is a thin view over the prediction: its bars add up to the peaks it names."""

import pandas as pd
import pytest

from lorakit.chapters.fine_tune.explorer import MemoryExplorer
from lorakit.chapters.fine_tune.plots import in_megabytes, share_figure
from lorakit.show.sizes import PARTS
from lorakit.study.memory_measured import Measured


@pytest.fixture(scope="module")
def explorer():
    return MemoryExplorer()


def width(explorer, method):
    return sum(explorer.bars[method, part].get_width() for part in PARTS)


def test_the_bars_add_up_to_the_share(explorer):
    for settings in (dict(model="nano", batch=8, length=64), dict(model="GPT-3 175B", batch=1, length=2048)):
        explorer.set(**settings)
        assert width(explorer, "full") == pytest.approx(100)
        assert width(explorer, "lora") == pytest.approx(100 * explorer.data["share"])
        assert explorer.data["share"] == explorer.data["lora"].peak / explorer.data["full"].peak


def test_a_third_needs_adamw_and_few_tokens(explorer):
    explorer.set(model="gpt2", dtype="fp32", optimizer="AdamW", batch=1, length=16)
    assert "less than a third" in str(explorer)
    explorer.set(optimizer="SGD")
    assert "more than a third" in str(explorer)
    explorer.set(optimizer="AdamW", batch=128, length=1024)
    assert "more than a third" in str(explorer) and explorer.data["share"] > 0.6


def test_a_row_is_no_longer_than_the_context(explorer):
    assert "2 × 256 tokens" in str(explorer.set(model="nano", batch=2, length=2048))


def test_the_table_sets_predicted_beside_measured():
    parts = dict(weights=2_000_000, gradients=0, optimizer=0, activations=2_000_000, scratch=0)
    parts |= dict(all_gradients=0, kept=0)
    table = in_megabytes({"LoRA": (Measured(**parts), Measured(**parts | {"activations": 1_000_000}))})
    assert list(table.loc["peak", "LoRA"]) == [4.0, 3.0, 33.3]


def test_the_title_says_up_to_how_many_rows_a_third_is_reached():
    shares = pd.DataFrame({"AdamW": [0.28, 0.32, 0.42], "SGD": [0.49, 0.58, 0.75]}, index=[1, 2, 4])
    assert "A third: with AdamW up to 2 rows, with SGD never" in share_figure(shares, {"SGD": {1: 0.5}}, 55).describe()
