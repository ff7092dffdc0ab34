"""Does ΔW strengthen what W already does, or add what W does not do? (Hu et al. 2021, section 7.3 and Table 7.)"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lorakit.core.errors import LoRAError
from lorakit.study.rank import Factors


@dataclass(frozen=True)
class Amplification:
    """One column block of Table 7: how much of W lies along r directions of ΔW, of W itself, and of chance."""

    r: int
    W: float  # ‖W‖_F
    delta: float  # ‖ΔW‖_F
    along_delta: float  # ‖UᵀWV‖_F, U and V the top r left and right directions of ΔW
    along_W: float  # the same with W's own: its r largest singular values, the most that r directions can hold
    along_random: float  # the same with random directions, root mean square

    @property
    def factor(self) -> float:
        """‖ΔW‖_F / ‖UᵀWV‖_F: by how much ΔW outweighs W in ΔW's own directions. The paper's amplification factor."""
        return self.delta / self.along_delta

    @property
    def over_chance(self) -> float:
        """‖UᵀWV‖_F / the same for random directions. 1: W does nothing special along ΔW's directions."""
        return self.along_delta / self.along_random


# Hu et al. 2021, Table 7: W_q of GPT-3's 48th layer, 12288 × 12288.
PAPER = (
    Amplification(4, W=61.95, delta=6.91, along_delta=0.32, along_W=21.67, along_random=0.02),
    Amplification(64, W=61.95, delta=3.57, along_delta=1.90, along_W=37.71, along_random=0.33),
)


def coupling(W: Tensor, U: Tensor, V: Tensor) -> float:
    """‖UᵀWV‖_F: how strongly W (d, k) leads from the inputs V (k, r) to the outputs U (d, r), orthonormal columns.

    The paper writes UᵀWVᵀ, its V holding the right-singular vectors as rows.
    """
    return float(torch.linalg.norm(U.double().T @ W.detach().double() @ V.double()))


def random_coupling(norm: float, shape: tuple[int, int], r: int) -> float:
    """Root mean square of ‖UᵀWV‖_F over random U and V: ‖W‖_F · r / √(d k).

    Each of W's d k squared entries, in any basis, holds 1 / (d k) of ‖W‖²_F on average, and r² of them are counted.
    """
    return norm * r / (shape[0] * shape[1]) ** 0.5


def amplification(W: Tensor, delta: Factors, r: int) -> Amplification:
    """Table 7's numbers for W (d, k) and the SVD of its update, both (out, in).

    r   how many of ΔW's directions count, at most its rank; for a LoRA update of rank r the paper takes all r.
    Raises LoRAError where ΔW has fewer than r directions.
    """
    if not 1 <= r <= len(delta.s) or float(delta.s[r - 1]) <= 1e-9 * float(delta.s[0]):
        raise LoRAError(f"ΔW has no {r} directions: its singular values are {delta.s[:8].tolist()}")
    s = torch.linalg.svdvals(W.detach().double())
    norm = float(torch.linalg.norm(s))
    return Amplification(
        r=r,
        W=norm,
        delta=float(torch.linalg.norm(delta.s.double())),
        along_delta=coupling(W, delta.U[:, :r], delta.Vh[:r].T),
        along_W=float(torch.linalg.norm(s[:r])),
        along_random=random_coupling(norm, delta.shape, r),
    )
