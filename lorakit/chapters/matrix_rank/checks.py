"""Checks and quiz of chapter 01."""

import torch

from lorakit.show.exercises import NOTHING, check_examples, expect
from lorakit.show.quiz import read_quiz
from lorakit.study.operations import count_work

largest_saving_rank = check_examples(
    "01.1",
    "the largest rank that saves",
    right=lambda d, k: (d * k - 1) // (d + k),
    inputs=[(4, 4), (768, 768), (240, 205), (256, 768)],
    wrong={
        "at break-even the factors are exactly as large as W: nothing is saved yet": lambda d, k: d * k // (d + k),
        "a rank is a whole number: round down": lambda d, k: d * k / (d + k),
        "min(d, k) is the largest rank there is, not the largest that saves": lambda d, k: min(d, k),
        "half of the smaller side is break-even for square matrices only": lambda d, k: min(d, k) // 2,
        "upside down: divide dk by d + k": lambda d, k: (d + k) / (d * k),
    },
    done="right: for a square matrix, half of its side is already too much",
)


def _factors(W, r):
    U, s, Vh = torch.linalg.svd(W, full_matrices=False)
    return U[:, :r] * s[:r], Vh[:r]


def _copy(answer):
    """The copy B A of W: its factors are not unique."""

    def copy(W, r):
        found = answer(W, r)
        if found is None:
            return None
        expect(isinstance(found, tuple | list) and len(found) == 2, "return two matrices, B and A, not their product")
        B, A = found
        shapes = f"got {tuple(B.shape)} and {tuple(A.shape)} for W {tuple(W.shape)} and r = {r}"
        expect(B.shape == (W.shape[0], r) and A.shape == (r, W.shape[1]), f"B must be d × r and A r × k: {shapes}")
        return B @ A

    return copy


factors = check_examples(
    "01.2",
    "two thin factors",
    right=_factors,
    inputs=lambda: [(torch.randn(6, 6), 2), (torch.randn(7, 5), 3)],  # square too: a wrong slice has the right shape
    seen=_copy,
    wrong={
        "return two matrices, B and A, not their product": "s[:r], Vh → s[:r] @ Vh",
        "B must be d × r and A r × k": ("U[:, :r] * s[:r] → U * s", "Vh[:r] → Vh"),
        "the smallest singular values were kept: they come largest first": ":r] → -r:]",
        "the singular values are missing: scale the columns of B by s": " * s[:r] → ",
        "s went into both factors, so it is squared in the product": ", Vh[:r] → , s[:r, None] * Vh[:r]",
        "B A has the right shapes, but is not the SVD's copy: columns of U, rows of Vh": "Vh[:r] → Vh[:, :r].T",
        NOTHING: "return → _ =",
    },
    tolerance=1e-4,
    done="right: r(d + k) numbers, and nothing of that rank comes closer",
)

SPECTRA = (torch.tensor([4.0, 2.0, 1.0, 0.5]), torch.tensor([10.0, 9.0, 8.0, 1.0, 1.0]), torch.full((6,), 0.1))


def _error(s, r):
    return ((s[r:] ** 2).sum() / (s**2).sum()) ** 0.5


error_of_rank = check_examples(
    "01.3",
    "the error, before making the copy",
    right=_error,
    inputs=[(s, r) for s in SPECTRA for r in (1, 2)],
    wrong={
        "that is the part kept, s[:r]: the error is made of what was dropped": "s[r:] → s[:r]",
        "the root is missing: this is the share of energy lost": " ** 0.5 → ",
        "the squares are missing: norms add like Pythagoras": lambda s, r: s[r:].sum() / s.sum(),
        "not relative yet: divide by the norm of all of s": " / (s**2).sum() → ",
        "off by one: s[r:] starts at the first dropped value": "s[r:] → s[r + 1 :]",
        "that is the spectral error, s[r] / s[0]: here all dropped values count": lambda s, r: s[r] / s[0],
    },
    tolerance=1e-4,
    done="right: the spectrum alone tells the price of every rank",
)


def _by_qr(B, A):
    return torch.linalg.svdvals(torch.linalg.qr(B).R @ torch.linalg.qr(A.T).R.T)


def _stays_thin(answer):
    B, A = torch.randn(400, 3), torch.randn(3, 600)
    largest = count_work(lambda: answer(B, A)).largest
    expect(largest < B.shape[0] * A.shape[1], f"that made a matrix of {largest:,} numbers: stay thin")


thin_svd = check_examples(
    "01.4",
    "the singular values of B A, without B A",
    right=_by_qr,
    inputs=lambda: [(torch.randn(400, 3), torch.randn(3, 600))],
    wrong={
        "that made a matrix of 240,000 numbers": lambda B, A: torch.linalg.svdvals(B @ A)[: B.shape[1]],
        "that is not the r largest: got 400 of them": lambda B, A: torch.linalg.svdvals(B @ A),
        "the singular values of a product are not the products of theirs": lambda B, A: (
            torch.linalg.svdvals(B) * torch.linalg.svdvals(A)
        ),
        "with B = Q₁R₁ and Aᵀ = Q₂R₂, B A is Q₁ (R₁R₂ᵀ) Q₂ᵀ: transpose the second R": ".R.T) → .R)",
        "these are their squares: take the root": "A.T).R.T) → A.T).R.T) ** 2",
        NOTHING: "return → _ =",
    },
    also=_stays_thin,
    tolerance=1e-3,
    formula="of R₁R₂ᵀ, where B = Q₁R₁ and Aᵀ = Q₂R₂",
    done="right: chapter 08 takes every adapter apart like this, at the cost of an r × r SVD",
)

quiz = read_quiz("01", __file__)
