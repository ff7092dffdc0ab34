"""Operations and FLOPs, counted on jobs whose numbers are known."""

import torch
from torch import nn

import lorakit as lk
from lorakit.study.latency import prefill
from lorakit.study.operations import count_work


def test_operations_are_counted_by_name_and_views_are_not():
    x, y = torch.ones(4, 6), torch.ones(6)

    def job():
        z = (x @ x.T).view(2, 8)[:, :4].transpose(0, 1).reshape(2, 4)  # the last one copies: it is a clone
        z.add_(1)
        return (x + y).unsqueeze(0).expand(3, 4, 6)

    work = count_work(job)
    assert work.operations == {"mm": 1, "clone": 1, "add_": 1, "add": 1} and work.count == 4
    assert work.flops == 2 * 4 * 6 * 4


def test_a_linear_layer_is_one_operation():
    layer, x = nn.Linear(8, 16), torch.ones(5, 8)
    work = count_work(lambda: layer(x))
    assert work.operations == {"addmm": 1} and work.flops == 2 * 5 * 8 * 16


def test_lora_adds_three_operations_to_a_block_and_merging_takes_them_away(tiny_model):
    """One product with the A's of q and v, stacked, and one added into each of q and v."""
    tiny_model.requires_grad_(False)  # or torch takes another kernel for the output layer
    job = prefill(tiny_model, 2, 8).run
    base = count_work(job)
    lk.inject(tiny_model, lk.LoRAConfig(r=4, targets=("q", "v")))
    apart = count_work(job)
    blocks, tokens, width, r = 2, 2 * 8, 32, 4
    assert apart.count - base.count == 3 * blocks
    assert apart.flops - base.flops == blocks * tokens * 2 * r * (2 * width + 2 * width)
    lk.merge(tiny_model)
    assert count_work(job) == base
