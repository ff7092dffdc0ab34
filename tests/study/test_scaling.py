"""The size of an update under both scaling rules."""

import pytest
import torch

from lorakit.study.scaling import example_factors, scaling, unit_size


def test_scaling_rules_in_closed_form():
    assert scaling(16, 8) == 2 and scaling(16, 64, use_rslora=True) == 2


def test_update_size_equals_the_dense_update():
    B, A, x = example_factors("random", d=12, R=4)
    size = unit_size([(B, A, x)], r=4).scaled(scaling(8, 4))
    delta = 2 * B @ A
    assert size.norm == pytest.approx(float(torch.linalg.norm(delta)), rel=1e-5)
    assert size.output_change == pytest.approx(float((x @ delta.T).square().mean().sqrt()), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "rslora", "growth"), [("random", True, 1), ("aligned", False, 1), ("random", False, 1 / 8)]
)
def test_which_rule_keeps_the_update_steady_depends_on_the_directions(kind, rslora, growth):
    draws = [example_factors(kind, seed=seed) for seed in range(24)]
    one, many = (unit_size(draws, r).scaled(scaling(16, r, rslora)).output_change for r in (1, 64))
    assert many / one == pytest.approx(growth, rel=0.35)
