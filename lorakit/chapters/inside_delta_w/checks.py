"""Checks and quiz of chapter 08."""

import torch

from lorakit.show.exercises import check_examples, expect
from lorakit.show.quiz import read_quiz
from lorakit.study.operations import count_work
from lorakit.study.subspace import random_directions


def _phi(U, V, i, j):
    shared = (U[:, :i].T @ V[:, :j]).square().sum().item()
    return shared / min(i, j)


_U, _V = random_directions(8, 6, seed=0), random_directions(8, 6, seed=1)
phi = check_examples(
    "08.1",
    "how much two subspaces share",
    right=_phi,
    inputs=[(_U, _V, 2, 5), (_U, _V, 5, 2), (_U, _V, 1, 1), (_U, _V, 3, 3)],
    wrong={
        "divide by `min(i, j)`: as it stands, larger subspaces seem to share more": " / min(i, j) → ",
        "divided by the larger of the two: then a subspace inside a larger one would not reach 1": "min → max",
        "divided by i · j: only the smaller number of directions can be shared": "min(i, j) → (i * j)",
        "divided by i: right while i is the smaller, but φ(5, 2) is divided by 2": "min(i, j) → i",
        "the norm is not squared: φ adds up squared cosines": "shared / → shared**0.5 /",
        "all columns are used: take the first i of U and the first j of V": ("U[:, :i] → U", "V[:, :j] → V"),
        "you took rows: the directions are columns, `U[:, :i]`": "U[:, :i].T @ V[:, :j] → U[:i] @ V[:j].T",
    },
    done="right: 1 when the smaller subspace lies inside the larger one, 0 at right angles",
)

chance = check_examples(
    "08.2",
    "what chance gives",
    right=lambda i, j, n: max(i, j) / n,
    inputs=[(1, 1, 256), (1, 64, 256), (64, 8, 256), (64, 64, 12288)],
    wrong={
        "min instead of max: i · j / n is divided by min(i, j), and the larger one stays": (
            lambda i, j, n: min(i, j) / n
        ),
        "that is the expected sum of the i · j squared cosines: divide it by min(i, j)": lambda i, j, n: i * j / n,
        "1 / n is one squared cosine: how many of them does φ add up?": lambda i, j, n: 1 / n,
        "one squared cosine is 1 / n on average, not 1 / n²": lambda i, j, n: max(i, j) / n**2,
        "upside down": lambda i, j, n: n / max(i, j),
    },
    done="right: at n = 256 two random 64-dimensional subspaces share a quarter, at GPT-3's n = 12,288 half a percent",
)

appendix_g = check_examples(
    "08.3",
    "Appendix G, mended",
    right=lambda d, p: 1 - d**2 / p,
    inputs=[(0.0, 4), (2.0, 4), (1.0, 4), (1.0, 1), (0.5, 8)],
    wrong={
        "that is the printed formula: identical subspaces (d = 0) would get 1 / p instead of 1": (
            lambda d, p: (1 - d**2) / p
        ),
        "d is not squared: d² = p − Σσ²": lambda d, p: 1 - d / p,
        "p − d² is Σσ², the sum: φ divides it by p": lambda d, p: p - d**2,
        "that is the share which is not common: φ is 1 minus it": lambda d, p: d**2 / p,
        "the / p is missing: at right angles d² = p": lambda d, p: 1 - d**2,
    },
    done="right: identical subspaces have d = 0 and φ = 1, orthogonal ones d² = p and φ = 0",
)


def _table_7(W, A, B, scaling, top):
    Q_B, R_B = torch.linalg.qr(B)
    Q_A, R_A = torch.linalg.qr(A.T)
    U, s, Vh = torch.linalg.svd(scaling * R_B @ R_A.T)
    U, V = Q_B @ U[:, :top], Q_A @ Vh[:top].T
    along, size = (U.T @ W @ V).norm(), s.norm()
    return along, size, size / along


def _thin(answer):
    most, full = count_work(lambda: answer(_W, _A, _B, 2.0, 1)).largest, _W.numel()
    expect(most < full, f"the numbers are right, but one matrix has {most} entries, W {full}: ΔW is never needed whole")


_draw = torch.Generator().manual_seed(2)
_W, _A, _B = (torch.randn(*shape, generator=_draw).double() for shape in ((12, 9), (4, 9), (12, 4)))
table_7 = check_examples(
    "08.4",
    "a row of Table 7, from A and B",
    right=_table_7,
    inputs=[(_W, _A, _B, 2.0, top) for top in (1, 2, 3)],
    also=_thin,
    wrong={
        "the scaling is missing: ΔW is scaling · B A": "scaling * R_B → R_B",
        "transpose the second R: B A = Q_B (R_B R_Aᵀ) Q_Aᵀ": "@ R_A.T → @ R_A",
        "the small SVD speaks of r coordinates: Q_B and Q_A carry them to W's": ("Q_B @ U → U", "Q_A @ Vh → Vh"),
        "you took rows of U: its directions are columns, `U[:, :top]`": "U[:, :top] → U[:top].T",
        "Vh is turned the wrong way: its rows are the directions": "Vh[:top].T → Vh[:, :top]",
        "all r directions are taken, where the first `top` were asked for": ("U[:, :top] → U", "Vh[:top] → Vh"),
        "between U and V stands W, not ΔW": "W @ V → (scaling * B @ A) @ V",
        "‖ΔW‖ is of the whole update, not of its first `top` directions": "s.norm() → s[:top].norm()",
        "‖ΔW‖ is the Frobenius norm: all singular values, not the largest alone": "s.norm() → s[0]",
        "upside down: ‖ΔW‖ stands above the line": "size / along → along / size",
        "ΔW is never needed whole": ("R_B @ R_A.T → B @ A, full_matrices=False", "Q_B @ U → U", "Q_A @ Vh → Vh"),
    },
    done="right: how far ΔW outweighs W in the directions that ΔW chose, at any width, without ever forming ΔW",
)

quiz = read_quiz("08", __file__)
