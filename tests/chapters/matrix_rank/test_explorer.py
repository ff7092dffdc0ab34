"""The slider over ranks."""

import torch

from lorakit.chapters.matrix_rank.explorer import rank_explorer, rank_steps


def test_rank_steps_end_at_the_full_rank():
    assert rank_steps(5) == (1, 2, 3, 4, 5)
    assert rank_steps(768)[-2:] == (640, 768)


def test_it_counts_what_two_factors_store():
    data = rank_explorer(torch.randn(24, 36), "A weight").set(rank=3).data
    assert data.rank == 3 and data.stored == 3 * (24 + 36)
