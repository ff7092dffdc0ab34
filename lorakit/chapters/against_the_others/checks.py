"""Checks and quiz of chapter 07: LoRA against the other ways to adapt a base."""

import statistics

import torch
from torch import nn
from torch.nn.functional import gelu, log_softmax, softmax

from lorakit.lab.bases.shapes import random_gpt2
from lorakit.show.exercises import check_examples
from lorakit.show.quiz import read_quiz
from lorakit.study.parameters import Decoder


def _draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 07.1 -- bottleneck adapters in a model


def _attach(model, m):
    class Bottleneck(nn.Module):
        def __init__(self, sublayer, d):
            super().__init__()
            self.sublayer, self.down, self.up = sublayer, nn.Linear(d, m), nn.Linear(m, d)
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)

        def forward(self, h):
            h = self.sublayer(h)
            return h + self.up(gelu(self.down(h)))

    model.requires_grad_(False)
    for block in model.transformer.h:
        block.mlp = Bottleneck(block.mlp, model.config.hidden_size)
    return model


def _seen_in_a_model(attach):
    """What trains (sizes, is it zero?), whether the logits are the base's, and the logits once it has moved."""

    def seen(m):
        torch.manual_seed(0)
        model = random_gpt2(Decoder(layers=2, width=8, heads=2, vocabulary=16, context=8, inner=32), dropout=0.0)
        before = model(torch.arange(6)[None]).logits
        model = attach(model, m)
        if model is None:
            return None
        trained = [p for p in model.parameters() if p.requires_grad]
        facts = sorted([len(p), p.numel(), bool(p.any())] for p in trained)
        facts.append([0, 0, torch.equal(model(torch.arange(6)[None]).logits, before)])
        for p in trained:
            p.data = _draw(*p.shape, seed=p.numel())
        return torch.cat([torch.tensor(facts).flatten(), model(torch.arange(6)[None]).logits.flatten()])

    return seen


bottleneck = check_examples(
    "07.1",
    "bottleneck adapters in a model",
    right=_attach,
    inputs=[(3,), (2,)],
    seen=_seen_in_a_model,
    wrong={
        "your function returns None: is the `return model` missing?": "return model → return None",
        "nothing trains: freeze the base first, then put the adapters in": (
            "return model → return model.requires_grad_(False)"
        ),
        "the base trains as well: `model.requires_grad_(False)`": "model.requires_grad_(False) → pass",
        "only one block has an adapter": "in model.transformer.h → in model.transformer.h[:1]",
        "the logits changed at step 0: W_up begins at zero": "nn.init.zeros_(self.up.weight) → pass",
        "the logits changed at step 0: the bias behind W_up begins at zero too": "nn.init.zeros_(self.up.bias) → pass",
        "both matrices have a bias": ("Linear(d, m) → Linear(d, m, bias=False)", "(m, d) → (m, d, bias=False)",
                                      "nn.init.zeros_(self.up.bias) → pass"),
        "the residual is missing: with W_up at zero the adapter must give h back": "return h + → return",
        "there is no gelu between the two: then they are one matrix, which could be merged": (
            "gelu(self.down(h)) → self.down(h)"
        ),
        "the gelu stands behind W_up: it belongs inside the bottleneck": (
            "self.up(gelu(self.down(h))) → gelu(self.up(self.down(h)))"
        ),
        "h is what comes out of the MLP: the adapter stands behind it": (
            "h = self.sublayer(h) → pass", "return h + → return self.sublayer(h) +"
        ),
        "that is behind attention: Pfeiffer's stand behind the MLP": "block.mlp → block.attn.c_proj",
    },
    done="right: Pfeiffer's adapters. Whatever has `requires_grad` can go through your loop of chapter 05",
)  # fmt: skip

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
        "add up over the tokens, do not average": ".sum() → .sum(-1).mean()",
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
        ([79.0, 80.0], [70.0, 78.0]),
        ([78.0, 79.0], [79.0, 80.0]),
    ],
    wrong={
        "only above was looked at: a method can also be told apart by being worse": " or max(one) < min(other) → ",
        "only below was looked at: a method can also be told apart by being better": "min(one) > max(other) or → ",
        "means nearly always differ: the question is whether the ranges of the seeds do": (
            lambda one, other: statistics.fmean(one) != statistics.fmean(other)
        ),
        "the ranges count, not how wide they are: does the worst seed of one lie above the other's best?": (
            lambda one, other: (
                abs(statistics.fmean(one) - statistics.fmean(other)) > max(max(one) - min(one), max(other) - min(other))
            )
        ),
        "the best seeds alone were compared": lambda one, other: max(one) != max(other),
        "the other way round: that is True where the ranges meet": (
            lambda one, other: min(one) <= max(other) and max(one) >= min(other)
        ),
        "a seed in common is an overlap: > and <, not >= and <=": ("> → >=", "< → <="),
    },
    done="right, as far as a few seeds go: ranges that overlap prove nothing, ranges apart are a strong hint",
)

quiz = read_quiz("07", __file__)
