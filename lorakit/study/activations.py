"""What a GPT-2 keeps for its backward pass, operation by operation, in bytes.

An operation keeps a tensor for one of two reasons: to pass a gradient on to its input, or to get the gradient of its
own weight. A frozen layer has only the first, and a product W x needs nothing of x for it. That is all that LoRA saves
here: GELU, attention and the norms need their inputs whoever trains. Checked against torch in tests/test_study_memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
ATTENTION = ("sdpa", "eager")
SLICES = ("q", "k", "v")
TARGETS = (*SLICES, "c_attn", "o", "mlp")


@dataclass(frozen=True)
class Decoder:
    """A GPT-2 as numbers; `inner` is the width of the MLP, `gelu_parts` how many tensors its GELU keeps."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    inner: int
    gelu_parts: int = 1

    @classmethod
    def of(cls, config) -> "Decoder":
        """From a GPT2Config, or a mapping with its names (n_layer, n_embd, n_head, vocab_size, n_positions)."""
        get = config.get if isinstance(config, Mapping) else lambda key, default=None: getattr(config, key, default)
        width = get("n_embd")
        # "gelu_new" is written out in Python and keeps x, x/2, tanh and 1 + tanh; the fused one keeps x.
        parts = 4 if get("activation_function", "gelu_new") == "gelu_new" else 1
        sizes = (get("n_layer"), width, get("n_head"), get("vocab_size"), get("n_positions"))
        return cls(*sizes, inner=get("n_inner") or 4 * width, gelu_parts=parts)

    @classmethod
    def of_shape(cls, shape, head: int = 64) -> "Decoder":
        """From a study.parameters.ModelShape, whose heads are `head` wide (GPT-2: 64, GPT-3 175B: 128)."""
        d = shape.width
        return cls(shape.layers, d, d // head, shape.vocabulary, shape.context, inner=4 * d)

    @property
    def block_parameters(self) -> int:
        """Four matrices, their biases (3 d, d, inner, d), and a weight and a bias of two norms."""
        d, m = self.width, self.inner
        return 4 * d * d + 2 * d * m + 9 * d + m

    @property
    def parameters(self) -> int:
        """All parameters; the output layer is the token embedding."""
        embeddings = (self.vocabulary + self.context) * self.width
        return embeddings + self.layers * self.block_parameters + 2 * self.width


@dataclass(frozen=True)
class Training:
    """How a step is done.

    batch, length  rows, and tokens in each, padding included
    method, r, targets   "full", or "lora" of rank r on targets among q, k, v, c_attn, o, mlp
    optimizer      "adamw", "sgd" or "momentum"; its states have the dtype of what they belong to
    dtype          of the base's weights and of the computation; adapters are float32 always
    attention      "sdpa" (fused) or "eager" (written out: it keeps every attention weight)
    kept, answers  positions per row that get logits, and positions in all that count in the loss; None: all of them
    padded         whether rows have padding, so that attention needs a mask
    """

    batch: int
    length: int
    method: str = "lora"
    r: int = 8
    targets: tuple[str, ...] = ("q", "v")
    optimizer: str = "adamw"
    dtype: str = "fp32"
    attention: str = "sdpa"
    kept: int | None = None
    answers: int | None = None
    padded: bool = False
    device: str = "cpu"  # where the optimizer runs: on a GPU it works on all parameters at once

    def __post_init__(self) -> None:
        known = {
            "device": ("cpu", "cuda"),
            "method": ("full", "lora"),
            "optimizer": ("adamw", "sgd", "momentum"),
            "dtype": tuple(BYTES),
        }
        for name, allowed in (known | {"attention": ATTENTION}).items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if unknown := set(self.targets) - set(TARGETS):
            raise ValueError(f"targets must be among {', '.join(TARGETS)}, got {', '.join(sorted(unknown))}")
        if self.method == "lora" and not (self.targets and self.r >= 1):
            raise ValueError(f"LoRA needs at least one target and r of at least 1, got {self.targets} and r = {self.r}")
        if min(self.batch, self.length) < 1:
            raise ValueError(f"batch and length must be at least 1, got {self.batch} × {self.length}")

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


@dataclass(frozen=True)
class Kept:
    """One tensor kept for the backward pass: by which operation, what it is, and its size in bytes."""

    operation: str
    tensor: str
    bytes: int


def kept_by_block(model: Decoder, step: Training, first: bool = False) -> list[Kept]:
    """What one block keeps. In the `first` block of a LoRA model no gradient is wanted before the first adapter."""
    d, tokens, item = model.width, step.tokens, step.item
    rows: list[Kept] = []
    flows = step.full or not first  # is a gradient wanted for what comes in?

    def keep(operation: str, tensor: str, numbers: float, when: bool, each: int = item) -> None:
        if when and numbers:
            rows.append(Kept(operation, tensor, int(numbers * each)))

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
    keep("attention", "q, k and v", 3 * d * tokens, flows)
    if step.attention == "eager":
        keep("attention", "the weights", model.heads * tokens * step.length, flows)
    else:
        keep("attention", "its output", d * tokens, flows)
        keep("attention", "log of the sums", model.heads * tokens, flows, 4)
        keep("attention", "the mask as numbers", tokens * step.length, flows and step.padded)
    product("attn.c_proj", d, "o", there=flows and step.attention == "sdpa")
    norm("ln_2")
    product("c_fc", d, "mlp")
    keep("gelu", "its input" if model.gelu_parts == 1 else "its parts", model.gelu_parts * model.inner * tokens, flows)
    product("mlp.c_proj", model.inner, "mlp")
    return rows


def kept_after_blocks(model: Decoder, step: Training) -> list[Kept]:
    """What the last norm, the output layer and the loss keep. The loss is taken in float32."""
    rows = [
        Kept("ln_f", "its input", model.width * step.tokens * step.item),
        Kept("ln_f", "mean and deviation", 2 * step.tokens * 4),
        Kept("loss", "log of the probabilities", step.counted * model.vocabulary * 4),
    ]
    if step.full:
        rows.insert(2, Kept("lm_head", "its input", step.logits * model.width * step.item))
    return rows


def total(rows: list[Kept]) -> int:
    return sum(row.bytes for row in rows)


def kept_in_all(model: Decoder, step: Training) -> int:
    """Bytes that a whole forward pass keeps for the backward pass."""
    blocks = total(kept_by_block(model, step, first=True))
    blocks += (model.layers - 1) * total(kept_by_block(model, step))
    return blocks + total(kept_after_blocks(model, step))
