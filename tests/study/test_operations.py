"""Operations and FLOPs, counted on jobs whose numbers are known."""

import torch

from lorakit.study.operations import count_work


def test_operations_are_counted_and_views_are_not():
    x, y = torch.ones(4, 6), torch.ones(6)

    def job():
        z = (x @ x.T).view(2, 8)[:, :4].transpose(0, 1).reshape(2, 4)  # the last one copies: it is a clone
        z.add_(1)
        return (x + y).unsqueeze(0).expand(3, 4, 6)

    work = count_work(job)
    assert work.count == 4  # mm, clone, add_, add
    assert work.flops == 2 * 4 * 6 * 4 and work.largest == 4 * 6
