"""Recorded sweeps as DataFrames: columns, and the learning rate that validation chooses."""

import pandas as pd
import pytest

from lorakit.core.errors import LoRAError
from lorakit.lab import records


@pytest.fixture
def runs():
    """Two ranks at two rates; at r = 4 both rates are as good."""
    columns = {"r": [1, 1, 2, 2, 4, 4], "lr": [0.1, 0.2, 0.1, 0.2, 0.2, 0.1]}
    scores = {"validation_execution": [0.9, 0.8, 0.1, 0.3, 0, 0], "test_loss": [0.1, 0.9, 0, 0, 0, 0]}
    return pd.DataFrame(columns | scores)


def test_the_learning_rate_is_the_best_by_the_metric_that_is_asked_and_a_tie_goes_to_the_smaller(runs):
    assert records.best_lr(runs, ["r"], "validation_execution").to_dict() == {1: 0.1, 2: 0.2, 4: 0.1}
    assert records.best_lr(runs, ["r"], "test_loss").to_dict() == {1: 0.1, 2: 0.1, 4: 0.1}, "of a loss the least"
    whole = records.best_lr(runs.assign(method="lora"), ["method"], "validation_execution")
    assert whole.to_dict() == {"lora": 0.2}, "by the mean: 0.333 and 0.367"


def test_a_record_is_a_row_and_one_that_diverged_is_none():
    run = {"r": 8, "targets": ["q", "v"], "lr": 0.1}
    scores = {"validation": {"loss": 0.5}, "test": {"execution": 0.7, "loss": 0.6}, "last_loss": 0.1}
    table = records.frame([{"run": run, "metrics": scores, "trainable": 5}, {"run": run, "diverged": "why"}])
    assert table.iloc[0].to_dict() == {
        "r": 8, "targets": "q+v", "lr": 0.1, "validation_loss": 0.5, "test_execution": 0.7, "test_loss": 0.6,
        "last_loss": 0.1, "trainable": 5,
    }  # fmt: skip
    assert len(table) == 1


def test_a_sweep_that_is_not_recorded_says_how_to_make_it():
    with pytest.raises(LoRAError, match="make it with `make results`"):
        records.load("absent")
