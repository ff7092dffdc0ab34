"""The weight matrices of a whole model, by name.

A matrix is always (out, in) here, the paper's (d, k). GPT-2's Conv1D stores its weight as (in, out): it is turned
round. A fused c_attn is listed whole and as its q, k and v, which a spectrum of the whole mixes.
"""

from collections.abc import Mapping

from torch import Tensor

from lorakit.core.targets import SLICES

CONV1D = ("c_attn", "c_proj", "c_fc")  # the layers that GPT-2 makes as Conv1D


def weight_matrices(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every weight matrix by the name of its layer, (out, in), from a model's `named_parameters()` as a dict.

    Adapters are left out: these are W₀. So are embeddings: their rows are looked up, they are no maps between spaces.
    """
    matrices: dict[str, Tensor] = {}
    for key, W in parameters.items():
        path = key.removesuffix(".weight")
        name = path.rsplit(".", 1)[-1]
        if W.ndim != 2 or path == key or name in ("wte", "wpe", "embed_tokens"):
            continue
        W = W.detach().T if name in CONV1D else W.detach()  # (out, in)
        matrices[path] = W
        if name == "c_attn":
            matrices |= {f"{path}.{part}": piece for part, piece in zip(SLICES, W.chunk(len(SLICES)), strict=True)}
    return matrices
