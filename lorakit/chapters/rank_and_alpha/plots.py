"""Recorded sweeps as figures: over ranks, over choices of matrices, over alpha and learning rate.

Every title is worked out from the rows, so that it cannot say what they do not.
"""

from collections.abc import Sequence

from lorakit.chapters.rank_and_alpha.rank_sweep import MEASURES, RankSweep
from lorakit.lab.old_records import Summary, best_lr, select, summarise
from lorakit.show.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, figure


def rank_figure(sweep: RankSweep):
    """Test metric over rank: means with the seeds' range, at the own and at the shared learning rate, beside full."""
    fig, ax = figure(_capital(sweep.verdict()), size=(9, 4.2))
    ranks = sorted(sweep.own)
    full = sweep.full
    ax.axhspan(full.low, full.high, color=GREY, alpha=0.18, linewidth=0)
    ax.axhline(full.mean, color=GREY, label=f"full fine-tuning, {full.n} seeds")
    shared = f"one learning rate for all: {sweep.shared_lr:g}"
    if sweep.own == sweep.shared:
        lines = [("own", BLUE, "o", 1, f"learning rate {sweep.shared_lr:g}: best for each rank, and for all")]
    else:
        lines = [("own", BLUE, "o", 0.96, "each rank's own learning rate"), ("shared", ORANGE, "s", 1.04, shared)]
    for which, colour, marker, nudge, label in lines:
        found = getattr(sweep, which)
        _errors(ax, [r * nudge for r in ranks], [found[r] for r in ranks], colour, marker, label)
    _rank_axis(ax, ranks)
    ax.set(ylabel=sweep.measure.label)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return fig


def share_figure(sweeps: Sequence[RankSweep], names: Sequence[str]):
    """The share of full fine-tuning's gain that each rank recovers, a line for each task."""
    ranks = sorted(set.intersection(*(set(sweep.own) for sweep in sweeps)))
    shares = [f"{100 * s.share(ranks[0]):.0f} % on {name}" for s, name in zip(sweeps, names, strict=True)]
    fig, ax = figure(f"Rank {ranks[0]} reaches {', '.join(shares)}", size=(9, 4))
    ax.axhline(100, color=GREY, linestyle=":")
    for sweep, name, colour, marker in zip(sweeps, names, (BLUE, GREEN), "os", strict=False):
        ax.plot(ranks, [100 * sweep.share(r) for r in ranks], marker=marker, color=colour, label=name)
    _rank_axis(ax, ranks)
    ax.set(ylabel="share of full\nfine-tuning's gain (%)", ylim=(0, 125))
    ax.legend(loc="lower right")
    return fig


def targets_name(targets: Sequence[str]) -> str:
    return ", ".join(targets)


def at_best_rate(rows: Sequence[dict]) -> dict[tuple, Summary]:
    """The test metric of every (targets, r, learning rate) whose rate validation prefers at seed 0, over all seeds."""
    measure = MEASURES[rows[0]["run"]["task"]]
    rates = best_lr(select(rows, seed=0), ("targets", "r"), f"validation.{measure.name}")
    every = measure.summaries(rows, ("targets", "r", "lr"))
    return {(*key, lr): every[*key, lr] for key, lr in rates.items()}


def matrices_figure(rows: Sequence[dict]):
    """One line for each choice of matrices at an equal number of parameters: mean, seeds' range, best at the top.

    Each choice is shown at its own best learning rate.
    """
    measure = MEASURES[rows[0]["run"]["task"]]
    found = at_best_rate(rows)
    order = sorted(found, key=lambda key: found[key].mean, reverse=measure.lower)
    best, worst = order[-1], order[0]
    task = {"text_to_sql": "text-to-SQL", "python": "Python source"}[rows[0]["run"]["task"]]
    title = f"Best for {task} at this budget: {targets_name(best[0])}. Worst: {targets_name(worst[0])}"
    fig, ax = figure(title, size=(9, 4.4))
    for y, key in enumerate(order):
        s = found[key]
        colour = RED if "mlp" in key[0] else BLUE
        ax.plot([s.low, s.high], [y, y], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
        ax.plot([s.mean], [y], "o", color=colour, markersize=10)
    ax.set(yticks=range(len(order)), xlabel=measure.label)
    ax.set_yticklabels([f"{targets_name(targets)}  (r = {r})" for targets, r, _ in order])
    ax.plot([], [], "o", color=RED, label="with the MLP")
    ax.plot([], [], "o", color=BLUE, label="attention only")
    ax.legend(loc="lower left" if measure.lower else "lower right")
    return fig


def heat_map(rows: Sequence[dict], metric: str = "test.execution"):
    """alpha × learning rate: a number in every cell; along a diagonal alpha × learning rate is the same."""
    alphas = sorted({row["run"]["alpha"] for row in rows})
    rates = sorted({row["run"]["lr"] for row in rows})
    found = {s.key: 100 * s.mean for s in summarise(rows, ("alpha", "lr"), metric)}
    near = sum(percent > max(found.values()) - 6 for percent in found.values())
    title = f"{near} of {len(found)} pairs come within 6 points of the best"
    fig, ax = figure(title, size=(8, 4.4), grid=False)
    grid = [[found.get((a, lr), float("nan")) for lr in rates] for a in alphas]
    image = ax.imshow(grid, origin="lower", aspect="auto", vmin=0, vmax=max(found.values()))
    for (alpha, lr), percent in found.items():
        colour = "white" if percent < 0.6 * max(found.values()) else "black"
        place = rates.index(lr), alphas.index(alpha)
        ax.text(*place, f"{percent:.0f}", ha="center", va="center", color=colour, fontsize=16)
    ax.set(xticks=range(len(rates)), yticks=range(len(alphas)), xlabel="learning rate", ylabel="alpha  (r = 8)")
    ax.set_xticklabels([f"{lr:g}" for lr in rates])
    ax.set_yticklabels([f"{a:g}" for a in alphas])
    ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=ax, label="test answers right (%)")
    return fig


def collapse_figure(rows: Sequence[dict], metric: str = "test.execution", ylabel: str = "test answers right (%)"):
    """The same runs over alpha × learning rate: if that product were all that counts, the lines would be one."""
    products = sorted({round(row["run"]["alpha"] * row["run"]["lr"], 9) for row in rows})
    factor = 100 if metric.endswith("execution") else 1
    found = {s.key: factor * s.mean for s in summarise(rows, ("alpha", "lr"), metric)}
    widest, gap = widest_gap(found)
    unit = " points" if factor == 100 else ""
    title = f"Same alpha × learning rate, up to {gap:.{0 if factor == 100 else 2}f}{unit} apart"
    fig, ax = figure(title, size=(9, 4.2))
    styles = zip((SKY, BLUE, GREEN, ORANGE, RED, PURPLE), "ovs^Dp", strict=True)
    for alpha, (colour, marker) in zip(sorted({a for a, _ in found}), styles, strict=False):
        line = sorted((a * lr, y) for (a, lr), y in found.items() if a == alpha)
        ax.plot(*zip(*line, strict=True), marker=marker, color=colour, label=f"alpha = {alpha:g}")
    ax.axvline(widest, color=BLACK, linestyle=":", linewidth=1.5)
    ax.set(xscale="log", xlabel="alpha × learning rate", ylabel=ylabel, xticks=products)
    ax.set_xticklabels([f"{product:.3g}" for product in products])
    ax.minorticks_off()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
    return fig


def widest_gap(found: dict[tuple[float, float], float]) -> tuple[float, float]:
    """Where runs of one product alpha × lr differ most: (product, difference). `found` is by (alpha, lr)."""
    groups: dict[float, list[float]] = {}
    for (alpha, lr), y in found.items():
        groups.setdefault(round(alpha * lr, 9), []).append(y)
    return max(((product, max(ys) - min(ys)) for product, ys in groups.items()), key=lambda pair: pair[1])


def rslora_figure(rows: Sequence[dict]):
    """alpha / r against alpha / √r over rank at one alpha and one learning rate."""
    measure = MEASURES[rows[0]["run"]["task"]]
    found = measure.summaries(rows, ("use_rslora", "r"))
    ranks = sorted({r for _, r in found})
    gains = {
        rule: max(measure.gain(found[rule, ranks[0]].mean, found[rule, r].mean) for r in ranks)
        for rule in (False, True)
    }
    unit = "bits per byte" if measure.lower else "points"
    title = f"More rank gains {gains[False]:.2g} {unit} with alpha / r, {gains[True]:.2g} with alpha / √r"
    fig, ax = figure(title, size=(9, 4))
    for rule, colour, marker, nudge in ((False, BLUE, "o", 0.97), (True, ORANGE, "s", 1.03)):
        label = "alpha / √r (rsLoRA)" if rule else "alpha / r"
        _errors(ax, [r * nudge for r in ranks], [found[rule, r] for r in ranks], colour, marker, label)
    _rank_axis(ax, ranks)
    ax.set(ylabel=measure.label)
    ax.legend()
    return fig


def _errors(ax, xs, summaries, colour, marker, label) -> None:
    means = [s.mean for s in summaries]
    down, up = [s.mean - s.low for s in summaries], [s.high - s.mean for s in summaries]
    ax.errorbar(xs, means, yerr=[down, up], color=colour, marker=marker, capsize=5, label=label)


def _rank_axis(ax, ranks) -> None:
    ax.set(xscale="log", xticks=ranks, xlabel="rank r")
    ax.set_xticklabels(ranks)
    ax.minorticks_off()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if not text.startswith("r =") else text
