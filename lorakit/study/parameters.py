"""A decoder as numbers: how many parameters it holds, and how many LoRA adds, counted from its shape alone."""

from collections.abc import Mapping
from dataclasses import dataclass

TARGETS = ("q", "k", "v", "o", "mlp", "c_attn")


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
    fused_qkv: bool = True  # q, k and v in one projection, GPT-2's c_attn
    name: str = "the model"

    @classmethod
    def of(cls, config, name: str = "the model") -> "Decoder":
        """From a GPT2Config, or a mapping with its names (n_layer, n_embd, n_head, vocab_size, n_positions).

        Also from a config of Llama's kind (Mistral, Qwen2, SmolLM2). Raises ValueError for any other.
        """
        get = config.get if isinstance(config, Mapping) else lambda key, default=None: getattr(config, key, default)
        if get("n_layer") is None:
            return cls._llama(get, name)
        width = get("n_embd")
        # "gelu_new" is written out in Python and keeps x, x/2, tanh and 1 + tanh; the fused one keeps x.
        parts = 4 if get("activation_function", "gelu_new") == "gelu_new" else 1
        sizes = (get("n_layer"), width, get("n_head"), get("vocab_size"), get("n_positions"))
        return cls(*sizes, inner=get("n_inner") or 4 * width, gelu_parts=parts, name=name)

    @classmethod
    def _llama(cls, get, name: str) -> "Decoder":
        names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "intermediate_size")
        layers, width, heads, vocabulary, inner = (get(name) for name in names)
        if None in (layers, width, heads, vocabulary, inner) or get("hidden_act", None) != "silu":
            raise ValueError(f"{get('model_type', 'this')} is neither a GPT-2's nor a Llama's config: it needs {names}")
        head = get("head_dim", None) or width // heads
        keys = (get("num_key_value_heads", None) or heads) * head
        context, tied = get("max_position_embeddings", 2048), bool(get("tie_word_embeddings", False))
        sizes = (layers, width, heads, vocabulary, context, inner)
        return cls(*sizes, gelu_parts=3, key_width=keys, tied=tied, fused_qkv=False, name=name)

    @property
    def projections(self) -> dict[str, list[tuple[int, int]]]:
        """The (in, out) sizes of the matrices in one block, by what `targets` calls them."""
        d, keys, m = self.width, self.key_width or self.width, self.inner
        attention = {"q": [(d, d)], "k": [(d, keys)], "v": [(d, keys)], "o": [(d, d)]}
        fused = {"c_attn": [(d, 3 * d)]} if self.fused_qkv else {}
        return attention | {"mlp": [(d, m)] * (2 if self.key_width else 1) + [(m, d)]} | fused

    @property
    def block_sizes(self) -> list[tuple[int, int]]:
        """The (in, out) sizes of all matrices in one block, q, k and v each by itself."""
        return [size for target in ("q", "k", "v", "o", "mlp") for size in self.projections[target]]

    @property
    def block_matrices(self) -> int:
        """Numbers in the matrices of one block."""
        return sum(i * o for i, o in self.block_sizes)

    @property
    def block_parameters(self) -> int:
        """The matrices, their biases (3 d, d, inner, d), and a weight and a bias of two norms; a Llama: no bias."""
        return self.block_matrices + (2 * self.width if self.key_width else 9 * self.width + self.inner)

    @property
    def parameters(self) -> int:
        """All parameters; a tied output layer is the token embedding."""
        d = self.width
        positions, norm = (0, d) if self.key_width else (self.context * d, 2 * d)
        tables = self.vocabulary * d * (1 if self.tied else 2)
        return tables + positions + self.layers * self.block_parameters + norm


# GPT-2's four sizes are OpenAI's released configs; GPT-3 is Brown et al. 2020, Table 2.1.
SHAPES = {
    name: Decoder(layers, width, heads, 50257, context, inner=4 * width, fused_qkv=name.startswith("gpt2"), name=name)
    for name, layers, width, heads, context in (
        ("gpt2", 12, 768, 12, 1024),
        ("gpt2-medium", 24, 1024, 16, 1024),
        ("gpt2-large", 36, 1280, 20, 1024),
        ("gpt2-xl", 48, 1600, 25, 1024),
        ("GPT-3 6.7B", 32, 4096, 32, 2048),
        ("GPT-3 13B", 40, 5120, 40, 2048),  # the paper prints a width of 5140, which is not 40 heads of 128
        ("GPT-3 175B", 96, 12288, 96, 2048),
    )
}


def count_lora_parameters(model: Decoder, targets, r: int) -> int:
    """Parameters of the adapters alone: r (in + out) for every targeted projection, summed over the layers.

    `targets` are names among q, k, v, o, mlp, c_attn. q, k and v are slices; c_attn is the three adapted as one
    d × 3d projection, so it cannot be combined with them. Source: Hu et al. 2021, §4.2; GPT-3 175B with r = 1 on q
    and v gives 4.7M. Raises ValueError for an unknown target, and for c_attn where q, k and v are apart.
    """
    return sum(count_by_target(model, targets, r).values())


def count_by_target(model: Decoder, targets, r: int) -> dict[str, int]:
    """The same count, split by target, in the order given."""
    if unknown := set(targets) - set(TARGETS):
        raise ValueError(f"unknown target {sorted(unknown)[0]!r}: choose among {', '.join(TARGETS)}")
    if "c_attn" in targets and not model.fused_qkv:
        raise ValueError(f"{model.name} has no fused c_attn: choose among q, k, v")
    if "c_attn" in targets and {"q", "k", "v"} & set(targets):
        raise ValueError("c_attn already holds q, k and v: choose either c_attn or its slices")
    return {t: model.layers * sum(r * (i + o) for i, o in model.projections[t]) for t in targets}
