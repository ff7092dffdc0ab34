"""Checks and quiz of the appendix on encoders."""

from lorakit.show.exercises import NOTHING, check_examples
from lorakit.show.quiz import read_quiz

lora_parameters = check_examples(
    "14.1",
    "the price of an adapter",
    right=lambda blocks, width, r, matrices: blocks * matrices * r * 2 * width,
    inputs=[(6, 384, 8, 2), (12, 768, 8, 2), (24, 1024, 4, 3)],
    wrong={
        "only one of the two factors is counted": lambda blocks, width, r, matrices: blocks * matrices * r * width,
        "one block is counted": lambda blocks, width, r, matrices: matrices * r * 2 * width,
        "one matrix a block is counted": lambda blocks, width, r, matrices: blocks * r * 2 * width,
        "the full d × k matrix": lambda blocks, width, r, matrices: blocks * matrices * width * width,
        "that is the size of B A's inner product": lambda blocks, width, r, matrices: blocks * matrices * r * r,
    },
    done="right: 73,728 for MiniLM, and RoBERTa-base's 294,912 are the 0.3M of the paper's Table 2",
)

standard_error = check_examples(
    "14.2",
    "how far chance moves an accuracy",
    right=lambda p, n: (p * (1 - p) / n) ** 0.5,
    inputs=[(0.5, 100), (0.85, 1821), (0.9, 64)],
    wrong={
        "that is the variance: take the root": lambda p, n: p * (1 - p) / n,
        "that is one sentence's spread: the mean of n": lambda p, n: (p * (1 - p)) ** 0.5,
        "the root goes over n too": lambda p, n: (p * (1 - p)) ** 0.5 / n,
        "p (1 - p), not p alone": lambda p, n: (p / n) ** 0.5,
        "as a fraction, not in percent": lambda p, n: 100 * (p * (1 - p) / n) ** 0.5,
        "p is not always one half": lambda p, n: (0.25 / n) ** 0.5,
    },
    done="right: at 85 % of 1,821 sentences it is 0.8 points, so a difference of one point may be chance",
)

NAMES = [
    "bert.embeddings.word_embeddings.weight",
    "bert.encoder.layer.0.attention.self.query.weight",
    "bert.encoder.layer.0.attention.self.query.lora_A",
    "bert.encoder.layer.0.attention.self.query.lora_B",
    "bert.encoder.layer.0.attention.self.key.weight",
    "bert.encoder.layer.0.attention.self.value.lora_A",
    "bert.encoder.layer.0.attention.self.value.lora_B",
    "bert.pooler.dense.weight",
    "classifier.weight",
    "classifier.bias",
]


def _to_save(names):
    return [name for name in names if "lora_" in name or name.startswith("classifier.")]


to_save = check_examples(
    "14.3",
    "what must be in the file",
    right=_to_save,
    inputs=[(NAMES,)],
    seen=lambda answer: lambda names: (found := answer(names)) and sorted(found),
    wrong={
        "the head is missing: loaded again, a fresh random head would read the adapted encoder, and guess": (
            ' or name.startswith("classifier.") → '
        ),
        "the adapter is missing: what was learnt inside the encoder is gone": '"lora_" in name or → ',
        "the frozen base is in it: it did not change, so it stays out": lambda names: list(names),
        "half of the adapter is missing: A without B is no update": "lora_ → lora_A",
        "the head's bias is missing: it was trained as well": 'startswith("classifier.") → startswith("classifier.w")',
        "nothing would be stored: none of the names was taken": lambda names: [],
        NOTHING: "return → _ =",
    },
    done="right: 2 × 2 matrices of the adapter and the head; everything else is in the base, unchanged",
)


quiz = read_quiz("14", __file__)
