"""How many numbers a transformer holds and how many LoRA adds, counted from its shape alone."""

from dataclasses import dataclass

TARGETS = ("q", "k", "v", "o", "mlp", "c_attn")


@dataclass(frozen=True)
class ModelShape:
    """A GPT-2-type decoder as numbers: enough to count its parameters without building it."""

    name: str
    layers: int
    width: int
    vocabulary: int
    context: int
    fused_qkv: bool = True  # q, k and v in one projection, GPT-2's c_attn

    @property
    def parameters(self) -> int:
        """All parameters: embeddings, and per layer 12 d² of weights and 13 d of biases and norms; output tied."""
        d = self.width
        embeddings = (self.vocabulary + self.context) * d
        per_layer = 12 * d * d + 13 * d
        return embeddings + self.layers * per_layer + 2 * d  # the last norm has a weight and a bias


# GPT-2's four sizes are OpenAI's released configs; GPT-3 is Brown et al. 2020, Table 2.1.
SHAPES = {
    shape.name: shape
    for shape in (
        ModelShape("gpt2", 12, 768, 50257, 1024),
        ModelShape("gpt2-medium", 24, 1024, 50257, 1024),
        ModelShape("gpt2-large", 36, 1280, 50257, 1024),
        ModelShape("gpt2-xl", 48, 1600, 50257, 1024),
        ModelShape("GPT-3 6.7B", 32, 4096, 50257, 2048, fused_qkv=False),
        ModelShape("GPT-3 13B", 40, 5120, 50257, 2048, fused_qkv=False),  # the paper prints 5140, not 40 heads of 128
        ModelShape("GPT-3 175B", 96, 12288, 50257, 2048, fused_qkv=False),
    )
}


def shape_of_config(config, name: str) -> ModelShape:
    """The shape in a GPT-2 config: a `GPT2Config`, or the dict of its config.json."""
    get = config.get if isinstance(config, dict) else lambda key: getattr(config, key)
    return ModelShape(name, get("n_layer"), get("n_embd"), get("vocab_size"), get("n_positions"))


def projections(shape: ModelShape, target: str) -> list[tuple[int, int]]:
    """The (in, out) sizes of the projections in one layer that `target` names."""
    d = shape.width
    if target in ("q", "k", "v", "o"):
        return [(d, d)]
    if target == "mlp":
        return [(d, 4 * d), (4 * d, d)]
    if target == "c_attn":
        if not shape.fused_qkv:
            raise ValueError(f"{shape.name} has no fused c_attn: choose among q, k, v")
        return [(d, 3 * d)]
    raise ValueError(f"unknown target {target!r}: choose among {', '.join(TARGETS)}")


def count_lora_parameters(shape: ModelShape, targets, r: int) -> int:
    """Parameters of the adapters alone: r (in + out) for every targeted projection, summed over the layers.

    `targets` are names among q, k, v, o, mlp, c_attn. q, k and v are d × d slices; c_attn is the three adapted as one
    d × 3d projection, so it cannot be combined with them. Source: Hu et al. 2021, §4.2; GPT-3 175B with r = 1 on q
    and v gives 4.7M.
    """
    return sum(count_by_target(shape, targets, r).values())


def count_by_target(shape: ModelShape, targets, r: int) -> dict[str, int]:
    """The same count, split by target, in the order given."""
    if r < 1:
        raise ValueError(f"r must be at least 1, got {r}")
    if "c_attn" in targets and {"q", "k", "v"} & set(targets):
        raise ValueError("c_attn already holds q, k and v: choose either c_attn or its slices")
    return {t: shape.layers * sum(r * (i + o) for i, o in projections(shape, t)) for t in targets}


def size_in_bytes(parameters: int, dtype: str = "fp32") -> int:
    """Bytes that `parameters` numbers take on disk, without the file's header of a few kB."""
    return parameters * {"fp32": 4, "fp16": 2, "bf16": 2}[dtype]
