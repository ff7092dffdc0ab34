"""Pictures of chapter 01: copies of a photograph, circle to ellipse, rivals of the SVD, error and loss against rank."""

import torch
from torch import Tensor

from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, CourseFigure, figure
from lorakit.study.rank import Factors, break_even_rank


def picture_copies(picture: Tensor, ranks) -> CourseFigure:
    """The best copies of a grey `picture` (h, w), 0 to 1, at each of `ranks`, with the share of numbers they need."""
    factors = Factors.of(picture)
    *first, last = map(str, ranks)
    title = f"One photograph from {', '.join(first)} and {last} outer products"
    fig, axes = figure(title, columns=len(ranks), size=(2.1 * len(ranks), 3.1), grid=False)
    for ax, r in zip(axes, ranks, strict=True):
        ax.imshow(factors.approximation(r).numpy(), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[], xlabel=f"r = {r}\n{factors.truncation(r).share:.0%} of the numbers")
        ax.spines[:].set_visible(False)
    return fig


def circle_to_ellipse(M: Tensor) -> CourseFigure:
    """What M (2, 2) and its best copy of rank 1 make of the unit circle; arrows are s₁u₁ and s₂u₂."""
    angle = torch.linspace(0, 2 * torch.pi, 200)
    circle = torch.stack([angle.cos(), angle.sin()])  # (2, 200)
    factors = Factors.of(M)
    title = "M turns the circle into an ellipse; its rank-1 copy, into a line"
    fig, axes = figure(title, columns=2, size=(8, 3.2), sharey=True)
    for ax, matrix, name in zip(axes, (M, factors.approximation(1)), ("M x", "rank-1 copy of M, times x"), strict=True):
        ax.plot(*circle.numpy(), color=GREY, linewidth=1.5)
        ax.plot(*(matrix @ circle).numpy(), color=BLUE)
        ax.set(aspect="equal", xlabel=name)
    for i in range(2):
        u = (factors.s[i] * factors.U[:, i]) * factors.U[0, i].sign()  # u and -u serve alike: let it point right
        axes[0].annotate("", u.tolist(), (0, 0), arrowprops={"arrowstyle": "-|>", "lw": 2.2, "color": RED})
        axes[0].annotate(f"s{'₁₂'[i]}u{'₁₂'[i]}", (1.08 * u).tolist(), color=RED, va="center", annotation_clip=False)
    return fig


def descent_against(curve: list[float], floor: float, rivals: dict[str, float]) -> CourseFigure:
    """Relative error over the steps of a descent, beside two fixed rivals' errors and the SVD's, which is the floor."""
    fig, ax = figure("Gradient descent on B and A ends where the SVD is")
    for (name, error), colour, line in zip(rivals.items(), (PURPLE, ORANGE), (":", "-."), strict=True):
        ax.axhline(error, color=colour, linestyle=line, label=name)
    ax.plot(curve, color=BLUE, label="gradient descent")
    ax.axhline(floor, color=RED, linestyle="--", label="truncated SVD")
    ax.set(xlabel="step", ylabel="relative error", ylim=(0, 1.05))
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.55))
    return fig


def error_by_cost(title: str, matrices: dict[str, Tensor]) -> CourseFigure:
    """Relative error of the best copies of every rank against the numbers stored, as a share of the whole matrix."""
    fig, ax = figure(title)
    for (name, W), line in zip(matrices.items(), ("--", "-", "-", ":"), strict=False):
        factors = Factors.of(W)
        copies = [factors.truncation(r) for r in range(len(factors.s) + 1)]
        ax.plot([100 * c.share for c in copies], [c.relative_error for c in copies], linestyle=line, label=name)
    ax.axvline(100, color=BLACK, linestyle=":", linewidth=1.5)
    ax.text(101, 0.97, "break-even", va="top")
    ax.set(xlabel="numbers stored, r(d + k), in % of dk", ylabel="relative error", xlim=(0, 135), ylim=(0, 1.02))
    ax.legend(loc="upper center")
    return fig


def loss_by_rank(title: str, losses: dict[int, float], shape: tuple[int, int]) -> CourseFigure:
    """A model's loss with weights of `shape` replaced by copies of each rank; the last rank is the whole weight."""
    fig, ax = figure(title)
    ranks = list(losses)
    ax.plot(ranks, losses.values(), "o-", color=BLUE, label="weights replaced by copies of rank r")
    ax.axhline(losses[ranks[-1]], color=GREEN, linestyle="--", label="the model as it is")
    ax.axvline(break_even_rank(*shape), color=BLACK, linestyle=":", linewidth=1.5, label="break-even rank")
    ax.set(xlabel="rank r", ylabel="loss (nats per token)", ylim=(0, 1.08 * max(losses.values())))
    ax.set_xscale("symlog", base=2, linthresh=1, linscale=1)  # a logarithmic axis that has a place for 0
    ax.set_xticks(ranks, list(map(str, ranks)))
    ax.set_xlim(-0.3)
    ax.minorticks_off()
    ax.legend(loc="center left", bbox_to_anchor=(0.02, 0.42))
    return fig
