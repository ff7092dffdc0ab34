"""Forward and backward of an adapted projection, saving only x and x A^T."""

import torch
from torch.autograd.function import once_differentiable


def project(x, lora_A, lora_B, layer, adapter, p):
    """y = W0 x + b + scaling * B A x, with the scale and the add folded into the product with B.

    x (..., in); lora_A (n*r, in); lora_B (sum of widths, r); p: dropout on the adapter's input.
    Returns y (..., out), A x (tokens, n*r), the dropout mask or None, and the scaling used.
    """
    y = layer.base_class.forward(layer, x).contiguous()  # the base's own operation: equal to it bit for bit
    rows = x.reshape(-1, x.shape[-1])  # (tokens, in)
    mask, scaling = None, adapter.scaling
    if p:
        mask = torch.empty_like(rows, dtype=torch.bool).bernoulli_(1 - p)
        rows, scaling = rows * mask, scaling / (1 - p)
    down = rows @ lora_A.T  # (tokens, n*r)
    out = y.view(-1, y.shape[-1])
    if adapter.whole:
        out.addmm_(down, lora_B.T, alpha=scaling)
    else:
        for outputs, inner, block in adapter.pieces:
            out[:, outputs].addmm_(down[:, inner], lora_B[block].T, alpha=scaling)
    return y, down, mask, scaling


class LoRAProjection(torch.autograd.Function):
    """`project` for training, with W0 and b frozen.

    Composed from autograd's own operations the same sum costs three more passes over full-size tensors
    (scaling the update, adding it forward, adding its gradient backward). Here: none.
    """

    @staticmethod
    def forward(ctx, x, lora_A, lora_B, weight, layer, adapter, p):
        # weight (out, in): a view of the frozen W0, for the backward pass
        y, down, mask, ctx.scaling = project(x, lora_A, lora_B, layer, adapter, p)
        ctx.save_for_backward(x, down, lora_A, lora_B, weight, mask)
        ctx.pieces = None if adapter.whole else adapter.pieces
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, down, lora_A, lora_B, weight, mask = ctx.saved_tensors
        need_x, need_A, need_B = ctx.needs_input_grad[:3]
        g = grad.reshape(-1, grad.shape[-1])  # (tokens, out)
        grad_x = grad_A = grad_B = None
        if need_x or need_A:
            t = torch.mm(g, lora_B) if ctx.pieces is None else torch.empty_like(down)  # of A x: (tokens, n*r)
            for outputs, inner, block in ctx.pieces or ():
                torch.mm(g[:, outputs], lora_B[block], out=t[:, inner])
            t.mul_(ctx.scaling)
        if need_A:
            rows = x.reshape(-1, x.shape[-1])
            grad_A = t.T @ (rows if mask is None else rows * mask)
        if need_B:
            grad_B = torch.mm(g.T, down) if ctx.pieces is None else torch.empty_like(lora_B)
            for outputs, inner, block in ctx.pieces or ():
                torch.mm(g[:, outputs].T, down[:, inner], out=grad_B[block])
            grad_B.mul_(ctx.scaling)
        if need_x:
            grad_x = g @ weight  # (tokens, in)
            if mask is None:
                grad_x.addmm_(t, lora_A)
            else:
                grad_x.add_((t @ lora_A).mul_(mask))
            grad_x = grad_x.view(x.shape)
        return grad_x, grad_A, grad_B, None, None, None, None
