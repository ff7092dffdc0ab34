"""One batch, a different adapter on every row."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.state import ModelState, known, refuse_if_busy, state_of
from lorakit.core.switch import make_active
from lorakit.core.threads import nobody_inside, one_verb
from lorakit.core.wrappers import unwrap


@contextmanager
def mixed_batch(model: nn.Module, names: Sequence[str | None]) -> Iterator[nn.Module]:
    """Within the block, row i of every batch goes through adapter names[i] (None: the bare base).

    Two batched products per projection, whatever the number of adapters: A and B of the adapters in use are padded
    to one rank, stacked, and gathered by row once, on entry. For inference: the model must be in eval mode.
    Raises LoRAError for an unknown name, in training mode, while merged, for adapters with modules_to_save (rows
    cannot share a batch and not a head), and when a batch has another number of rows than names.
    """
    if isinstance(names, str):
        raise LoRAError(f"mixed_batch takes one name per row, e.g. [{names!r}, None], not a single string")
    names, inner, state, began = list(names), unwrap(model), None, False
    try:
        with one_verb(inner, "start a mixed batch"):
            state = state_of(model)
            refuse_if_busy(state, "start a mixed batch")
            for name in names:
                if name is not None:
                    known(state, name)
            used = list(dict.fromkeys(name for name in names if name is not None))
            for name in used:
                if state.saved[name]:
                    heads = ", ".join(state.saved[name])
                    raise LoRAError(f"adapter {name!r} brings its own {heads}: it cannot be mixed")
            if not names:
                raise LoRAError("mixed_batch needs one name per row, got none")
            if model.training:
                raise LoRAError("mixed_batch is for inference: call model.eval() first")
            active, rows = state.active, {path: _stack(layer, names, used) for path, layer in state.layers.items()}
            with nobody_inside(inner, "start a mixed batch"):
                began = state.mixing = True
                make_active(inner, state, None)  # rows without an adapter meet the base's own modules, a saved head too
                for path, layer in state.layers.items():
                    layer.__dict__["rows"] = rows[path]
        yield model
    finally:
        if began:
            try:
                with nobody_inside(inner, "end a mixed batch", patience=math.inf):
                    _end(inner, state, active)
            finally:  # never left mixing, not even where Ctrl-C ends the wait for a thread in the model
                _end(inner, state, active)


def _end(model: nn.Module, state: ModelState, active: str | None) -> None:
    if state.mixing:
        for layer in state.layers.values():
            layer.__dict__["rows"] = None
        state.mixing = False
        make_active(model, state, active)


def _stack(layer, names: list[str | None], used: list[str]) -> tuple[Tensor, Tensor] | None:
    """A (rows, R, in) and scaling * B (rows, out, R) for each row, zero where a row has no adapter here."""
    here = [name for name in used if name in layer.adapters]
    if not here:
        return None
    R = max(layer.adapters[name].lora_A.shape[0] for name in here)
    dtype, device = layer.weight.dtype, layer.weight.device
    A, B, scaling = {}, {}, {}
    for name in here:
        adapter = layer.adapters[name]
        pad = R - adapter.lora_A.shape[0]
        A[name], B[name], scaling[name] = adapter.lora_A.to(dtype), adapter.full_B().to(dtype), adapter.scaling
        if pad:
            A[name], B[name] = F.pad(A[name], (0, 0, 0, pad)), F.pad(B[name], (0, pad))
    A[None], B[None], scaling[None] = torch.zeros_like(A[here[0]]), torch.zeros_like(B[here[0]]), 0.0
    # Gathered while stacking and scaled in place: copying A and B of every row is most of what entering costs.
    rows = [name if name in here else None for name in names]
    stacked_A, stacked_B = torch.stack([A[name] for name in rows]), torch.stack([B[name] for name in rows])
    # Never below fp32: in bf16 a scaling of 2.83 would itself be off by a third of a per cent.
    wide = torch.promote_types(dtype, torch.float32)
    factors = torch.tensor([scaling[name] for name in rows], dtype=wide, device=device)
    return stacked_A, stacked_B.mul_(factors[:, None, None])
