"""Does ΔW strengthen what W already does, or add what W does not do? (Hu et al. 2021, section 7.3 and Table 7.)"""

from dataclasses import dataclass

import torch
from torch import Tensor

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


def amplification(W: Tensor, delta: Factors, r: int) -> Amplification:
    """Table 7's numbers for W (d, k) and the SVD of its update, both (out, in).

    r   how many of ΔW's directions count, at most its rank; for a LoRA update of rank r the paper takes all r.

    Chance needs no sampling: each of W's d k squared entries, in any basis, holds 1 / (d k) of ‖W‖²_F on average, and
    r² of them are counted.
    """
    W, U, V = W.detach().double(), delta.U[:, :r].double(), delta.Vh[:r].T.double()  # (d, k), (d, r), (k, r)
    s, (d, k) = torch.linalg.svdvals(W), W.shape
    norm = float(s.norm())
    return Amplification(
        r=r,
        W=norm,
        delta=float(delta.s.double().norm()),
        along_delta=float((U.T @ W @ V).norm()),
        along_W=float(s[:r].norm()),
        along_random=norm * r / (d * k) ** 0.5,
    )
