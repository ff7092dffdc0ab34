"""Checks and quiz of chapter 08."""

import torch

from lorakit.show.exercises import check_examples
from lorakit.show.quiz import Question, Quiz


def _directions(n, p, seed):
    return torch.linalg.qr(torch.randn(n, p, generator=torch.Generator().manual_seed(seed))).Q  # (n, p)


def _shared(U, V, i, j):
    return (U[:, :i].T @ V[:, :j]).square().sum().item()


_U, _V = _directions(8, 6, seed=0), _directions(8, 6, seed=1)
phi = check_examples(
    "08.1",
    "how much two subspaces share",
    right=lambda U, V, i, j: _shared(U, V, i, j) / min(i, j),
    inputs=[(_U, _V, 2, 5), (_U, _V, 5, 2), (_U, _V, 1, 1), (_U, _V, 3, 3)],
    wrong={
        "divide by `min(i, j)`: as it stands, larger subspaces seem to share more": _shared,
        "divided by the larger of the two: then a subspace inside a larger one would not reach 1": (
            lambda U, V, i, j: _shared(U, V, i, j) / max(i, j)
        ),
        "divided by i · j: only the smaller number of directions can be shared": (
            lambda U, V, i, j: _shared(U, V, i, j) / (i * j)
        ),
        "divided by i: right while i is the smaller, but φ(5, 2) is divided by 2": (
            lambda U, V, i, j: _shared(U, V, i, j) / i
        ),
        "the norm is not squared: φ adds up squared cosines": lambda U, V, i, j: _shared(U, V, i, j) ** 0.5 / min(i, j),
        "all columns are used: take the first i of U and the first j of V": (
            lambda U, V, i, j: _shared(U, V, 6, 6) / min(i, j)
        ),
        "you took rows: the directions are columns, `U[:, :i]`": (
            lambda U, V, i, j: (U[:i] @ V[:j].T).square().sum().item() / min(i, j)
        ),
    },
    done="right: 1 when the smaller subspace lies inside the larger one, 0 at right angles",
)

chance = check_examples(
    "08.2",
    "what chance gives",
    right=lambda i, j, n: max(i, j) / n,
    inputs=[(1, 1, 256), (1, 64, 256), (64, 8, 256), (64, 64, 12288)],
    wrong={
        "min instead of max: i · j / n is divided by min(i, j), and the larger one stays": (
            lambda i, j, n: min(i, j) / n
        ),
        "that is the expected sum of the i · j squared cosines: divide it by min(i, j)": lambda i, j, n: i * j / n,
        "1 / n is one squared cosine: how many of them does φ add up?": lambda i, j, n: 1 / n,
        "one squared cosine is 1 / n on average, not 1 / n²": lambda i, j, n: max(i, j) / n**2,
        "upside down": lambda i, j, n: n / max(i, j),
    },
    done="right: at n = 256 two random 64-dimensional subspaces share a quarter, at GPT-3's n = 12,288 half a percent",
)

appendix_g = check_examples(
    "08.3",
    "Appendix G, mended",
    right=lambda d, p: 1 - d**2 / p,
    inputs=[(0.0, 4), (2.0, 4), (1.0, 4), (1.0, 1), (0.5, 8)],
    wrong={
        "that is the printed formula: identical subspaces (d = 0) would get 1 / p instead of 1": (
            lambda d, p: (1 - d**2) / p
        ),
        "d is not squared: d² = p − Σσ²": lambda d, p: 1 - d / p,
        "p − d² is Σσ², the sum: φ divides it by p": lambda d, p: p - d**2,
        "that is the share which is not common: φ is 1 minus it": lambda d, p: d**2 / p,
        "the / p is missing: at right angles d² = p": lambda d, p: 1 - d**2,
    },
    done="right: identical subspaces have d = 0 and φ = 1, orthogonal ones d² = p and φ = 0",
)


def _factor(W, delta, r):
    U, s, Vh = torch.linalg.svd(delta)
    return (s.norm() / (U[:, :r].T @ W @ Vh[:r].T).norm()).item()


def _along(U, Vh, W, r):
    return (U[:, :r].T @ W @ Vh[:r].T).norm()


def _of_W(W, delta, r):
    U, _, Vh = torch.linalg.svd(W)
    return (delta.norm() / _along(U, Vh, W, r)).item()


def _transposed(W, delta, r):
    U, s, Vh = torch.linalg.svd(delta)
    return (s.norm() / (U[:, :r].T @ W @ Vh.T[:r].T).norm()).item()


def _rows_of_U(W, delta, r):
    U, s, Vh = torch.linalg.svd(delta)
    return (s.norm() / (U[:r] @ W @ Vh[:r].T).norm()).item()


def _spectral(W, delta, r):
    U, s, Vh = torch.linalg.svd(delta)
    return (s[0] / _along(U, Vh, W, r)).item()


def _update_along_itself(W, delta, r):
    U, s, Vh = torch.linalg.svd(delta)
    return (s.norm() / _along(U, Vh, delta, r)).item()


_W = torch.randn(6, 6, generator=torch.Generator().manual_seed(2))
_DELTA = torch.randn(6, 6, generator=torch.Generator().manual_seed(3))
factor = check_examples(
    "08.4",
    "the amplification factor",
    right=_factor,
    inputs=[(_W, _DELTA, 1), (_W, _DELTA, 2), (_W, _DELTA, 4)],  # square: a wrong transpose runs without error
    wrong={
        "upside down: ‖ΔW‖ stands above the line": lambda W, delta, r: 1 / _factor(W, delta, r),
        "divided by ‖W‖, which is W along all directions: only the first r of ΔW's count": (
            lambda W, delta, r: (delta.norm() / W.norm()).item()
        ),
        "those are W's own directions: take the SVD of ΔW": _of_W,
        "Vh is turned the wrong way: its rows are the directions, so V is `Vh[:r].T`": _transposed,
        "you took rows of U: its directions are columns, `U[:, :r]`": _rows_of_U,
        "‖ΔW‖ is the Frobenius norm: all singular values, not the largest alone": _spectral,
        "between U and V stands W, not ΔW": _update_along_itself,
    },
    done="right: how far ΔW outweighs W in the directions that ΔW chose",
)

quiz = Quiz(
    "08",
    [
        Question(
            "φ(64, 64) = 0.25 between two adapters in R²⁵⁶. Have they learnt the same thing?",
            (
                "No evidence of it: chance alone gives 0.25",
                "A quarter of it: one direction in four is shared",
                "Yes: any φ above 0 means that directions are shared",
            ),
            0,
            (
                "max(64, 64) / 256 = 0.25, give or take 0.004. Always read φ beside its floor.",
                "Two random 64-dimensional subspaces of R²⁵⁶ have φ = 0.25 as well, with nothing learnt.",
                "φ of random subspaces is never 0: it is max(i, j) / n on average.",
            ),
        ),
        Question(
            "You compare A of two adapters that started from one seed, and φ(8, 64) is 0.99. What do you do?",
            (
                "Repeat it across seeds: φ may see only the random start",
                "Report that both ranks have learnt the same directions",
                "Train both for longer: then the random start fades from A",
            ),
            0,
            (
                "At step 0 the first 8 rows of the large A were the small A. Against another seed φ is at the floor.",
                "The same would be seen without any training.",
                "It does not fade: training adds to A, and at the end all of the start was still in it.",
            ),
        ),
        Question(
            "An amplification factor of 20 is reported, with no random column. What does it show?",
            (
                "Little: a random update can have a larger factor",
                "That ΔW strengthens W's most important directions 20 times",
                "That training went wrong: ΔW has outgrown W itself",
            ),
            0,
            (
                "The factor is large where W does little. Only the random column says whether W does anything there.",
                "The middle column says the opposite: W's own top directions hold far more of W than ΔW's do.",
                "As a whole ΔW stays far below W: 6.91 against 61.95 in the paper. Only in its own few directions "
                "does it outweigh W, and that is how it changes the answer.",
            ),
        ),
        Question(
            "Why do the outputs of two neighbouring layers' queries share no direction, while their inputs do?",
            (
                "Layers read one residual stream, but write in axes of their own",
                "Their B matrices start at zero, so the layers have no start in common",
                "Each layer is trained apart, with a learning rate of its own",
            ),
            0,
            (
                "Only vectors of one space can be compared. The floor is what comparing different spaces gives.",
                "In one layer, two seeds' B start at zero as well, and yet they agree (section 4).",
                "All layers are trained together, at one learning rate.",
            ),
        ),
    ],
)
