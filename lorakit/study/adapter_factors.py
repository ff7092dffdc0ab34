"""What an adapter added to each matrix, taken out of the model as plain tensors: A, B and their scale."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.layer import Adapter
from lorakit.core.state import state_of
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
    found: dict[str, Update] = {}
    for path, adapter in attached(model, name).items():
        A, B = (factor.detach().to("cpu", copy=True) for factor in (adapter.lora_A, adapter.lora_B))
        for piece, inner, rows in pieces_of(path, adapter):
            found[piece] = Update(A[inner], B[rows], adapter.scaling)
    return found


def attached(model: nn.Module, name: str | None = None) -> dict[str, Adapter]:
    """The parts of an adapter, of the active one where no name is given, by the projection's path; see above."""
    state = state_of(model, name)
    if name is None and state.active is None:
        raise LoRAError("no adapter is active: call set_adapter(model, name), or give a name")
    return state.parts_of(name or state.active, state.layers)


def pieces_of(path: str, adapter: Adapter) -> list[tuple[str, slice, slice]]:
    """For each adapted slice: its path ("….c_attn.q"), its rows of lora_A and its rows of lora_B."""
    names = [f"{path}.{piece}" for piece in adapter.slices] or [path]
    return [(name, inner, rows) for name, (_, inner, rows) in zip(names, adapter.pieces, strict=True)]
