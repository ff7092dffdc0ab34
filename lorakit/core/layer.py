"""LoRA on one projection: W0 stays as it is, and a detour through r dimensions is added (Hu et al. 2021, eq. 3).

              ┌───── W0 (d, k), frozen ─────┐
 x (…, k) ────┤                             + ──── y (…, d)            y = W0 x + b + scaling · B A x
              └── A (r, k) ─ B (d, r) ─ · ──┘

k, d      input and output features of the projection: in_features, out_features
r         rank of the update, the width of the detour: for example 8 where k is 768
A         lora_A (r, k), Gaussian at the start
B         lora_B (d, r), zero at the start: so y is the base's until the first step
scaling   alpha / r; alpha is how strong the update is
W0        nn.Linear stores it as (d, k), GPT-2's Conv1D as (k, d)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorakit.core.adapted import Adapted
from lorakit.core.errors import LoRAError
from lorakit.core.state import Rows

SLICES = ("q", "k", "v")  # as a fused projection holds them, side by side


class Adapter(nn.Module):
    """A and B of one adapter on one projection, or on n slices of a fused one (n = 1: the whole of it).

    lora_A (n*r, k): the A of each slice, stacked, so that one product serves them all.
    lora_B (n*width, r): the B of each slice, stacked; its width is d, or in_features where q, k and v lie side by side.
    """

    def __init__(self, shape: tuple[int, int], slices, r: int, alpha: float, scaling: float, dropout: float, like):
        super().__init__()
        self.in_features, self.out_features = k, d = shape
        self.slices, self.r, self.alpha, self.scaling, self.dropout = slices, r, alpha, scaling, dropout
        starts, width = ([SLICES.index(name) * k for name in slices], k) if slices else ([0], d)
        # For each slice: its range of outputs, its columns of A x, its rows of lora_B.
        self.pieces = [
            (slice(start, start + width), slice(i * r, (i + 1) * r), slice(i * width, (i + 1) * width))
            for i, start in enumerate(starts)
        ]
        # Small steps vanish in half precision: the adapter of a half-precision base is kept in float32.
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        self.lora_A = nn.Parameter(torch.zeros(len(starts) * r, k, device=like.device, dtype=dtype))
        self.lora_B = nn.Parameter(torch.zeros(len(starts) * width, r, device=like.device, dtype=dtype))

    def full_B(self) -> Tensor:
        """B for the whole projection, (d, n*r): block-diagonal, zero on the rows of slices that are not adapted."""
        if not self.slices:
            return self.lora_B
        full = self.lora_B.new_zeros(self.out_features, self.lora_A.shape[0])
        for outputs, inner, block in self.pieces:
            full[outputs, inner] = self.lora_B[block]
        return full

    def forward(self, x: Tensor, y: Tensor, scaling: float, in_place: bool) -> Tensor:
        """y + scaling * B A x, in y itself where it may be; x (tokens, k), y (tokens, d), else of any shape.

        A module that is called, so that what others hang on it runs: accelerate's offloading brings A and B along.
        """
        if self.dropout:  # even dropout of nothing is a call, a tenth of what the adapter adds at one token
            x = F.dropout(x, self.dropout, self.training)
        A = self.lora_A
        # In half precision the smaller is cast: A and B, or for a few tokens x, which takes 0.4 of the time there.
        if in_place and x.dtype.itemsize < A.dtype.itemsize and len(x) <= 2 * self.r:
            return y.add_(F.linear(F.linear(x.to(A.dtype), A), self.full_B()), alpha=scaling)
        down = F.linear(x, A.to(x.dtype))  # (tokens, n*r)
        if not in_place:
            return y + scaling * F.linear(down, self.full_B().to(x.dtype)).view(y.shape)
        if not self.slices or torch.is_grad_enabled():  # autograd copies the whole gradient for a change to a part of y
            return y.addmm_(down, self.full_B().to(y.dtype).T, alpha=scaling)
        for outputs, inner, block in self.pieces:
            y[:, outputs].addmm_(down[:, inner], self.lora_B[block].to(y.dtype).T, alpha=scaling)
        return y

    def delta_weight(self) -> Tensor:
        """The update as trained, scaling * B A, as one matrix (d, k)."""
        return self.scaling * (self.full_B() @ self.lora_A)

    def extra_repr(self) -> str:
        slices = "" if len(self.slices) < 2 else f", slices={len(self.slices)}"
        return f"r={self.r}, alpha={self.alpha:g}, scaling={self.scaling:g}{slices}"


class LoRALayer(Adapted):
    """An adapted projection."""

    transposed: bool  # a Conv1D, whose weight is (k, d)
    plain: bool  # its own class computes x W^T + b and nothing else

    def forward(self, x: Tensor) -> Tensor:
        choice = self.switch.now()
        if self.training:
            choice.refuse_training()
        if choice.rows is not None:
            return self._forward_rows(x, choice.rows)
        adapter = None if choice.merged else self.adapters._modules.get(choice.name)
        if adapter is None:
            return self.base_class.forward(self, x)
        autocast = not x.is_meta and torch.is_autocast_enabled(x.device.type)
        if autocast and x.dtype != torch.float64:  # which autocast leaves alone
            x = x.to(torch.get_autocast_dtype(x.device.type))  # once, instead of once for W0 and once for A
        scaling = adapter.scaling * choice.strength
        flat = x.reshape(-1, x.shape[-1])  # (tokens, k)
        if autocast or not self.plain or x.dim() < 2 or not x.is_contiguous():
            return adapter(flat, self.base_class.forward(self, x), scaling, in_place=False)  # (..., d)
        # The same sum in place: from 128 tokens on 0.3 to 0.6 of PEFT's added time forward, 0.2 to 0.8 in a step. Not
        # from x: a product of a 3-D x is a view, and for a view changed in place autograd copies the whole gradient.
        y = F.linear(flat, self.weight.T if self.transposed else self.weight, self.bias)  # (tokens, d)
        return adapter(flat, y, scaling, in_place=True).view(*x.shape[:-1], y.shape[-1])

    def _forward_rows(self, x: Tensor, rows: Rows) -> Tensor:
        """Each row of the batch through its own adapter."""
        y = self.base_class.forward(self, x)
        if self not in rows.stacks:
            return y
        A, B, scaling = rows.stacks[self]  # (rows, R, k), (rows, d, R), (rows, 1, 1)
        if x.shape[0] not in (rows.count, rows.count * rows.beams):
            beams = f" and beams={rows.beams}" if rows.beams > 1 else ""
            raise LoRAError(
                f"using was given {rows.count} names{beams} for a batch of {x.shape[0]} rows: give one name per row "
                "(for beam search also beams=n; what all rows share, as DeBERTa's positions, or what holds rows and "
                "tokens in one dimension, as OPT's fc1 and fc2, cannot be told apart by row)"
            )
        flat = x.reshape(len(A), -1, x.shape[-1])  # (rows, tokens, k): a row's beams and its like are more tokens of it
        down = torch.bmm(flat, A.to(x.dtype).mT) * scaling  # (rows, tokens, R)
        out = y.reshape(len(A), -1, y.shape[-1])
        return torch.baddbmm(out, down.to(out.dtype), B.to(out.dtype).mT).view(y.shape)

    @property
    def active(self) -> Adapter | None:
        """The adapter that acts here by default, merged or not; None for the bare base."""
        return self.adapters._modules.get(self.switch.default.name)

    @property
    def merged(self) -> bool:
        """Does the weight hold W0 + scaling * B A now? W0 is then kept in `base_weight`."""
        return "base_weight" in self._buffers

    def __repr__(self) -> str:
        k, d = self.weight.shape if self.transposed else (self.in_features, self.out_features)
        return f"{type(self).__name__}(in={k}, out={d}, adapters={dict(self.adapters)})"
