"""Checks and quiz of chapter 02."""

import torch

from lorakit.show.exercises import NOTHING, check_examples
from lorakit.show.quiz import read_quiz
from lorakit.study.rank import best_approximation


def _two_weights():
    W0 = torch.randn(9, 7)
    W1 = W0 + 0.3 * torch.randn(9, 7)
    return [(W0, W1, k) for k in (1, 3)]


def _smallest(W0, W1, k):
    U, s, Vh = torch.linalg.svd(W1 - W0, full_matrices=False)
    return W0 + (U[:, -k:] * s[-k:]) @ Vh[-k:]


cut = check_examples(
    "02.1",
    "a weight with its update cut to rank k",
    right=lambda W0, W1, k: W0 + best_approximation(W1 - W0, k),
    inputs=_two_weights,
    wrong={
        "the whole weight was cut: cut only the difference W1 - W0": lambda W0, W1, k: best_approximation(W1, k),
        "W0 is missing: the update is added to it": lambda W0, W1, k: best_approximation(W1 - W0, k),
        "the wrong way round: ΔW is after minus before, W1 - W0": lambda W0, W1, k: W0 + best_approximation(W0 - W1, k),
        "the copy of ΔW was added to W1, which holds ΔW already": lambda W0, W1, k: W1 + best_approximation(W1 - W0, k),
        "nothing was cut: this is W1": lambda W0, W1, k: W1,
        "the smallest singular values were kept: they come largest first": _smallest,
        NOTHING: lambda W0, W1, k: None,
    },
    tolerance=1e-4,
    formula="those of W0 plus the best copy of W1 - W0 of rank k",
    done="right: W₀ whole, and of ΔW the k best directions. With k trained instead of cut, this is LoRA",
)

SHAPES = [(256, 768), (256, 256), (256, 1024), (1024, 256)]  # one block of nano

numbers = check_examples(
    "02.2",
    "the numbers in an update of rank k",
    right=lambda shapes, k: sum(k * (rows + columns) for rows, columns in shapes),
    inputs=[(SHAPES, 1), (SHAPES, 8), (4 * SHAPES, 4), ([(3, 5)], 2)],
    wrong={
        "that is what the whole matrices hold; two thin factors hold less": lambda shapes, k: sum(
            rows * columns for rows, columns in shapes
        ),
        "that is rank 1: each of the k directions has its own column and row": lambda shapes, k: sum(
            rows + columns for rows, columns in shapes
        ),
        "only the last matrix was counted: add them up": lambda shapes, k: k * sum(shapes[-1]),
        "only the columns B were counted: A has k rows, too": lambda shapes, k: sum(k * rows for rows, _ in shapes),
        "k times rows times columns is bigger than the matrix itself": lambda shapes, k: sum(
            k * rows * columns for rows, columns in shapes
        ),
    },
    done="right: it grows with the sides of the matrices, not with their area",
)

intrinsic_dimension = check_examples(
    "02.3",
    "d₉₀ from a list of runs",
    right=lambda accuracy, full: min(d for d, a in accuracy.items() if a >= 0.9 * full),
    inputs=[
        ({100: 0.75, 1: 0.0, 10: 0.73, 1000: 0.79}, 0.8),
        ({1: 0.1, 10: 0.5, 100: 0.95, 1000: 0.93}, 1.0),
        ({4: 0.36, 2: 0.37, 1: 0.2}, 0.4),
    ],
    wrong={
        "90 % of `full`, not an accuracy of 90 %: multiply": lambda accuracy, full: min(
            (d for d, a in accuracy.items() if a >= 0.9), default=None
        ),
        "that is the largest d that gets there; the smallest is asked for": lambda accuracy, full: max(
            d for d, a in accuracy.items() if a >= 0.9 * full
        ),
        "the first in the dict's order need not be the smallest: take the `min`": lambda accuracy, full: next(
            d for d, a in accuracy.items() if a >= 0.9 * full
        ),
        "that is the d with the best accuracy; a smaller one may be good enough": lambda accuracy, full: max(
            accuracy, key=accuracy.get
        ),
        "an accuracy was returned, and d is asked for": lambda accuracy, full: min(
            a for a in accuracy.values() if a >= 0.9 * full
        ),
        "at least as good as `full` itself is too strict: 90 % of it is enough": lambda accuracy, full: min(
            (d for d, a in accuracy.items() if a >= full), default=None
        ),
    },
    done="right: its precision is that of the list of d's that were tried",
)

GPT2_BLOCKS = 85_054_464
dense_bytes = check_examples(
    "02.4",
    "a projection written down",
    right=4 * GPT2_BLOCKS * 10_000,
    wrong={
        "that is the number of entries: each takes 4 bytes in fp32": GPT2_BLOCKS * 10_000,
        "fp32 takes 4 bytes; that is fp16": 2 * GPT2_BLOCKS * 10_000,
        "that is a vector of D values; P has one such column for every one of the d": 4 * GPT2_BLOCKS,
        "P is D × d, not D × D": 4 * GPT2_BLOCKS**2,
        "in bytes, not in terabytes": 4 * GPT2_BLOCKS * 10_000 / 1e12,
    },
    done="right: 3.4 TB for a model whose weights take half a gigabyte. Fastfood's B, Π and G take about 1 GB",
)

quiz = read_quiz("02", __file__)
