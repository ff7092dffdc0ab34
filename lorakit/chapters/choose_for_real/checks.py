"""Checks of chapter 11, and the review quiz of the course."""

from lorakit.show.exercises import check_examples
from lorakit.show.quiz import read_quiz


def _largest(layers, shapes, parameters, share):
    of_rank_one = layers * sum(i + o for i, o in shapes)
    return int(share * parameters // of_rank_one)


_QV, _MLP = [(5120, 5120)] * 2, [(5120, 20480), (20480, 5120)]
largest_rank = check_examples(
    "11.1",
    "the largest rank within a budget",
    right=_largest,
    inputs=[
        (40, _QV, 12_853_386_240, 0.01),
        (40, _QV + _MLP, 12_853_386_240, 0.01),
        (4, [(256, 768)], 4_273_664, 0.02),
    ],
    wrong={
        "a layer has r · (in + out) numbers for each matrix, not r · in · out": "i + o for → i * o for",
        "that is the budget of one layer alone: all layers have adapters": "layers *  → ",
        "A alone is counted: B has r · out numbers": "i + o for → i for",
        "only the first matrix of a layer is counted": "in shapes → in shapes[:1]",
        "a rank is a whole number, and rounding up breaks the budget: round down": "int(share → -int(-share",
    },
    done="right: 13B allows r = 156 on q and v, 44 with the MLP too: 1 % is more room than one needs",
)


def _packed(numbers, bits, block):
    return numbers * bits / 8 + 4 * numbers / block


packed_bytes = check_examples(
    "11.2",
    "the bytes of a packed matrix",
    right=_packed,
    inputs=[(4096 * 4096, 4, 64), (4096 * 16384, 8, 128), (1024 * 64, 3, 32)],
    wrong={
        "bits are not bytes: eight of them make one": " / 8 → ",
        "the scales are missing: each block has one, and it takes 4 bytes": " + 4 * numbers / block → ",
        "a scale in float32 takes 4 bytes": "+ 4 * → +",
        "there is a scale for each block, not for each number": " / block → ",
        "that many numbers stand in a block; how many blocks are there?": "4 * numbers / block → 4 * block",
    },
    done="right: 4 bits in blocks of 64 are 4.5 bits a number; packing the scales too makes 4.13 of them",
)


def _recall(answered, true):
    found = sum(a == t == "urgent" for a, t in zip(answered, true, strict=True))
    return found / true.count("urgent")


_TICKETS = [
    (["urgent", "low", "urgent", "high", "normal"], ["urgent", "urgent", "high", "high", "low"]),
    (["urgent", "urgent", "urgent", "low"], ["urgent", "low", "normal", "high"]),
    (["low", "high", "urgent", "urgent", "urgent", "low"], ["urgent", "urgent", "urgent", "urgent", "low", "low"]),
]
urgent_found = check_examples(
    "11.3",
    "urgent tickets that were found",
    right=_recall,
    inputs=_TICKETS,
    wrong={
        "that is the share of alarms that were right (precision): divide by the tickets that are urgent": (
            "/ true.count → / answered.count"
        ),
        "that is the accuracy over all tickets: look only at those that are urgent": (
            'a == t == "urgent" → a == t',
            'true.count("urgent") → len(true)',
        ),
        "that counts all alarms, false ones too": 'return found → return answered.count("urgent")',
        "divide by the number of urgent tickets, not of all": 'true.count("urgent") → len(true)',
    },
    done="right: what a support desk asks first is how many urgent tickets were missed",
)

quiz = read_quiz("11", __file__)
