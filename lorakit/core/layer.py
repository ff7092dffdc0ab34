"""The adapted projection: y = W0 x + scaling * B A x, on nn.Linear, GPT-2's Conv1D, and slices of a fused one.

An adapted layer is the *same object* as before, with a class that adds to the old one: its weight keeps its name
in the state dict, references and hooks stay valid, and taking the adapter out is giving it its old class back.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit.core.errors import LoRAError
from lorakit.core.function import LoRAProjection, project
from lorakit.core.targets import is_conv1d, projection_shape
from lorakit.core.threads import Gate


class Adapter(nn.Module):
    """The two small matrices of one adapter on one projection.

    lora_A (n*r, in): the A of each of the n slices, stacked, so that one product serves them all.
    lora_B (sum of slice widths, r): the B of each slice, stacked. A whole projection is one slice, n = 1.
    """

    def __init__(self, shape: tuple[int, int], bounds, r: int, alpha: float, scaling: float, dropout: float, like):
        super().__init__()
        self.in_features, self.out_features = shape
        self.bounds, self.r, self.alpha, self.dropout = tuple(bounds), r, alpha, dropout
        self.unit_scaling = self.scaling = scaling
        self.whole = self.bounds == ((0, self.out_features),)
        widths = [stop - start for start, stop in self.bounds]
        # For each slice: its range of outputs, its columns of A x, its rows of lora_B.
        self.pieces = [
            (slice(*bound), slice(i * r, (i + 1) * r), slice(sum(widths[:i]), sum(widths[: i + 1])))
            for i, bound in enumerate(self.bounds)
        ]
        # Small steps vanish in half precision: the adapter of a half-precision base is kept in float32.
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        self.lora_A = nn.Parameter(torch.zeros(len(widths) * r, shape[0], device=like.device, dtype=dtype))
        self.lora_B = nn.Parameter(torch.zeros(sum(widths), r, device=like.device, dtype=dtype))

    def full_B(self) -> Tensor:
        """B for the whole projection, (out, n*r): block-diagonal, zero on the rows of slices that are not adapted."""
        if self.whole:
            return self.lora_B
        full = self.lora_B.new_zeros(self.out_features, self.lora_A.shape[0])
        for outputs, inner, block in self.pieces:
            full[outputs, inner] = self.lora_B[block]
        return full

    def delta_weight(self) -> Tensor:
        """The update scaling * B A as one matrix, (out, in)."""
        return self.scaling * (self.full_B() @ self.lora_A)

    def extra_repr(self) -> str:
        slices = "" if len(self.bounds) == 1 else f", slices={len(self.bounds)}"
        return f"r={self.r}, alpha={self.alpha:g}, scaling={self.scaling:g}{slices}"


class LoRALayer:
    """What an adapted projection has besides its own class; see adapted_class.

    adapters: every adapter that sits here, by name. live: the one that acts now, or None for the bare base.
    rows: the stacked adapters of a mixed batch. merged: the weight now holds W0 + delta; base_weight is W0.
    gate: the model's, closed while another thread changes adapters.
    """

    base_class: type
    live: Adapter | None
    rows: tuple[Tensor, Tensor] | None
    merged: bool
    gate: Gate

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and ("gate" not in self.__dict__ or self.gate.closed and self.gate.wait()):
            return type(self).forward(self, x)  # the layer may have become a plain one meanwhile
        if self.rows is not None:
            return self._mixed_forward(x, *self.rows)
        adapter = self.live
        if adapter is None:
            if self.merged and self.training and torch.is_grad_enabled():
                raise LoRAError("the adapter is merged into the weights: call unmerge(model) before training")
            return self.base_class.forward(self, x)
        autocast = torch.is_autocast_enabled(x.device.type)
        if autocast or not self.lean or torch.compiler.is_compiling() or self._base_is_trained():
            return self._plain_forward(x, adapter, autocast)
        A, B = adapter.lora_A.to(x.dtype), adapter.lora_B.to(x.dtype)  # cast what is small, never x
        p = adapter.dropout if self.training else 0.0
        if not torch.is_grad_enabled():
            return project(x, A, B, self, adapter, p)[0]
        weight = self.weight.T if self.transposed else self.weight
        return LoRAProjection.apply(x, A, B, weight, self, adapter, p)

    def _plain_forward(self, x: Tensor, adapter: Adapter, autocast: bool) -> Tensor:
        """The same sum in autograd's own operations, for the compiler, autocast, and classes we do not know."""
        if autocast and x.dtype != torch.float64:  # which autocast leaves alone
            x = x.to(torch.get_autocast_dtype(x.device.type))  # once, instead of once for W0 and once for A
        y = self.base_class.forward(self, x)  # (..., out)
        down = F.linear(F.dropout(x, adapter.dropout, self.training), adapter.lora_A.to(x.dtype))  # (..., n*r)
        return y + adapter.scaling * F.linear(down, adapter.full_B().to(x.dtype))

    def _mixed_forward(self, x: Tensor, A: Tensor, B: Tensor) -> Tensor:
        """Row i of the batch through its own adapter: A (rows, R, in), B (rows, out, R), scale folded into B."""
        if x.shape[0] != A.shape[0]:
            raise LoRAError(
                f"mixed_batch was given {A.shape[0]} names for a batch of {x.shape[0]} rows: give one name per row "
                "(for beam search, one per beam; what all rows share, as DeBERTa's positions, or what holds rows and "
                "tokens in one dimension, as OPT's fc1 and fc2, cannot be mixed)"
            )
        y = self.base_class.forward(self, x)
        rows = x.reshape(x.shape[0], -1, x.shape[-1])  # (rows, tokens, in)
        down = torch.bmm(rows, A.to(x.dtype).mT)  # (rows, tokens, R)
        out = y.reshape(y.shape[0], -1, y.shape[-1])
        return torch.baddbmm(out, down.to(out.dtype), B.to(out.dtype).mT).view(y.shape)

    def _base_is_trained(self) -> bool:
        return self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)

    def state_dict(self, *args, prefix: str = "", **kwargs):
        """A merged layer is a plain layer: its state dict is the merged weight alone, so nobody adds delta twice."""
        state = super().state_dict(*args, prefix=prefix, **kwargs)
        if self.merged:
            for key in [key for key in state if key.startswith(f"{prefix}adapters.")]:
                del state[key]
        return state

    def _load_from_state_dict(self, *args, **kwargs):
        if self.merged:
            raise LoRAError("the adapter is merged into the weights: call unmerge(model) before load_state_dict")
        super()._load_from_state_dict(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(in={self.shape[0]}, out={self.shape[1]}, adapters={dict(self.adapters)})"

    def __reduce_ex__(self, protocol):
        # The class is made at run time: rebuild it from its base.
        return _blank, (self.base_class,), self.__dict__


OWN_ATTRIBUTES = ("live", "rows", "merged", "shape", "transposed", "lean", "gate")
OWN_NAMES = {*OWN_ATTRIBUTES, "adapters", "base_weight"}


@functools.cache
def adapted_class(base_class: type) -> type:
    """The class of an adapted layer: LoRALayer in front of the layer's own class."""
    return type(f"LoRA{base_class.__name__}", (LoRALayer, base_class), {"base_class": base_class})


def _blank(base_class: type) -> nn.Module:
    cls = adapted_class(base_class)
    return cls.__new__(cls)


def adapt(module: nn.Module, gate: Gate) -> None:
    """Turn a projection into an adapted layer, in place; without adapters it computes what it computed before."""
    if isinstance(module, LoRALayer):
        return
    shape, transposed = projection_shape(module), is_conv1d(module)
    # Is the base's forward exactly x W^T + b, so that its backward is known?
    lean = type(module) is nn.Linear or type(module).__name__ == "Conv1D"
    adapters = nn.ModuleDict().train(module.training)
    # Straight into __dict__: `live` is one of `adapters`, not a second submodule.
    module.__dict__.update(live=None, rows=None, merged=False, shape=shape, transposed=transposed, lean=lean, gate=gate)
    module.adapters = adapters
    module.__class__ = adapted_class(type(module))


def restore(module: nn.Module) -> None:
    """Give an adapted layer its own class back."""
    module.__class__ = module.base_class
    del module.adapters
    for name in OWN_ATTRIBUTES:
        del module.__dict__[name]
