"""Another adapter for this thread alone, or one for each row of a batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
    Raises LoRAError for an unknown name, no names, while an adapter is merged, and, with a list, for adapters with
    modules_to_save (rows share a batch and cannot each have a head).
    """
    per_row = not (names is None or isinstance(names, str))
    wanted = list(names) if per_row else [names]
    if not wanted or beams < 1 or (beams > 1 and not per_row):
        raise LoRAError("using takes one name, None, or a list with one name per row, and beams=n with a list only")
    state = state_of(model)
    for name in wanted:
        if name is not None:
            state_of(model, name)
            if per_row and (copies := state.parts_of(name, state.saved)):
                raise LoRAError(f"adapter {name!r} brings its own {', '.join(copies)}: rows of a batch cannot share it")
    if state.merged:
        raise LoRAError("cannot use another adapter while one is merged: call unmerge(model) first")
    if per_row:
        strengths = [state.strengths.get(name, 1.0) for name in wanted]  # once: set_scale may come between two layers
        stacks = {layer: stack for layer in state.layers.values() if (stack := _stack(layer, wanted, strengths))}
        choice = Choice(rows=Rows(len(wanted), beams, stacks), of_thread=True)
    else:
        choice = Choice(names, state.strengths.get(names, 1.0), of_thread=True)
    before = THREAD.chosen
    try:
        THREAD.chosen = ((state.switch, choice), *before)
        yield model
    finally:
        THREAD.chosen = before


@torch.no_grad()
def _stack(layer: LoRALayer, names: list[str | None], strengths: list[float]) -> tuple[Tensor, Tensor] | None:
    """A (rows, R, k) and scaling * B (rows, d, R), padded to one rank; zero for rows without an adapter here."""
    here = {name: layer.adapters[name] for name in dict.fromkeys(names) if name in layer.adapters}
    if not here:
        return None
    R = max(adapter.lora_A.shape[0] for adapter in here.values())
    dtype, A, B = layer.weight.dtype, {}, {}
    for name, adapter in here.items():
        missing = R - adapter.lora_A.shape[0]
        A[name] = F.pad(adapter.lora_A.to(dtype), (0, 0, 0, missing))
        B[name] = F.pad(adapter.full_B().to(dtype), (0, missing))
    A[None], B[None] = torch.zeros_like(A[name]), torch.zeros_like(B[name])
    rows = [name if name in here else None for name in names]
    # Never below fp32: in bf16 a scaling of 2.83 would itself be off by a third of a per cent.
    scaling = [here[name].scaling * s if name in here else 0.0 for name, s in zip(rows, strengths, strict=True)]
    factors = torch.tensor(scaling, dtype=torch.promote_types(dtype, torch.float32), device=layer.weight.device)
    stacked_A, stacked_B = torch.stack([A[name] for name in rows]), torch.stack([B[name] for name in rows])
    return stacked_A, stacked_B.mul_(factors[:, None, None])
