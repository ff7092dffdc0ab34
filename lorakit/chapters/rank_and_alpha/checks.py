"""Checks and quiz of chapter 06: rank, alpha, learning rate, matrices."""

import math
import statistics

from lorakit.show.exercises import check_examples
from lorakit.show.quiz import read_quiz

# 06.1 -- the learning rate, chosen where it may be


def _rows(*triples):
    return [
        {"run": {"lr": lr}, "metrics": {"validation": {"execution": seen}, "test": {"execution": unseen}}}
        for lr, seen, unseen in triples
    ]


def _score(row, split="validation"):
    return row["metrics"][split]["execution"]


FOUR = _rows((1e-3, 0.10, 0.65), (3e-3, 0.90, 0.71), (1e-2, 0.80, 0.79), (3e-2, 0.60, 0.70))

choose = check_examples(
    "06.1",
    "choose the learning rate",
    right=lambda rows: max(rows, key=_score)["run"]["lr"],
    inputs=[(FOUR,), (FOUR[::-1],), (FOUR[:2] + FOUR[3:],), (FOUR[:1],)],
    wrong={
        "chosen on test: the split that reports must not choose": lambda rows: max(
            rows, key=lambda row: _score(row, "test")
        )["run"]["lr"],
        "that is the worst, not the best": lambda rows: min(rows, key=_score)["run"]["lr"],
        "that is a score, not a learning rate: use `max(..., key=...)` and take the row's rate": lambda rows: max(
            _score(row) for row in rows
        ),
        'that is the whole record: its learning rate is `row["run"]["lr"]`': lambda rows: max(rows, key=_score),
        "that is the largest rate, whatever it scored": lambda rows: max(row["run"]["lr"] for row in rows),
        "your function returns None: is the `return` missing?": lambda rows: None,
    },
    done="right: validation chooses, test reports. A test that had chosen would be flattered by its own luck",
)

# 06.2 -- mean and spread over seeds

spread = check_examples(
    "06.2",
    "mean and standard deviation over seeds",
    right=lambda scores: (statistics.fmean(scores), statistics.stdev(scores)),
    inputs=[([76.0, 78.0, 80.0],), ([79.0, 75.0, 75.8],), ([2.7, 2.6],), ([10.0, 12.0, 14.0, 20.0],)],
    wrong={
        "divided by n: three seeds know little of the spread, the sample formula divides by n - 1": lambda scores: (
            statistics.fmean(scores),
            statistics.pstdev(scores),
        ),
        "that is the variance: its square root is missing": lambda scores: (
            statistics.fmean(scores),
            statistics.variance(scores),
        ),
        "that is the median, not the mean": lambda scores: (statistics.median(scores), statistics.stdev(scores)),
        "that is the standard error of the mean: no / √n here": lambda scores: (
            statistics.fmean(scores),
            statistics.stdev(scores) / math.sqrt(len(scores)),
        ),
        "that is the range, highest minus lowest": lambda scores: (
            statistics.fmean(scores),
            max(scores) - min(scores),
        ),
    },
    done="right. With three seeds even the spread is a rough number: plots here show all the seeds' range",
)

# 06.3 -- how much of full fine-tuning's gain

share = check_examples(
    "06.3",
    "share of full fine-tuning's gain",
    right=lambda base, lora, full: (base - lora) / (base - full),
    inputs=[(5.0, 3.0, 1.0), (5.6, 2.7, 1.9), (1.0, 78.0, 73.0), (4.0, 4.0, 2.0)],
    wrong={
        "that leaves out the base: a gain is counted from where it began": lambda base, lora, full: lora / full,
        "upside down: LoRA's gain over full fine-tuning's": lambda base, lora, full: (
            (base - full) / (base - lora + 1e-12)
        ),
        "that is what is still missing: 1 minus it": lambda base, lora, full: (lora - full) / (base - full),
        "that is LoRA's gain relative to the base, full fine-tuning is not in it": lambda base, lora, full: (
            (base - lora) / base
        ),
    },
    done="right, for bits per byte and for accuracy alike: both signs turn round together",
)

# 06.4 -- the rank that a budget buys


def _rank(budget, shapes, layers):
    return budget // (layers * sum(inputs + outputs for inputs, outputs in shapes))


rank = check_examples(
    "06.4",
    "the rank that a budget buys",
    right=_rank,
    inputs=[
        (40_960, [(256, 256)], 4),
        (40_960, [(256, 1024), (1024, 256)], 4),
        (40_000, [(256, 256), (256, 64)], 4),
        (4_700_000, [(12288, 12288)] * 2, 96),
    ],
    wrong={
        "that is a full matrix's count: an adapter has A, r × in, and B, out × r": lambda budget, shapes, layers: (
            budget // (layers * sum(inputs * outputs for inputs, outputs in shapes))
        ),
        "only one block was counted: the budget is for all of them": lambda budget, shapes, layers: (
            budget // sum(inputs + outputs for inputs, outputs in shapes)
        ),
        "only the A's were counted: B has out × r numbers": lambda budget, shapes, layers: (
            budget // (layers * sum(inputs for inputs, _ in shapes))
        ),
        "a rank is a whole number, and within the budget: use `//`": lambda budget, shapes, layers: (
            budget / (layers * sum(inputs + outputs for inputs, outputs in shapes))
        ),
        "that is above the budget: round down": lambda budget, shapes, layers: math.ceil(
            budget / (layers * sum(inputs + outputs for inputs, outputs in shapes)) + 1e-9
        ),
        "only the first matrix was counted": lambda budget, shapes, layers: budget // (layers * sum(shapes[0])),
    },
    done="right: the MLP's two matrices are 5d each, so the same money buys a fifth of one projection's rank",
)

# 06.5 -- keep the update's strength when the rank changes

strength = check_examples(
    "06.5",
    "the same strength at another rank",
    right=lambda alpha, r, new_r, use_rslora: alpha * (math.sqrt(new_r / r) if use_rslora else new_r / r),
    inputs=[(16, 8, 64, False), (16, 8, 64, True), (16, 64, 4, False), (32, 1, 16, True)],
    wrong={
        "the rule was not looked at: rsLoRA divides by √r": lambda alpha, r, new_r, use_rslora: alpha * new_r / r,
        "without rsLoRA it is alpha / r, without a root": lambda alpha, r, new_r, use_rslora: (
            alpha * math.sqrt(new_r / r)
        ),
        "upside down: a larger divisor needs a larger alpha": lambda alpha, r, new_r, use_rslora: (
            alpha * (math.sqrt(r / new_r) if use_rslora else r / new_r)
        ),
        "with the old alpha the strength changes with the rank": lambda alpha, r, new_r, use_rslora: alpha,
        "the two rules are swapped": lambda alpha, r, new_r, use_rslora: (
            alpha * (new_r / r if use_rslora else math.sqrt(new_r / r))
        ),
    },
    done="right: from r = 8 to r = 64, alpha has to grow eightfold under alpha / r, by 2.8 under alpha / √r",
)

quiz = read_quiz("06", __file__)
