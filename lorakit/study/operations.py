"""What a job makes the machine do: how many tensor operations one after the other, and how many floating-point ones."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Work:
    """What a job does."""

    count: int  # operations that follow one another, views left out; on a GPU each is one kernel or a few
    flops: int  # additions and multiplications in its products
    largest: int  # entries of the largest tensor that is made


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count, self.largest = 0, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        if not _is_view(operation):
            self.count += 1
            sizes = [each.numel() for each in tree_leaves(made) if isinstance(each, torch.Tensor)]
            self.largest = max([self.largest, *sizes])
        return made


def _is_view(operation) -> bool:
    """Another look at the same numbers: nothing is computed, and on a GPU nothing is launched."""
    aliases = [result.alias_info for result in operation._schema.returns]
    looks = any(alias is not None and not alias.is_write for alias in aliases)
    return looks or operation.overloadpacket.__name__ == "_unsafe_view"  # a view whose schema does not say so


def _in_place_flops(_, left, right, *others, **options) -> int:
    """Of y += left @ right, from the shapes (m, k) and (k, n)."""
    return 2 * left[0] * left[1] * right[1]


def count_work(job: Callable[[], object]) -> Work:
    """Run the job and count its operations and FLOPs (2 for each multiply-and-add)."""
    in_place = {torch.ops.aten.addmm_: _in_place_flops}  # which the counter does not know
    with FlopCounterMode(display=False, custom_mapping=in_place) as flops, _Counting() as counting:
        job()
    return Work(counting.count, flops.get_total_flops(), counting.largest)
