"""The size of an update under both scaling rules."""

import pytest
import torch

from lorakit.core.config import LoRAConfig
from lorakit.study.scaling import example_factors, unit_size


def scaling(r, use_rslora=False):
    return LoRAConfig(r=r, alpha=16, use_rslora=use_rslora).scaling_of("")


def test_scaling_rules_in_closed_form():
    assert scaling(8) == 2 and scaling(64, use_rslora=True) == 2


def test_update_size_equals_the_dense_update():
    B, A, x = example_factors("random", d=12, R=4)
    norm, change = unit_size([(B, A, x)], r=4)
    assert norm == pytest.approx(float(torch.linalg.norm(B @ A)), rel=1e-5)
    assert change == pytest.approx(float((x @ (B @ A).T).square().mean().sqrt()), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "rslora", "growth"), [("random", True, 1), ("aligned", False, 1), ("random", False, 1 / 8)]
)
def test_which_rule_keeps_the_update_steady_depends_on_the_directions(kind, rslora, growth):
    draws = [example_factors(kind, seed=seed) for seed in range(24)]
    one, many = (scaling(r, rslora) * unit_size(draws, r)[1] for r in (1, 64))
    assert many / one == pytest.approx(growth, rel=0.35)
