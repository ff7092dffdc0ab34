"""Another adapter for this thread alone, or one for each row of a batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.layer import LoRALayer
from lorakit.core.state import THREAD, Choice, Rows, state_of


@contextmanager
def using(model: nn.Module, names: str | None | Sequence[str | None], beams: int = 1) -> Iterator[nn.Module]:
    """Within the block, calls of the model from this thread go through one adapter, none, or one per row.

    names: an adapter's name; None for the bare base; or a list, whose i-th name is for row i of every batch.
    beams: with a list, batches of names × beams rows are answered too, `beams` rows for each name in turn, as beam
        search has them (an encoder sees the names, its decoder the beams). Any other number of rows is refused.

    Other threads, those that a call itself starts included (`Thread(target=model.generate)`), see the default that
    set_adapter chose. The inner of two blocks wins. For inference: a forward in train mode with gradients is refused,
    and with a list any in train mode; so are, in this thread, verbs that change the model or its default.
    Raises LoRAError for an unknown name, no names, while merged, and for rows whose adapters have modules_to_save.
    """
    per_row = isinstance(names, list | tuple)
    wanted = list(names) if per_row else [names]
    if not wanted or not isinstance(beams, int) or beams < 1 or (beams > 1 and not per_row):
        raise LoRAError(f"using takes a name, None, or one name per row (then also beams), got {names!r}, {beams=}")
    state = state_of(model, *wanted)
    for name in wanted if per_row else ():
        if copies := state.parts_of(name, state.saved):
            raise LoRAError(f"adapter {name!r} brings its own {', '.join(copies)}: rows of a batch cannot share it")
        if any("_hf_hook" in vars(adapter) for adapter in state.parts_of(name, state.layers).values()):
            raise LoRAError("accelerate keeps these adapters elsewhere: rows need adapters added after its offloading")
    if state.merged:
        raise LoRAError("cannot use another adapter while one is merged: call unmerge(model) first")
    if per_row:
        runs = {len(list(run)) for _, run in groupby(wanted)}
        rows = wanted[:: min(runs)] if len(runs) == 1 else wanted  # in equal runs, rows share a copy of A and B
        strengths = [state.strengths.get(name, 1.0) for name in rows]  # once: set_scale may come between two layers
        stacks = {layer: stack for layer in state.layers.values() if (stack := _stack(layer, rows, strengths))}
        choice = Choice(rows=Rows(len(wanted), beams, stacks), of_thread=True)
    else:
        choice = Choice(names, state.strengths.get(names, 1.0), of_thread=True)
    entry = (state.switch, choice)
    try:
        THREAD.chosen = (entry, *THREAD.chosen)
        yield model
    finally:  # its own entry alone: the blocks of generators may end in any order
        THREAD.chosen = tuple(other for other in THREAD.chosen if other is not entry)


@torch.no_grad()
def _stack(layer: LoRALayer, names: list[str | None], strengths: list[float]) -> tuple[Tensor, Tensor, Tensor] | None:
    """Of each row A (rows, R, k) and B (rows, d, R), padded to one rank, and scaling (rows, 1, 1).

    Scaling is 0 where no adapter acts, whatever A and B are: another row's, so that nothing has to be filled.
    """
    found = [layer.adapters._modules.get(name) for name in names]
    some = next(filter(None, found), None)
    if some is None:
        return None
    scaling = [adapter.scaling * by if adapter else 0.0 for adapter, by in zip(found, strengths, strict=True)]
    R = max(adapter.lora_A.shape[0] for adapter in found if adapter)
    A = torch.stack([_padded((adapter or some).lora_A, R, some.in_features) for adapter in found])
    B = torch.stack([_padded((adapter or some).full_B(), some.out_features, R) for adapter in found])
    dtype = layer.weight.dtype if layer.weight.is_floating_point() else A.dtype  # 8 or 4 bits: bytes
    # Scaling as precise as the adapters: in a base's bf16 4 / 3 would be 0.2 % more.
    return A.to(dtype), B.to(dtype), torch.tensor(scaling, device=A.device, dtype=A.dtype).view(-1, 1, 1)


def _padded(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """With zeros below and on the right; itself where it has that size."""
    below, right = rows - matrix.shape[0], columns - matrix.shape[1]
    return F.pad(matrix, (0, right, 0, below)) if below or right else matrix
