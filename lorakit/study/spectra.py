"""Spectra of whole models: every weight matrix, and every ΔW = W_after − W_before, by name.

A matrix is always (out, in) here, the paper's (d, k). GPT-2's Conv1D stores its weight as (in, out): it is turned
round. A fused c_attn is listed whole and as its q, k and v, which a spectrum of the whole mixes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.layer import LoRALayer
from lorakit.core.state import unwrap
from lorakit.core.targets import SLICES
from lorakit.study.rank import energy, singular_values

CONV1D = ("c_attn", "c_proj", "c_fc", "q_attn")  # the layers that GPT-2 makes as Conv1D
# An exact SVD of a 768 × 3072 matrix takes about 2 s of one core, the randomized one of its top 64 about 0.1 s.
EXACT_UP_TO = 512
OVERSAMPLING, ITERATIONS = 16, 6


@dataclass(frozen=True)
class Spectrum:
    """The singular values of one matrix (d, k), largest first: all min(d, k), or the top ones where not `complete`."""

    s: Tensor
    shape: tuple[int, int]
    norm: float  # ‖·‖_F, from the entries: right even where s is cut off
    complete: bool = True

    @property
    def stable_rank(self) -> float:
        """‖·‖²_F / σ₁², as `rank.stable_rank`; 0 for the zero matrix."""
        return (self.norm / float(self.s[0])) ** 2 if self.norm else 0.0

    def energy_in_top(self, k: int) -> float:
        """Share of ‖·‖²_F in the `k` largest singular values. Raises ValueError where fewer are known."""
        if k > len(self.s) and not self.complete:
            raise ValueError(f"only the top {len(self.s)} singular values are known, not {k}: ask for top={k}")
        return float(self.s[:k].double().square().sum()) / self.norm**2 if self.norm else 0.0

    def energy(self) -> Tensor:
        """Share of ‖·‖²_F in the top 1, 2, …: one for each known singular value."""
        if self.complete:
            return energy(self.s)
        return self.s.double().square().cumsum(0) / self.norm**2


def spectrum(W: Tensor, top: int = 64, seed: int = 0, exact: bool | None = None) -> Spectrum:
    """The singular values of W (d, k), in float64.

    exact   None: exactly and all of them where min(d, k) ≤ EXACT_UP_TO (512), else the `top` largest by randomized
            subspace iteration (Halko, Martinsson & Tropp 2011; torch.svd_lowrank), its start drawn from `seed`. True
            or False decides for any size.
    The randomized values are never too large. On Gaussian matrices of GPT-2's sizes, whose flat spectrum is the worst
    case, the last of 64 was 3 % too small; a matrix of a rank up to `top` is found to rounding.
    """
    if W.ndim != 2:
        raise ValueError(f"a matrix has two dimensions, got shape {tuple(W.shape)}")
    W = W.detach()
    shape, norm = (W.shape[0], W.shape[1]), float(torch.linalg.norm(W.double()))
    if exact if exact is not None else min(shape) <= EXACT_UP_TO:
        return Spectrum(singular_values(W), shape, norm)
    if not 1 <= top <= min(shape):
        raise ValueError(f"top must be between 1 and {min(shape)}, got {top}")
    columns = min(top + OVERSAMPLING, min(shape))
    with torch.random.fork_rng([W.device] if W.device.type == "cuda" else []):
        torch.manual_seed(seed)
        s = torch.svd_lowrank(W.float(), q=columns, niter=ITERATIONS)[1]
    return Spectrum(s[:top].double(), shape, norm, complete=top == min(shape))


def weight_matrices(source: nn.Module | Mapping[str, Tensor], effective: bool = True) -> dict[str, Tensor]:
    """Every weight matrix by the name of its layer, as (out, in): a Conv1D turned round, c_attn also as its q, k, v.

    source      a model, or its state dict (which is GPT-2's where its c_attn are three times as long as wide)
    effective   of a model with an active adapter: W₀ + scaling · B A, what the layer computes with; False: W₀ alone

    Embeddings are left out: their rows are looked up, they are no maps between two spaces.
    """
    if isinstance(source, nn.Module):
        model = unwrap(source)
        layers = {path: m for path, m in model.named_modules() if isinstance(getattr(m, "weight", None), Tensor)}
        state = {f"{path}.weight": m.weight.detach() for path, m in layers.items() if not isinstance(m, nn.Embedding)}
    else:
        layers = {}
        state = {name: W.detach() for name, W in source.items() if ".adapters." not in name}
        state = {name: W for name, W in state.items() if name.split(".")[-2] not in ("wte", "wpe")} if state else {}
    gpt2 = any(".c_attn.weight" in f".{n}" and W.shape[-1] == 3 * W.shape[0] for n, W in state.items() if W.ndim == 2)
    matrices: dict[str, Tensor] = {}
    for key, W in state.items():
        if W.ndim != 2 or not key.endswith(".weight"):
            continue
        path = key.removesuffix(".weight")
        name = path.rsplit(".", 1)[-1]
        W = W.T if gpt2 and name in CONV1D else W  # (out, in)
        layer = layers.get(path)
        if isinstance(layer, LoRALayer):
            if layer.merged and not effective:
                W = layer.base_weight.T if layer.transposed else layer.base_weight
            elif effective and not layer.merged and layer.active is not None:
                W = W + layer.delta_weight().detach().to(W.dtype)
        matrices[path] = W
        if name == "c_attn" and W.shape[0] == len(SLICES) * W.shape[1]:
            matrices |= {f"{path}.{part}": piece for part, piece in zip(SLICES, W.chunk(len(SLICES)), strict=True)}
    return matrices


def weight_updates(before, after) -> dict[str, Tensor]:
    """ΔW = after − before for every weight matrix that has changed, by name, (out, in), in float32 or wider.

    Both are models or state dicts, in any mixture. Raises LoRAError where their matrices differ in name or shape.
    """
    W0, W1 = weight_matrices(before), weight_matrices(after)
    if W0.keys() != W1.keys():
        raise LoRAError(f"the two models have different matrices: {sorted(W0.keys() ^ W1.keys())[:5]}")
    updates = {}
    for name, W in W0.items():
        if W.shape != W1[name].shape:
            raise LoRAError(f"{name} has shape {tuple(W.shape)} before and {tuple(W1[name].shape)} after")
        wide = torch.promote_types(W.dtype, torch.float32)
        if (delta := W1[name].to(wide) - W.to(wide)).any():
            updates[name] = delta
    return updates


def spectra(matrices: Mapping[str, Tensor], top: int = 64, seed: int = 0) -> dict[str, Spectrum]:
    """`spectrum` of each matrix, by name. `spectra(weight_updates(before, after))` is what training did to a model."""
    return {name: spectrum(W, min(top, *W.shape), seed) for name, W in matrices.items()}
