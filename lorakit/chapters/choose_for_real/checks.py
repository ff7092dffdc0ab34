"""Checks of chapter 11, and the review quiz of the course."""

from lorakit.show.exercises import check_examples
from lorakit.show.quiz import Question, Quiz


def _largest(layers, shapes, parameters, share):
    return int(share * parameters // (layers * sum(i + o for i, o in shapes)))


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
        "a layer has r · (in + out) numbers for each matrix, not r · in · out": (
            lambda layers, shapes, parameters, share: int(
                share * parameters // (layers * sum(i * o for i, o in shapes)) or 0
            )
        ),
        "that is the budget of one layer alone: all layers have adapters": (
            lambda layers, shapes, parameters, share: int(share * parameters // sum(i + o for i, o in shapes))
        ),
        "A alone is counted: B has r · out numbers": (
            lambda layers, shapes, parameters, share: int(share * parameters // (layers * sum(i for i, _ in shapes)))
        ),
        "only the first matrix of a layer is counted": (
            lambda layers, shapes, parameters, share: int(share * parameters // (layers * sum(shapes[0])))
        ),
        "a rank is a whole number, and rounding up breaks the budget: round down": (
            lambda layers, shapes, parameters, share: (
                -int(-share * parameters // (layers * sum(i + o for i, o in shapes)))
            )
        ),
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
        "bits are not bytes: eight of them make one": lambda n, bits, block: n * bits + 4 * n / block,
        "the scales are missing: each block has one, and it takes 4 bytes": lambda n, bits, block: n * bits / 8,
        "a scale in float32 takes 4 bytes": lambda n, bits, block: n * bits / 8 + n / block,
        "there is a scale for each block, not for each number": lambda n, bits, block: n * bits / 8 + 4 * n,
        "that many numbers stand in a block; how many blocks are there?": lambda n, bits, block: (
            n * bits / 8 + 4 * block
        ),
    },
    done="right: 4 bits in blocks of 64 are 4.5 bits a number; packing the scales too makes 4.13 of them",
)


def _recall(answered, true):
    urgent = [a for a, t in zip(answered, true, strict=True) if t == "urgent"]
    return sum(a == "urgent" for a in urgent) / len(urgent)


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
            lambda answered, true: (
                sum(a == t == "urgent" for a, t in zip(answered, true, strict=True)) / answered.count("urgent")
            )
        ),
        "that is the accuracy over all tickets: look only at those that are urgent": (
            lambda answered, true: sum(a == t for a, t in zip(answered, true, strict=True)) / len(true)
        ),
        "that counts all alarms, false ones too": lambda answered, true: (
            answered.count("urgent") / true.count("urgent")
        ),
        "divide by the number of urgent tickets, not of all": (
            lambda answered, true: sum(a == t == "urgent" for a, t in zip(answered, true, strict=True)) / len(true)
        ),
    },
    done="right: what a support desk asks first is how many urgent tickets were missed",
)

quiz = Quiz(
    "11",
    [
        Question(
            "The weights must stay frozen, and no answer may take longer. Why not prefix tuning?",
            (
                "Its vectors lie in the context and are read with every answer",
                "It writes into the base's key and value matrices, which were audited",
                "It trains far more than 1 % of the parameters, in every layer",
            ),
            0,
            (
                "Each attention looks at them for every token, and the positions they take are lost to the prompt.",
                "The base stays as it is: only the keys and values put before the text are trained.",
                "Sixteen positions of nano took 0.77 %, as many numbers as LoRA of rank 8 (chapter 07).",
            ),
        ),
        Question(
            "Why is distillation no answer to this case?",
            (
                "Another, smaller model is deployed in place of the approved one",
                "The student answers more slowly, since the teacher runs beside it",
                "It needs gradients through the teacher, whose weights are frozen",
            ),
            0,
            (
                "The frozen weights that were approved would not be the ones that answer.",
                "The teacher is needed in training only: the student answers alone, in about 0.65 of the time.",
                "The teacher is only asked for its outputs; the gradients are the student's.",
            ),
        ),
        Question(
            "And token pruning?",
            (
                "It teaches the model nothing; it drops tokens to save time",
                "It sets weights to zero while it prunes, which breaks the audit",
                "It can be used only on a base that is packed into 4 bits",
            ),
            0,
            (
                "Nothing is trained. Where a dropped token mattered, the answer is lost: 76 % to 66 % at 10 %.",
                "That is weight pruning. Here tokens are left out at inference, and every weight stays.",
                "It has nothing to do with how weights are packed.",
            ),
        ),
        Question(
            "BitFit trains a quarter of a percent of nano. What rules it out here?",
            (
                "The biases that it trains are weights of the base",
                "Biases make every answer slower, as they are added in each layer",
                "Biases alone cannot be trained with AdamW",
            ),
            0,
            (
                "Few of them, but they change: the base's hash is another one afterwards.",
                "A bias is added anyway, whatever its value.",
                "AdamW takes any parameter; chapter 07 trained biases with it.",
            ),
        ),
        Question(
            "Which of A and B is zero at the start, and why only one?",
            (
                "B: the update is zero, and B's gradient, which needs A, is not",
                "A: the input must not be changed at first, and B may be anything",
                "Both: only then does the model start exactly as the base",
            ),
            0,
            (
                "So the model starts as the base, and B moves with the first step, A from the second on.",
                "With A at zero and B random it would also start as the base; the paper and PEFT set B to zero.",
                "One zero is enough for that; with two, both gradients are zero for ever and nothing is learnt.",
            ),
        ),
        Question(
            "After training, which tensors of the model differ from those before?",
            (
                "Those of the adapter, and no others",
                "Those that the adapters sit on",
                "All of them a little, through AdamW's weight decay",
            ),
            0,
            (
                "A hash over all the base's bits says so, and `eject` gives the base back.",
                "They are read and not written, until somebody merges.",
                "A frozen parameter has no gradient, and AdamW passes it by, decay included.",
            ),
        ),
        Question(
            "What does merging give, and what does it cost?",
            (
                "The base's speed; rounding, and one task at a time",
                "Half of the memory in training, for slower answers afterwards",
                "A more accurate model, since nothing is left out",
            ),
            0,
            (
                "The same operations as the base. In bf16 a few next tokens change; many tasks need unmerged adapters.",
                "Training is over by then. Merged weights take what the base's took, and no answer is slower.",
                "At best the same answers. Rounding takes a little, it adds nothing.",
            ),
        ),
        Question(
            "A vendor promises to fine-tune a 7B model in 10 GB, thanks to LoRA. What made it possible?",
            (
                "The base is packed into 4 or 8 bits; LoRA only makes that trainable",
                "LoRA leaves the frozen weights out: a training step needs only A and B",
                "With r = 1 there is hardly anything to train, whatever the base",
            ),
            0,
            (
                "The weights alone take 13 GB in 16 bits, at any rank. Packed weights cannot be trained, adapters can.",
                "Every forward pass multiplies by them, so they must be there.",
                "The rank moves megabytes; the frozen weights are gigabytes.",
            ),
        ),
        Question(
            "With a 4-bit base, is the promise of no added latency kept by merging?",
            (
                "Kept in 16 bits, yes; packed again, the rounding adds an error",
                "Yes, without loss: 4 bits that hold the base hold the sum as well",
                "No: a packed base cannot be unpacked, so nothing can be added to it",
            ),
            0,
            (
                "On nano half as large as the update, though no answer suffered. Measure before you rely on it.",
                "A sum of packed weights and an update falls between the packed values, and is rounded to one of them.",
                "Unpacking is what every product with it does; the sum is then kept in 16 bits.",
            ),
        ),
        Question(
            "On known sentences 86 % of the tickets were right, on new ones 36 %. What would help most?",
            (
                "Tickets in more different words, or a base that knows more English",
                "Ten times as many steps on the tickets that there are",
                "The largest rank that 1 % allows, on all matrices of every layer",
            ),
            0,
            (
                "What is missing is the meaning of words that training never showed.",
                "From 400 steps to 800 known sentences gained, and new ones did not.",
                "More numbers learn the same sentences; chapter 06 asks what a rank can and cannot buy.",
            ),
        ),
    ],
)
