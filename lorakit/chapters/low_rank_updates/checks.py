"""Checks and quiz of chapter 02."""

import torch

from lorakit.show.exercises import NOTHING, check_examples, expect
from lorakit.show.quiz import read_quiz


def _tokens():
    """Inputs (n, t, k) and gradients at the outputs (n, t, d) of a layer y = W x, W (d, k)."""
    return [(torch.randn(3, 5, 4), torch.randn(3, 5, 6)), (torch.randn(2, 3, 4), torch.randn(2, 3, 4))]


def _gradient(x, g):
    return torch.einsum("ntd,ntk->dk", g, x)


weight_gradient = check_examples(
    "02.1",
    "the gradient of a weight",
    right=_gradient,
    inputs=_tokens,
    wrong={
        "that is (k, d), the gradient of Wᵀ: g's side comes first": "->dk → ->kd",
        "the texts are still apart: sum over them too": "->dk → ->ndk",
        "only the first text was counted: sum over the batch": "g, x) → g[:1], x[:1])",
        "a mean over the tokens: the loss's mean is in g already: add them up": "g, x) → g, x / x[..., 0].numel())",
        "that is one outer product, of sums; what is asked for is a sum of outer products": "ntd,ntk → ntd,mlk",
        NOTHING: "return → _ =",
    },
    tolerance=1e-4,
    formula="the sum over all tokens of g times x, column times row",
    done="right: n·t outer products, so the rank is at most n·t, however large W is",
)


def _two_weights():
    W0 = torch.randn(9, 7)
    W1 = W0 + 0.3 * torch.randn(9, 7)
    return [(W0, W1, r, alpha) for r, alpha in ((1, 16), (3, 16), (2, 5))]


def _update(answer):
    """The ΔW that an answer to 02.2 stands for: its factors are not unique, their product is."""

    def update(W0, W1, r, alpha):
        found = answer(W0, W1, r, alpha)
        if found is None:
            return None
        A, B = found
        shapes = f"got {tuple(A.shape)} and {tuple(B.shape)}"
        right = A.shape == (r, W0.shape[1]) and B.shape == (W0.shape[0], r)
        expect(right, f"return lora_A (r, k), then lora_B (d, r): {shapes}")
        return alpha / r * B @ A

    return update


def _to_adapter(W0, W1, r, alpha):
    U, s, Vh = torch.linalg.svd(W1 - W0, full_matrices=False)
    return Vh[:r], U[:, :r] * s[:r] / (alpha / r)


as_adapter = check_examples(
    "02.2",
    "a full fine-tuning as an adapter",
    right=_to_adapter,
    inputs=_two_weights,
    seen=_update,
    wrong={
        "the layer multiplies B A by alpha / r: divide by it here": " / (alpha / r) → ",
        "multiplied by alpha / r where it must be divided": "/ (alpha → * (alpha",
        "the singular values are missing": " * s[:r] → ",
        "s went into both factors, so it is squared in the product": "return Vh[:r] → return s[:r, None] * Vh[:r]",
        "the scaling was divided out of both factors": "return Vh[:r] → return Vh[:r] / (alpha / r)",
        "return lora_A (r, k), then lora_B (d, r)": (
            "return Vh[:r], U[:, :r] * s[:r] / (alpha / r) → return U[:, :r] * s[:r] / (alpha / r), Vh[:r]"
        ),
        "the whole weight was cut: take W1 - W0 apart": "W1 - W0 → W1",
        "the wrong way round: ΔW is after minus before": "W1 - W0 → W0 - W1",
        NOTHING: "return → _ =",
    },
    tolerance=1e-4,
    done="right: a LoRA that was never trained as one. Tools that extract adapters from fine-tuned models do this",
)


def _subspace(A, d):
    return torch.block_diag(*[A.T] * d)


subspace_of = check_examples(
    "02.3",
    "LoRA with A fixed, as a subspace",
    right=_subspace,
    inputs=lambda: [(torch.randn(2, 5), 3), (torch.randn(3, 4), 4)],
    wrong={
        "the blocks are A, and must be Aᵀ: row i of B A is Aᵀ times row i of B": "A.T → A",
        "in the other order: `flatten` goes row by row, so row i of B meets row i of B A alone": (
            "torch.block_diag(*[A.T] * d) → torch.kron(A.T.contiguous(), torch.eye(d))"
        ),
        "that is one block: each of the d rows of B needs its own": " * d → ",
        "every row of B was mapped to every row of B A: off the diagonal are zeros": (
            "torch.block_diag(*[A.T] * d) → A.T.repeat(d, d)"
        ),
        NOTHING: "return → _ =",
    },
    formula="those for which P @ B.flatten() is (B @ A).flatten()",
    done="right: a subspace of d·r dimensions, drawn at random with A, that never leaves rank r",
)

quiz = read_quiz("02", __file__)
