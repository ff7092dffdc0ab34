"""The slider over ranks."""

import torch

from lorakit.chapters.matrix_rank.explorer import RankExplorer, rank_steps


def test_rank_steps_end_at_the_full_rank():
    assert rank_steps(5) == (1, 2, 3, 4, 5)
    assert rank_steps(768)[-2:] == (640, 768)


def test_beside_a_weight_stands_what_its_copy_misses():
    W = torch.randn(24, 36)
    explorer = RankExplorer(W, "A weight").set(rank=24)
    assert abs(explorer.image.get_array()).max() < 1e-4
    explorer.set(rank=3)
    missed = W - explorer.factors.approximation(3)
    assert torch.allclose(torch.from_numpy(explorer.image.get_array().data), missed, atol=1e-5)
