"""Checks and quiz of chapter 01."""

import torch

from lorakit.show.exercises import NOTHING, check, check_examples, compare
from lorakit.show.quiz import read_quiz

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

one_percent = check_examples(
    "01.2",
    "one percent of a projection",
    right=5,
    wrong={
        "that is one percent of the rank; the question is one percent of the numbers, r(d + k) against dk": 7,
        "a rank is a whole number: round down": 768 * 2304 / 100 / (768 + 2304),
        "rounded up: 6 × 3,072 numbers are just above one percent": 6,
        "r times d alone: the row factor A costs r × k more": 23,
        "that is the share, 0.01, not the rank": 0.01,
    },
    done="right: 15,360 numbers beside 1,769,472. LoRA's ranks live here, far below break-even",
)


def _of_svd(recipe):
    """A way to rebuild a matrix from its parts, as a function of W and r."""
    return lambda W, r: recipe(*torch.linalg.svd(W, full_matrices=False), r)


truncate = check_examples(
    "01.3",
    "the best copy of rank r",
    right=_of_svd(lambda U, s, Vh, r: (U[:, :r] * s[:r]) @ Vh[:r]),
    inputs=lambda: [(torch.randn(6, 6), 2), (torch.randn(7, 5), 3)],  # square too: a wrong slice has the right shape
    wrong={
        "the smallest singular values were kept: they come largest first": _of_svd(
            lambda U, s, Vh, r: (U[:, -r:] * s[-r:]) @ Vh[-r:]
        ),
        "the singular values are missing: scale the columns of U by s": _of_svd(lambda U, s, Vh, r: U[:, :r] @ Vh[:r]),
        "take the rows of Vh, Vh[:r]: it is already transposed": _of_svd(
            lambda U, s, Vh, r: (U[:, :r] * s[:r]) @ Vh[:, :r].T
        ),
        "take the columns of U, U[:, :r]: its rows are not directions": _of_svd(
            lambda U, s, Vh, r: (U[:r].T * s[:r]) @ Vh[:r]
        ),
        "that is outer product number r alone: add up the first r of them": _of_svd(
            lambda U, s, Vh, r: s[r - 1] * torch.outer(U[:, r - 1], Vh[r - 1])
        ),
        "that is W itself: keep only the first r columns, values and rows": lambda W, r: W,
        NOTHING: lambda W, r: None,
    },
    tolerance=1e-4,
    formula="the sum of the first r outer products s u v",
    done="right: three slices and a product, and nothing of that rank comes closer",
)

SPECTRA = (torch.tensor([4.0, 2.0, 1.0, 0.5]), torch.tensor([10.0, 9.0, 8.0, 1.0, 1.0]), torch.full((6,), 0.1))


def _number(function):
    """The function's number, whether it gives a float or a tensor of one entry."""

    def call(*args):
        value = function(*args)
        return value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value

    return call


def _check_number(id, title, *, right, inputs, wrong, done):
    def body(answer):
        variants = {message: _number(variant) for message, variant in wrong.items()}
        compare(_number(answer), _number(right), inputs, variants, tolerance=1e-4, formula="")

    return check(id, title, right=right, wrong=wrong, done=done)(body)


error_of_rank = _check_number(
    "01.4",
    "the error, before making the copy",
    right=lambda s, r: ((s[r:] ** 2).sum() / (s**2).sum()) ** 0.5,
    inputs=[(s, r) for s in SPECTRA for r in (1, 2)],
    wrong={
        "that is the part kept, s[:r]: the error is made of what was dropped": lambda s, r: (
            ((s[:r] ** 2).sum() / (s**2).sum()) ** 0.5
        ),
        "the root is missing: this is the share of energy lost": lambda s, r: (s[r:] ** 2).sum() / (s**2).sum(),
        "the squares are missing: norms add like Pythagoras": lambda s, r: s[r:].sum() / s.sum(),
        "not relative yet: divide by the norm of all of s": lambda s, r: (s[r:] ** 2).sum() ** 0.5,
        "off by one: s[r:] starts at the first dropped value": lambda s, r: (
            ((s[r + 1 :] ** 2).sum() / (s**2).sum()) ** 0.5
        ),
        "that is the spectral error, s[r] / s[0]: here all dropped values count": lambda s, r: s[r] / s[0],
    },
    done="right: the spectrum alone tells the price of every rank",
)

stable_rank = _check_number(
    "01.5",
    "the stable rank",
    right=lambda s: (s**2).sum() / s[0] ** 2,
    inputs=[(s,) for s in SPECTRA],
    wrong={
        "the squares are missing": lambda s: s.sum() / s[0],
        "the largest must be squared too": lambda s: (s**2).sum() / s[0],
        "that is the exact rank, which tiny values move": lambda s: torch.tensor(float(len(s))),
        "divide by the largest, s[0], not by the mean": lambda s: (s**2).sum() / s.mean() ** 2,
        "no root: it is ‖W‖²_F / ‖W‖²_2": lambda s: (s**2).sum() ** 0.5 / s[0],
    },
    done="right: six equal values give 6, one dominant value gives almost 1",
)

quiz = read_quiz("01", __file__)
