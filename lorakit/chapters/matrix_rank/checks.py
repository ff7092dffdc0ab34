"""Checks and quiz of chapter 01."""

import torch

from lorakit.show.exercises import check, check_examples, expect, same
from lorakit.show.quiz import Question, Quiz

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


def _truncate(W, r):
    U, s, Vh = torch.linalg.svd(W, full_matrices=False)
    return (U[:, :r] * s[:r]) @ Vh[:r]


def _parts(W):
    return torch.linalg.svd(W, full_matrices=False)


def _smallest(W, r):
    U, s, Vh = _parts(W)
    return (U[:, -r:] * s[-r:]) @ Vh[-r:]


def _without_s(W, r):
    U, _, Vh = _parts(W)
    return U[:, :r] @ Vh[:r]


def _columns_of_Vh(W, r):
    U, s, Vh = _parts(W)
    return (U[:, :r] * s[:r]) @ Vh[:, :r].T


def _rows_of_U(W, r):
    U, s, Vh = _parts(W)
    return (U[:r].T * s[:r]) @ Vh[:r]


def _only_one(W, r):
    U, s, Vh = _parts(W)
    return s[r - 1] * torch.outer(U[:, r - 1], Vh[r - 1])


@check(
    "01.3",
    "the best copy of rank r",
    right=_truncate,
    wrong={
        "the smallest singular values were kept": _smallest,
        "the singular values are missing": _without_s,
        "the rows of Vh": _columns_of_Vh,
        "the columns of U": _rows_of_U,
        "number r alone": _only_one,
        "that is W itself": lambda W, r: W.clone(),
        "is the `return` missing": lambda W, r: None,
    },
    done="right: three slices and a product, and nothing of that rank comes closer",
)
def truncate(answer):
    for shape, r in (((6, 6), 2), ((7, 5), 3)):  # square first: there a wrong slice has the right shape
        W = torch.randn(shape)
        copy = answer(W.clone(), r)
        expect(copy is not None, "your function returns None: is the `return` missing?")
        expect(isinstance(copy, torch.Tensor), f"return a matrix, got {type(copy).__name__}")
        expect(copy.shape == W.shape, f"for W of shape {shape} the copy has shape {tuple(copy.shape)}")
        expect(not same(copy, W), "that is W itself: keep only the first r columns, values and rows")
        expect(not same(copy, _smallest(W, r)), "the smallest singular values were kept: they come largest first")
        expect(not same(copy, _without_s(W, r)), "the singular values are missing: scale the columns of U by s")
        if W.shape[0] == W.shape[1]:
            expect(not same(copy, _columns_of_Vh(W, r)), "take the rows of Vh, Vh[:r]: it is already transposed")
            expect(not same(copy, _rows_of_U(W, r)), "take the columns of U, U[:, :r]: its rows are not directions")
        expect(not same(copy, _only_one(W, r)), "that is outer product number r alone: add up the first r of them")
        expect(same(copy, _truncate(W, r), 1e-4), "this is not the sum of the first r outer products s u v")


def _error(s, r):
    return ((s[r:] ** 2).sum() / (s**2).sum()) ** 0.5


def _stable(s):
    return (s**2).sum() / s[0] ** 2


SPECTRA = (torch.tensor([4.0, 2.0, 1.0, 0.5]), torch.tensor([10.0, 9.0, 8.0, 1.0, 1.0]), torch.full((6,), 0.1))


def _number(value, what: str) -> float:
    """The student's number, whether a float or a tensor of one entry."""
    expect(value is not None, "your function returns None: is the `return` missing?")
    single = not isinstance(value, torch.Tensor) or value.numel() == 1
    expect(single, f"return one number, the {what}, not a tensor of several")
    return float(value)


def _named(answer, right, wrong, inputs, what):
    """Compare numbers on all inputs; a known wrong formula is met with its name."""
    got = [_number(answer(s.clone(), *rest), what) for s, *rest in inputs]

    def agrees(formula):
        return all(same(mine, float(formula(s, *rest)), 1e-4) for mine, (s, *rest) in zip(got, inputs, strict=True))

    if not agrees(right):
        for message, formula in wrong.items():
            expect(not agrees(formula), message)
        (s, *rest), mine = next((x, y) for x, y in zip(inputs, got, strict=True) if not same(y, float(right(*x)), 1e-4))
        expect(False, f"for s = {s.tolist()} {rest or ''} expected {float(right(s, *rest)):.4g}, got {mine:.4g}")


ERROR_BUGS = {
    "that is the part kept, s[:r]: the error is made of what was dropped": lambda s, r: (
        ((s[:r] ** 2).sum() / (s**2).sum()) ** 0.5
    ),
    "the root is missing: this is the share of energy lost": lambda s, r: (s[r:] ** 2).sum() / (s**2).sum(),
    "the squares are missing: norms add like Pythagoras": lambda s, r: s[r:].sum() / s.sum(),
    "not relative yet: divide by the norm of all of s": lambda s, r: (s[r:] ** 2).sum() ** 0.5,
    "off by one: s[r:] starts at the first dropped value": lambda s, r: ((s[r + 1 :] ** 2).sum() / (s**2).sum()) ** 0.5,
    "that is the spectral error, s[r] / s[0]: here all dropped values count": lambda s, r: s[r] / s[0],
}
STABLE_BUGS = {
    "the squares are missing": lambda s: s.sum() / s[0],
    "the largest must be squared too": lambda s: (s**2).sum() / s[0],
    "that is the exact rank, which tiny values move": lambda s: torch.tensor(float(len(s))),
    "divide by the largest, s[0], not by the mean": lambda s: (s**2).sum() / s.mean() ** 2,
    "no root: it is ‖W‖²_F / ‖W‖²_2": lambda s: (s**2).sum() ** 0.5 / s[0],
}


@check(
    "01.4",
    "the error, before making the copy",
    right=_error,
    wrong=ERROR_BUGS,
    done="right: the spectrum alone tells the price of every rank",
)
def error_of_rank(answer):
    _named(answer, _error, ERROR_BUGS, [(s, r) for s in SPECTRA for r in (1, 2)], "relative error")


@check(
    "01.5",
    "the stable rank",
    right=_stable,
    wrong=STABLE_BUGS,
    done="right: six equal values give 6, one dominant value gives almost 1",
)
def stable_rank(answer):
    _named(answer, _stable, STABLE_BUGS, [(s,) for s in SPECTRA], "stable rank")


quiz = Quiz(
    "01",
    [
        Question(
            "A 4,096 × 4,096 projection gets factors B and A of rank 16. How many times fewer numbers do the two hold?",
            ("128 times", "256 times", "16 times"),
            0,
            (
                "d / 2r = 4,096 / 32 = 128: 131,072 numbers beside 16.8 million.",
                "That is d / r, which counts one factor only; there are two, B (d × r) and A (r × k).",
                "16 is the rank itself; the factors hold r(d + k) of the dk numbers.",
            ),
        ),
        Question(
            "W₀ is 512 × 512 of full rank, B A has rank 4. Which rank does W₀ + B A have, as a rule?",
            ("4", "512", "516"),
            1,
            (
                "Only the change has rank 4; adding it does not make W₀ poorer.",
                "Adding a rank-4 change leaves a full-rank matrix full: LoRA limits the change, not the weight.",
                "Ranks add at most, and no 512 × 512 matrix has a rank above 512.",
            ),
        ),
        Question(
            "You add 1 % of noise to a matrix of rank 3. What happens to its ranks?",
            (
                "The noise is too small to count: exact and effective ranks stay 3",
                "The noise fills every direction: exact and effective ranks become full",
                "The exact rank becomes full, the effective ones stay near 3",
            ),
            2,
            (
                "It is far above rounding, in every direction: the exact rank counts all of them.",
                "It does fill them, but with so little energy that 90 % still lies in the first three.",
                "Every direction gets a little, and three still hold nearly all: exact rank is fragile.",
            ),
        ),
        Question(
            "With its attention weights cut to rank 8, the model broke. Why may LoRA still work with r = 8?",
            (
                "Training finds a better rank-8 copy of W₀ than the SVD does",
                "W₀ stays whole, and only the change added to it has rank 8",
                "The factor alpha / r makes up for the lost directions",
            ),
            1,
            (
                "LoRA makes no copy of W₀ at all, it keeps W₀. (Nor did gradient descent get below the SVD's error.)",
                "Yes: y = W₀x + BAx. Whether a useful change fits into rank 8 is a new question, for chapter 02.",
                "A scale makes directions longer or shorter; it cannot bring back any that are missing.",
            ),
        ),
    ],
)
