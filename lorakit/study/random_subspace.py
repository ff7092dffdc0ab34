"""Train a model inside a random d-dimensional subspace: θ = θ₀ + P θ_d, with P fixed and θ_d all that learns.

How many dimensions an adaptation needs, its *intrinsic dimension*, is the d at which this reaches 90 % of what
training everything reaches (Li et al. 2018, arXiv 1804.08838; for fine-tuning: Aghajanyan et al. 2020, arXiv
2012.13255). P would have D × d values for D parameters, so it is never written down: `Fastfood` applies it.

θ holds every parameter of the transformer's blocks: matrices, biases and norms, D in all. The embeddings stay as they
are (GPT-2's are tied to its output layer: moving them would move the output too), and so does the last norm.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lorakit.core.errors import LoRAError
from lorakit.rivals.parts import blocks, refuse_adapted
from lorakit.study.fastfood import Fastfood

NAME = "random_subspace"  # the submodule of the model that holds θ_d and P while they are attached


def attach(model: nn.Module, d: int, seed: int = 0) -> nn.Parameter:
    """Freeze `model` and let it move in `d` random directions only; returns θ_d (d,), the one trained parameter.

    θ_d is zero, so the model computes what it did before, until θ_d is trained: `model.named_parameters()` has it,
    so any optimizer finds it. P, fixed by `seed`, takes 9 bytes per parameter and has columns of length about 1:
    ‖Δθ‖ ≈ ‖θ_d‖. Weights are computed as θ₀ + P θ_d when they are used, P θ_d before every forward pass of `model`, in
    float32 also under autocast. Raises LoRAError where there are no blocks or adapters already, or d is out of range.
    """
    refuse_adapted(model, Subspace)
    places = _block_parameters(model)
    D = sum(getattr(module, name).numel() for module, name in places)
    if not 1 <= d <= D:
        raise LoRAError(f"d must be between 1 and {D:,}, the number of parameters in the blocks, got {d:,}")
    space = Subspace(Fastfood(d, D, seed), places).to(next(model.parameters()).device)
    model.requires_grad_(False)
    model.add_module(NAME, space)
    space.move()
    space.hook = model.register_forward_pre_hook(space.move)
    for index, (module, name) in enumerate(places):
        # unsafe: the shape and dtype are right by construction, and checking them would compute P θ_d 48 times over.
        parametrize.register_parametrization(module, name, _Moved(space, index), unsafe=True)
    return space.theta


def fold(model: nn.Module) -> None:
    """Write θ₀ + P θ_d into the weights and take the subspace off: an ordinary frozen model, at its old speed."""
    space = getattr(model, NAME)
    space.move()  # θ_d may have changed since the last forward pass
    space.hook.remove()
    for module, name in space.places:
        parametrize.remove_parametrizations(module, name)
    delattr(model, NAME)


def intrinsic_dimension(accuracy: dict[int, float], full: float, share: float = 0.9) -> int | None:
    """d₉₀: the smallest d in `accuracy` (d → score) that reaches `share` of the score of training everything, `full`.

    None where no d does. Its precision is that of the list of d's tried. Li et al. 2018, section 3.1.
    """
    return min((d for d, score in accuracy.items() if score >= share * full), default=None)


class Subspace(nn.Module):
    """θ_d, P, and the pieces of P θ_d, one for each tensor that moves: `places` are their (module, name)."""

    def __init__(self, projection: Fastfood, places: list[tuple[nn.Module, str]]) -> None:
        super().__init__()
        self.projection, self.places = projection, places
        self.sizes = [getattr(module, name).numel() for module, name in places]
        self.theta = nn.Parameter(torch.zeros(projection.d))

    def move(self, *_) -> None:
        """Take the pieces from θ_d as it is now. (For all tensors at once: each alone would compute all of P θ_d.)"""
        self.pieces = self.projection(self.theta).split(self.sizes)


class _Moved(nn.Module):
    """The parametrization of one tensor: θ₀ there, plus its piece of P θ_d."""

    def __init__(self, space: Subspace, index: int) -> None:
        super().__init__()
        # In a tuple, so that the space is not a submodule here too: it belongs to the model, once.
        self.space, self.index = (space,), index

    def forward(self, original: Tensor) -> Tensor:
        return original + self.space[0].pieces[self.index].view_as(original).to(original.dtype)


def _block_parameters(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """(module, name) of every parameter in the transformer's blocks, in order."""
    modules = blocks(model)[1].modules()
    return [(module, name) for module in modules for name, p in module._parameters.items() if p is not None]
