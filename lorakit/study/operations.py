"""What a job makes the machine do: how many tensor operations one after the other, and how many floating-point ones."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Work:
    """What a job does: operations by name, views left out; additions and multiplications in its products (flops)."""

    operations: Counter
    flops: int
    largest: int  # entries of the largest tensor that is made

    @property
    def count(self) -> int:
        """Operations that follow one another; on a GPU each is one kernel or a few."""
        return self.operations.total()


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen, self.largest = Counter(), 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        if not _is_view(operation):
            self.seen[operation.overloadpacket.__name__] += 1
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
    """Run the job twice, once to count its operations, once for the FLOPs (2 for each multiply-and-add)."""
    with _Counting() as counting:
        job()
    in_place = {torch.ops.aten.addmm_: _in_place_flops}  # which the counter does not know
    with FlopCounterMode(display=False, custom_mapping=in_place) as flops:
        job()
    return Work(counting.seen, flops.get_total_flops(), counting.largest)
