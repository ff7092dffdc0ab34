"""Checks and quiz of chapter 07: LoRA against the other ways to adapt a base."""

import statistics

import torch
from torch.nn.functional import gelu, log_softmax, softmax

from lorakit.show.exercises import check_examples
from lorakit.show.quiz import read_quiz


def _draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 07.1 -- a bottleneck adapter


def _bottleneck(h, down, up):
    return h + gelu(h @ down.T) @ up.T


_H, _DOWN, _UP = _draw(3, 4, seed=0), _draw(2, 4, seed=1), _draw(4, 2, seed=2)
bottleneck = check_examples(
    "07.1",
    "a bottleneck adapter",
    right=_bottleneck,
    inputs=[(_H, _DOWN, _UP), (_H, _DOWN, torch.zeros(4, 2)), (_H[0], _DOWN, _UP)],
    wrong={
        "the residual is missing: with `up` at zero the adapter must give h back": "h + → ",
        "there is no nonlinearity between the two: then they are one matrix of low rank, which could be merged": (
            "gelu(h @ down.T) → h @ down.T"
        ),
        "the nonlinearity stands behind `up`: it belongs inside the bottleneck": "down.T) @ up.T → down.T @ up.T)",
        "the residual stands inside a nonlinearity: h itself must pass untouched": (
            "h + gelu(h @ down.T) @ up.T → gelu(h + h @ down.T @ up.T)"
        ),
        "the nonlinearity is at the door: first down, then bend": "gelu(h @ down.T) → gelu(h) @ down.T",
        "that is subtracted: the adapter adds to h": "h + → h -",
    },
    done="right: with `up` at zero it is the identity, and no matrix could do what it does",
)

# 07.2 -- what a prefix costs


def _prefix(layers, width, length, context):
    return 2 * layers * length * width, context - length


prefix = check_examples(
    "07.2",
    "what a prefix costs",
    right=_prefix,
    inputs=[(4, 256, 16, 256), (12, 768, 20, 1024), (2, 8, 1, 64)],
    wrong={
        "only the keys were counted: every position has a key and a value": "2 * layers → layers",
        "that is a prefix in one block: each block has keys and values of its own": "2 * layers → 2",
        "the positions are not free: the prefix stands in the context, before the prompt": "context - length → context",
        "the prefix is there once, not once per block: all blocks look at the same positions": (
            "context - length → context - layers * length"
        ),
        "a key and its value stand at one position, they do not take two": "context - length → context - 2 * length",
    },
    done="right: the numbers grow with the model, the lost context does not: it is paid in every prompt",
)

# 07.3 -- learning from a teacher


def _soft_loss(student, teacher, T):
    p, log_p = softmax(teacher / T, -1), log_softmax(teacher / T, -1)
    return T**2 * (p * (log_p - log_softmax(student / T, -1))).sum()


_STUDENT, _TEACHER = _draw(3, 5, seed=3), 2 * _draw(3, 5, seed=4)
soft_loss = check_examples(
    "07.3",
    "the loss of a student",
    right=_soft_loss,
    inputs=[(_STUDENT, _TEACHER, 2.0), (_STUDENT, _TEACHER, 1.0), (_STUDENT, _TEACHER, 4.0), (_TEACHER, _TEACHER, 2.0)],
    wrong={
        "the T² is missing: the gradient shrinks by about 1 / T² when the logits are divided by T": "T**2 *  → ",
        "that is times T: each of the two softmaxes brings a 1 / T into the gradient, so T²": "T**2 → T",
        "the wrong way round: the teacher's probabilities weigh the difference": (
            "_soft_loss(student, teacher, → _soft_loss(teacher, student,"
        ),
        "only the student was softened: the teacher's logits are divided by T too": "teacher / T → teacher",
        "only the teacher was softened: the student's logits are divided by T too": "student / T → student",
        "T was left out: softmax of logits / T": ("T**2 *  → ", " / T, -1 → , -1"),
        "that is the cross-entropy: it is not zero for a student that equals its teacher": "log_p - → -",
        "that is the mean over the tokens and the vocabulary: add them up": ".sum() → .mean()",
    },
    done="right: zero when the student says what the teacher says, with a gradient that does not fade as T grows",
)

# 07.4 -- different, or only different seeds?


def _apart(one, other):
    return min(one) > max(other) or max(one) < min(other)


apart = check_examples(
    "07.4",
    "told apart by their seeds",
    right=_apart,
    inputs=[
        ([80.0, 81.0, 82.0], [76.0, 77.0, 79.0]),
        ([76.0, 77.0, 79.0], [80.0, 81.0, 82.0]),
        ([76.0, 78.0, 81.0], [79.0, 79.5, 80.0]),
        ([70.0, 75.0, 80.0], [79.0, 82.0, 84.0]),
        ([79.0, 82.0, 84.0], [70.0, 75.0, 80.0]),
        ([78.0], [77.9, 78.1]),
        ([78.0, 79.0], [79.0, 80.0]),
    ],
    wrong={
        "only above was looked at: a method can also be told apart by being worse": " or max(one) < min(other) → ",
        "only below was looked at: a method can also be told apart by being better": "min(one) > max(other) or → ",
        "means nearly always differ: the question is whether the ranges of the seeds do": (
            lambda one, other: statistics.fmean(one) != statistics.fmean(other)
        ),
        "the best seeds alone were compared": lambda one, other: max(one) != max(other),
        "the other way round: that is True where the ranges meet": (
            lambda one, other: min(one) <= max(other) and max(one) >= min(other)
        ),
        "a seed in common is an overlap: > and <, not >= and <=": ("> → >=", "< → <="),
    },
    done="right, as far as three seeds go: ranges that overlap prove nothing, ranges apart are a strong hint",
)

quiz = read_quiz("07", __file__)
