"""An adapter of which, for a moment, only the strongest k directions of each ΔW act."""

from contextlib import contextmanager

import torch
from torch.nn import Module

from lorakit.core.errors import LoRAError
from lorakit.core.merge import is_merged
from lorakit.core.model import active_adapter
from lorakit.study.adapter_factors import adapter_updates, attached, pieces_of


@contextmanager
def adapter_at_rank(model: Module, k: int, name: str | None = None):
    """Within the block every ΔW of the adapter is its best approximation of rank at most `k` (Eckart & Young 1936).

    name    which adapter; None: the active one. Each slice of a fused projection is cut by itself.

    B becomes U_k diag(s_k) / scaling and A becomes V_kᵀ, both filled up with zeros. On leaving, by an exception too,
    the very same A and B are back. Raises LoRAError for a negative k, an unknown or a merged adapter.
    """
    if k < 0:
        raise LoRAError(f"k must be 0 or more, got {k}")
    if is_merged(model):
        raise LoRAError("the adapter is merged into the weights, which a cut would not reach: call unmerge(model)")
    name = active_adapter(model) if name is None else name
    factors = {path: update.factors() for path, update in adapter_updates(model, name).items()}
    kept = {}
    try:
        with torch.no_grad():
            for path, adapter in attached(model, name):
                kept[path] = adapter, adapter.lora_A.data, adapter.lora_B.data
                A, B = torch.zeros_like(adapter.lora_A), torch.zeros_like(adapter.lora_B)
                for piece, inner, rows in pieces_of(path, adapter):
                    f, top = factors[piece], min(k, adapter.r)
                    A[inner][:top] = f.Vh[:top].to(A)
                    B[rows, :top] = (f.U[:, :top] * f.s[:top] / (adapter.scaling or 1.0)).to(B)
                adapter.lora_A.data, adapter.lora_B.data = A, B
        yield model
    finally:
        for adapter, A, B in kept.values():
            adapter.lora_A.data, adapter.lora_B.data = A, B
