"""What a GPT-2 keeps for its backward pass, operation by operation, in bytes.

An operation keeps a tensor for one of two reasons: to pass a gradient on to its input, or to get the gradient of its
own weight. A frozen layer has only the first, and a product W x needs nothing of x for it. That is all that LoRA saves
here: GELU, attention and the norms need their inputs whoever trains. Checked against torch in tests/study/test_memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lorakit.core.layer import SLICES
from lorakit.study.parameters import Decoder

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class Training:
    """How a step is done, with fused attention.

    batch, length  rows, and tokens in each, padding included
    method, r, targets   "full", or "lora" of rank r on targets among q, k, v, c_attn, o, mlp
    optimizer      "adamw", "sgd" or "momentum"; its states have the dtype of what they belong to
    dtype          of the base's weights and of the computation, one of BYTES; adapters are float32 always
    kept, answers  positions per row that get logits, and positions in all that count in the loss; None: all of them
    padded         whether rows have padding, so that attention needs a mask
    recompute      keep only each block's input, and do its forward pass again on the way back (gradient checkpointing)
    device         "cpu", or "cuda", where the optimizer works on all parameters at once
    """

    batch: int
    length: int
    method: str = "lora"
    r: int = 8
    targets: tuple[str, ...] = ("q", "v")
    optimizer: str = "adamw"
    dtype: str = "fp32"
    kept: int | None = None
    answers: int | None = None
    padded: bool = False
    recompute: bool = False
    device: str = "cpu"

    @classmethod
    def on(cls, batch: Mapping, **how) -> "Training":
        """The step on a batch of tensors: attention_mask and labels (-100: does not count), each (rows, length).

        Logits are made from the first position that counts in any row, as lab.evaluate.answer_loss does.
        """
        rows, length = batch["labels"].shape
        counts = batch["labels"][:, 1:] != -100  # (rows, length - 1): position t predicts token t + 1
        first = int(counts.any(dim=0).float().argmax())
        padded = bool((batch["attention_mask"] == 0).any())
        return cls(rows, length, kept=length - first, answers=int(counts.sum()), padded=padded, **how)

    @property
    def full(self) -> bool:
        return self.method == "full"

    @property
    def tokens(self) -> int:
        return self.batch * self.length

    @property
    def item(self) -> int:
        """Bytes of one number."""
        return BYTES[self.dtype]

    @property
    def logits(self) -> int:
        """Positions that get logits, over all rows."""
        return self.batch * (self.length if self.kept is None else self.kept)

    @property
    def counted(self) -> int:
        """Positions that count in the loss: by default every one that has a next token."""
        return self.batch * (self.length - 1) if self.answers is None else self.answers

    def trains(self, *targets: str) -> bool:
        return self.full or any(target in self.targets for target in targets)


def kept_by_block(model: Decoder, step: Training, first: bool = False) -> dict[tuple[str, str], int]:
    """What one block keeps: (operation, tensor) → bytes.

    In the `first` block of a LoRA model no gradient is wanted before the first adapter.
    """
    d, tokens, item = model.width, step.tokens, step.item
    kept: dict[tuple[str, str], int] = {}
    flows = step.full or not first  # is a gradient wanted for what comes in?

    def keep(operation: str, tensor: str, numbers: int, when: bool, each: int = item) -> None:
        if when and numbers:
            kept[operation, tensor] = numbers * each

    def norm(name: str) -> None:
        keep(name, "its input", d * tokens, flows)
        keep(name, "mean and deviation", 2 * tokens, flows, 4)

    def product(name: str, width: int, *targets: str, adapters: int = 1, there: bool = False) -> None:
        nonlocal flows
        trained = step.trains(*targets)
        keep(name, "its input", width * tokens, trained and not there)
        keep(name, "A x", adapters * step.r * tokens, trained and not step.full)
        flows = flows or trained

    norm("ln_1")
    slices = 1 if "c_attn" in step.targets else sum(s in step.targets for s in SLICES)
    product("c_attn", d, *SLICES, "c_attn", adapters=slices)
    in_slices = not step.full and "c_attn" not in step.targets
    keep("c_attn", "B, block-diagonal", 3 * d * slices * step.r, in_slices, max(4, item))
    keep("attention", "q, k and v", 3 * d * tokens, flows)
    keep("attention", "its output", d * tokens, flows)
    keep("attention", "log of the sums", model.heads * tokens, flows, 4)
    keep("attention", "the mask as numbers", tokens * step.length, flows and step.padded)
    product("attn.c_proj", d, "o", there=flows)
    norm("ln_2")
    product("c_fc", d, "mlp")
    keep("gelu", "its input" if model.gelu_parts == 1 else "its parts", model.gelu_parts * model.inner * tokens, flows)
    product("mlp.c_proj", model.inner, "mlp")
    return kept


def kept_after_blocks(model: Decoder, step: Training) -> int:
    """Bytes that the last norm, the output layer and the loss keep. The loss is taken in float32."""
    norm = model.width * step.tokens * step.item + 2 * step.tokens * 4  # its input; mean and deviation
    output = step.logits * model.width * step.item if step.full else 0  # the output layer's input
    return norm + output + step.counted * model.vocabulary * 4  # log of the probabilities


def kept_in_blocks(model: Decoder, step: Training, blocks: int) -> int:
    """Bytes that the first `blocks` blocks keep from their forward pass to their backward pass."""
    if step.recompute:
        return blocks * step.tokens * model.width * step.item  # each block's input
    first, other = (sum(kept_by_block(model, step, first).values()) for first in (True, False))
    return first + (blocks - 1) * other
