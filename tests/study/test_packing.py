"""Packing: exact where it can be, within half a step elsewhere; what a merge into packed weights loses."""

import pytest
import torch

from lorakit.study.packing import packed, surviving


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_number_moves_by_more_than_half_a_step(bits):
    weight = normal(32, 128)
    rows = weight.reshape(-1, 64)
    step = rows.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((packed(weight, bits).reshape(-1, 64) - rows).abs() <= step / 2 + 1e-6).all()


def test_packing_twice_is_packing_once_and_zeros_and_the_dtype_stay():
    once = packed(normal(8, 64))
    assert torch.allclose(packed(once), once, atol=1e-6)
    assert not packed(torch.zeros(2, 64)).any()
    assert packed(normal(4, 64)).unique().numel() <= 4 * 15
    assert packed(normal(4, 64).bfloat16()).dtype == torch.bfloat16


def test_packing_again_loses_a_small_update_in_4_bits_and_little_of_a_large_one_in_8():
    base, update = normal(64, 256), 0.01 * normal(64, 256, seed=1)
    small, large = surviving(base, update, bits=4), surviving(base, 10 * update, bits=8)
    assert small["error"] > 0.8
    assert large["error"] < 0.15 and large["kept"] == pytest.approx(1, abs=0.05)


def test_an_update_of_whole_steps_survives_whole():
    base = torch.arange(-7.0, 9).clamp(max=7).repeat(4, 4)  # packed without error: its steps are 1
    update = torch.zeros_like(base)
    update[base.abs() < 3] = 1.0
    found = surviving(base, update)
    assert found["kept"] == pytest.approx(1) and found["error"] == pytest.approx(0, abs=1e-6)
