"""A decoder as numbers: how many parameters it holds, and how many LoRA adds, counted from its shape alone."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Decoder:
    """A GPT-2 as numbers; `inner` is the width of the MLP, `gelu_parts` how many tensors its activation keeps."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    inner: int
    gelu_parts: int = 1
    name: str = "the model"

    @classmethod
    def of(cls, config, name: str = "the model") -> "Decoder":
        """From a GPT2Config, or a mapping with its names (n_layer, n_embd, n_head, vocab_size, n_positions).

        Raises KeyError for a config of another kind.
        """
        c = config if isinstance(config, Mapping) else config.to_dict()
        # "gelu_new" is written out in Python and keeps x, x/2, tanh and 1 + tanh; the fused one keeps x.
        parts = 4 if c.get("activation_function", "gelu_new") == "gelu_new" else 1
        sizes = (c[key] for key in ("n_layer", "n_embd", "n_head", "vocab_size", "n_positions"))
        return cls(*sizes, inner=c.get("n_inner") or 4 * c["n_embd"], gelu_parts=parts, name=name)

    @property
    def projections(self) -> dict[str, list[tuple[int, int]]]:
        """The (in, out) sizes of the matrices in one block, by what `targets` calls them."""
        d, m = self.width, self.inner
        return {name: [(d, d)] for name in ("q", "k", "v", "o")} | {"mlp": [(d, m), (m, d)], "c_attn": [(d, 3 * d)]}

    @property
    def block_matrices(self) -> int:
        """Numbers in the matrices of one block."""
        return 4 * self.width**2 + 2 * self.width * self.inner

    @property
    def block_parameters(self) -> int:
        """The matrices, their biases (3 d, d, inner, d), and a weight and a bias of two norms."""
        return self.block_matrices + 9 * self.width + self.inner

    @property
    def parameters(self) -> int:
        """All parameters; the output layer is the token embedding."""
        d = self.width
        return (self.vocabulary + self.context) * d + self.layers * self.block_parameters + 2 * d


# GPT-2's four sizes are OpenAI's released configs; GPT-3 is Brown et al. 2020, Table 2.1.
SHAPES = {
    name: Decoder(layers, width, heads, 50257, context, inner=4 * width, name=name)
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
    and v gives 4.7M. Raises ValueError for an unknown target.
    """
    return sum(count_by_target(model, targets, r).values())


def count_by_target(model: Decoder, targets, r: int) -> dict[str, int]:
    """The same count, split by target, in the order given."""
    if unknown := set(targets) - set(model.projections):
        raise ValueError(f"unknown target {sorted(unknown)[0]!r}: choose among {', '.join(model.projections)}")
    return {t: model.layers * sum(r * (i + o) for i, o in model.projections[t]) for t in targets}
