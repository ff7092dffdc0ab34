"""What an adapter added to each matrix, taken out of the model as plain tensors: A, B and their scale."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.layer import Adapter, LoRALayer
from lorakit.core.model import active_adapter
from lorakit.core.state import unwrap
from lorakit.study.rank import Factors


@dataclass(frozen=True)
class Update:
    """One low-rank update, ΔW = scaling · B A."""

    A: Tensor  # (r, k)
    B: Tensor  # (d, r)
    scaling: float = 1.0  # alpha / r, or alpha / √r

    @property
    def r(self) -> int:
        return self.A.shape[0]

    def delta(self) -> Tensor:
        """ΔW as one matrix: (d, k)."""
        return self.scaling * (self.B @ self.A)

    def factors(self) -> Factors:
        """The SVD of ΔW, r singular values, without forming ΔW: U (d, r), s (r,), Vh (r, k).

        B = Q_B R_B and Aᵀ = Q_A R_A, so ΔW = Q_B (scaling · R_B R_Aᵀ) Q_Aᵀ: the SVD of the r × r matrix in the middle
        is all that is needed, and the two Q's turn it into that of ΔW.
        """
        Q_B, R_B = torch.linalg.qr(self.B.double())  # (d, r), (r, r)
        Q_A, R_A = torch.linalg.qr(self.A.double().T)  # (k, r), (r, r)
        U, s, Vh = torch.linalg.svd(self.scaling * R_B @ R_A.T)
        return Factors(Q_B @ U, s, Vh @ Q_A.T)


def adapter_updates(model: nn.Module, name: str | None = None) -> dict[str, Update]:
    """What an adapter adds to each projection, by the projection's path, as (out, in) = (d, k) matrices.

    name    which adapter; None: the active one, merged or not. Copies on the CPU: training goes on undisturbed.

    Slices of a fused projection come apart: "transformer.h.0.attn.c_attn.q" and "….v". An adapter on the whole of it
    is one update under the projection's own path. Raises LoRAError where the model has no such adapter.
    """
    wanted = active_adapter(model) if name is None else name
    found: dict[str, Update] = {}
    for path, adapter in attached(model, wanted):
        A, B = (factor.detach().to("cpu", copy=True) for factor in (adapter.lora_A, adapter.lora_B))
        for piece, inner, rows in pieces_of(path, adapter):
            found[piece] = Update(A[inner], B[rows], adapter.scaling)
    if not found:
        missing = "no active adapter" if name is None else f"no adapter named {name!r}"
        raise LoRAError(f"the model has {missing}: inject or load one, or name one of lk.adapter_names(model)")
    return found


def attached(model: nn.Module, name: str | None) -> list[tuple[str, Adapter]]:
    """The adapter's parts, as (path of the projection, its A and B), in the model's order; [] where there is none."""
    layers = [(path, module) for path, module in unwrap(model).named_modules() if isinstance(module, LoRALayer)]
    return [(path, layer.adapters[name]) for path, layer in layers if name in layer.adapters]


def pieces_of(path: str, adapter: Adapter) -> list[tuple[str, slice, slice]]:
    """For each adapted slice: its path ("….c_attn.q"), its rows of lora_A and its rows of lora_B."""
    names = [f"{path}.{piece}" for piece in adapter.slices] or [path]
    return [(name, inner, rows) for name, (_, inner, rows) in zip(names, adapter.pieces, strict=True)]
