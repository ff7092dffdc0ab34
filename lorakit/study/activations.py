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
    """A GPT-2 as numbers; `inner` is the width of the MLP, `gelu_parts` how many tensors its activation keeps.

    With `key_width`, the width of the keys and of the values, it is a Llama: a gated MLP of three matrices, no biases,
    norms without a bias, rotary positions, and an output layer of its own unless `tied`.
    """

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    inner: int
    gelu_parts: int = 1
    key_width: int | None = None
    tied: bool = True

    @classmethod
    def of(cls, config) -> "Decoder":
        """From a GPT2Config, or a mapping with its names (n_layer, n_embd, n_head, vocab_size, n_positions).

        Also from a config of Llama's kind (Mistral, Qwen2, SmolLM2). Raises ValueError for any other.
        """
        get = config.get if isinstance(config, Mapping) else lambda key, default=None: getattr(config, key, default)
        if get("n_layer") is None:
            return cls._llama(get)
        width = get("n_embd")
        # "gelu_new" is written out in Python and keeps x, x/2, tanh and 1 + tanh; the fused one keeps x.
        parts = 4 if get("activation_function", "gelu_new") == "gelu_new" else 1
        sizes = (get("n_layer"), width, get("n_head"), get("vocab_size"), get("n_positions"))
        return cls(*sizes, inner=get("n_inner") or 4 * width, gelu_parts=parts)

    @classmethod
    def _llama(cls, get) -> "Decoder":
        names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "intermediate_size")
        layers, width, heads, vocabulary, inner = (get(name) for name in names)
        if None in (layers, width, heads, vocabulary, inner) or get("hidden_act", None) != "silu":
            raise ValueError(f"{get('model_type', 'this')} is neither a GPT-2's nor a Llama's config: it needs {names}")
        head = get("head_dim", None) or width // heads
        keys = (get("num_key_value_heads", None) or heads) * head
        context, tied = get("max_position_embeddings", 2048), bool(get("tie_word_embeddings", False))
        return cls(layers, width, heads, vocabulary, context, inner, gelu_parts=3, key_width=keys, tied=tied)

    @classmethod
    def of_shape(cls, shape, head: int = 64) -> "Decoder":
        """From a study.parameters.ModelShape, whose heads are `head` wide (GPT-2: 64, GPT-3 175B: 128)."""
        d = shape.width
        return cls(shape.layers, d, d // head, shape.vocabulary, shape.context, inner=4 * d)

    @property
    def block_parameters(self) -> int:
        """The matrices, their biases (3 d, d, inner, d), and a weight and a bias of two norms; a Llama: no bias."""
        return self.block_matrices + (2 * self.width if self.key_width else 9 * self.width + self.inner)

    @property
    def block_matrices(self) -> int:
        """q and o (d × d), k and v, and the two matrices of an MLP, or three of a gated one."""
        d, keys = self.width, self.key_width or self.width
        return 2 * d * d + 2 * d * keys + self.mlp_matrices * d * self.inner

    @property
    def mlp_matrices(self) -> int:
        return 3 if self.key_width else 2

    @property
    def parameters(self) -> int:
        """All parameters; a tied output layer is the token embedding."""
        d = self.width
        positions, norm = (0, d) if self.key_width else (self.context * d, 2 * d)
        tables = self.vocabulary * d * (1 if self.tied else 2)
        return tables + positions + self.layers * self.block_parameters + norm


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
    recompute      keep only each block's input, and do its forward pass again on the way back (gradient checkpointing)
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
    recompute: bool = False
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
    in_slices = not step.full and slices and "c_attn" not in step.targets
    keep("c_attn", "B, block-diagonal", 3 * d * slices * step.r, in_slices, max(4, item))
    keep("attention", "q, k and v", (d + 2 * (model.key_width or d)) * tokens, flows)
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
    return kept_in_blocks(model, step, model.layers) + total(kept_after_blocks(model, step))


def kept_in_blocks(model: Decoder, step: Training, blocks: int) -> int:
    """Bytes that the first `blocks` blocks keep from their forward pass to their backward pass."""
    if step.recompute:
        return blocks * step.tokens * model.width * step.item  # each block's input
    first = total(kept_by_block(model, step, first=True)) if blocks else 0
    return first + max(0, blocks - 1) * total(kept_by_block(model, step))
