"""Checks and quiz of chapter 05: fine-tune, and account for every byte."""

from lorakit.show.exercises import check_examples
from lorakit.show.quiz import read_quiz

work = check_examples(
    "05.1",
    "the work of a step",
    right=2 / 3,
    tolerance=0.015,  # 0.66 and 0.67 are meant well
    wrong={
        "the backward pass still has to reach the adapters in the first block: the gradients of the inputs stay": 1 / 3,
        "full fine-tuning does three products for each weight, not two": 1 / 2,
        "LoRA leaves the gradients of the weights out": 1.0,
        "upside down: LoRA's work divided by full fine-tuning's": 3 / 2,
        "give the share as a number between 0 and 1, not in per cent": 67,
    },
    done="right: two products of three. A third of the work is the most that freezing can save",
)


states = check_examples(
    "05.2",
    "what does not depend on the batch",
    right=lambda total, trained, states: 4 * (total + trained + states * trained),
    inputs=[(1000, 1000, 2), (1000, 10, 2), (1000, 10, 0), (4306432, 32768, 1)],
    wrong={
        "a frozen number has no optimizer state: only `trained` ones do": (
            lambda total, trained, states: 4 * (total + trained + states * total)
        ),
        "a frozen number has no gradient: only `trained` ones do": (
            lambda total, trained, states: 4 * (total + total + states * trained)
        ),
        "the gradients are missing": lambda total, trained, states: 4 * (total + states * trained),
        "not every optimizer is AdamW: count `states` numbers, not always two": (
            lambda total, trained, states: 4 * (total + 3 * trained)
        ),
        "the frozen weights are missing: they take memory though they do not train": (
            lambda total, trained, states: 4 * (2 + states) * trained
        ),
        "those are numbers, not bytes: float32 takes 4 bytes each": (
            lambda total, trained, states: total + trained + states * trained
        ),
    },
    done="right: 16 bytes for each trained number with AdamW, 4 for each frozen one",
)


def _peak(changes):
    now = most = 0
    for change in changes:
        now += change
        most = max(most, now)
    return most


def _last(changes):
    return sum(changes)


def _ever_allocated(changes):
    return sum(change for change in changes if change > 0)


def _stops_early(changes):
    return max(sum(changes[:i]) for i in range(len(changes)))


def _largest_single(changes):
    return max(0, *changes)


peak = check_examples(
    "05.3",
    "the peak of a step",
    right=_peak,
    inputs=[([5, 3, -5, 4, -7],), ([1, 1, 1, -3, 2],), ([4, -4, 3, -3],), ([2, 7, -1, 1, -9, 8, -8],), ([3, -1, 4],)],
    wrong={
        "that is what is left at the end": _last,
        "that is everything ever taken: what was given back in between can be taken again": _ever_allocated,
        "that is the largest single piece: pieces live side by side": _largest_single,
        "the last change is left out: the peak may be at the very end": _stops_early,
        "your function returns None": lambda changes: None,
        "take the highest level on the way, not the number of changes": lambda changes: len(changes),
    },
    done="right: the highest level on the way. Two things that never live together never add up",
)


mlp = check_examples(
    "05.4",
    "what the MLP keeps",
    right=lambda d, tokens, trained: 4 * tokens * (9 * d if trained else 4 * d),
    inputs=[(256, 100, True), (256, 100, False), (768, 7, True), (768, 7, False)],
    wrong={
        "GELU is missing: its slope depends on its input, 4d wide, whoever trains": (
            lambda d, tokens, trained: 4 * tokens * (5 * d if trained else 0)
        ),
        "frozen, it still keeps GELU's input": lambda d, tokens, trained: 4 * tokens * (9 * d if trained else 0),
        "a frozen product needs nothing of its input": lambda d, tokens, trained: 4 * tokens * 9 * d,
        "`c_fc`'s input is missing: d wide, for the gradient of its weight": (
            lambda d, tokens, trained: 4 * tokens * (8 * d if trained else 4 * d)
        ),
        "the second product's input is missing: GELU's output, 4d wide": (
            lambda d, tokens, trained: 4 * tokens * (5 * d if trained else 4 * d)
        ),
        "what comes out of the block is not kept here: the sum behind it needs nothing": (
            lambda d, tokens, trained: 4 * tokens * (10 * d if trained else 5 * d)
        ),
        "those are numbers, not bytes: float32 takes 4 bytes each": (
            lambda d, tokens, trained: tokens * (9 * d if trained else 4 * d)
        ),
    },
    done="right: 9 widths trained, 4 frozen. Freezing does not take GELU's share away",
)


quiz = read_quiz("05", __file__)
