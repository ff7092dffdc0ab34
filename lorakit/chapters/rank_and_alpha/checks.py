"""Checks and quiz of chapter 06: learning rate, budget, placement."""

from functools import cache, partial

from lorakit.chapters.experiment import ALPHA
from lorakit.core.errors import LoRAError
from lorakit.lab.bases.load import load_base
from lorakit.lab.budget import by_budget
from lorakit.lab.methods import prepare
from lorakit.lab.sweep import Run, run_one
from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import read_quiz
from lorakit.study.parameter_table import parameter_table

# 06.1 -- the learning rate, chosen where it may be


def _choose(costs, noise):
    rates, best = sorted(costs), min(costs.values())
    near = [rate for rate in rates if costs[rate] <= best + noise]
    return None if near[0] == rates[0] or near[-1] == rates[-1] else min(costs, key=costs.get)


CLOSED = {1e-3: 2.9, 3e-3: 2.5, 1e-2: 2.3, 3e-2: 2.6}

choose = check_examples(
    "06.1",
    "a learning rate, or none yet",
    right=_choose,
    inputs=[
        (CLOSED, 0.02),
        (dict(sorted(CLOSED.items(), reverse=True)), 0.02),
        (dict(sorted(CLOSED.items(), key=lambda pair: pair[1])), 0.02),
        ({1e-3: 2.9, 3e-3: 2.5, 1e-2: 2.3}, 0.02),
        ({1e-3: 2.31, 3e-3: 2.3, 1e-2: 2.6}, 0.02),
        ({1e-3: 2.31, 3e-3: 2.3, 1e-2: 2.6}, 0.005),
    ],
    wrong={
        "an edge is no result: with the best rate at the end of the grid, return None": (
            "None if near[0] == rates[0] or near[-1] == rates[-1] else  → "
        ),
        "a rate at the edge that noise cannot tell from the best is no result either": "best + noise → best",
        "that is the worst, not the best: fewer bits are better": lambda costs, noise: max(costs, key=costs.get),
        "that is a score, not a learning rate": lambda costs, noise: min(costs.values()),
        "edges are the smallest and the largest rate, in whatever order they were tried": (
            "sorted(costs) → list(costs)",
            "best + noise → best",
        ),
    },
    done="right: that is rule 1 of a fair comparison. Every sweep of this course is extended until it holds",
)

# 06.2 -- the rank that a budget buys


def _rank(budget, shapes, layers):
    of_one = sum(inputs + outputs for inputs, outputs in shapes)
    return budget // (layers * of_one)


rank = check_examples(
    "06.2",
    "the rank that a budget buys",
    right=_rank,
    inputs=[
        (40_960, [(256, 256)], 4),
        (40_960, [(256, 1024), (1024, 256)], 4),
        (40_000, [(256, 256), (256, 64)], 4),
        (4_700_000, [(12288, 12288)] * 2, 96),
    ],
    wrong={
        "that is a full matrix's count: an adapter has A, r × in, and B, out × r": (
            "inputs + outputs → inputs * outputs"
        ),
        "only one block was counted: the budget is for all of them": "layers * → 1 *",
        "only the A's were counted: B has out × r numbers": "inputs + outputs → inputs",
        "a rank is a whole number, and within the budget: use `//`": "// → /",
        "that is above the budget: round down": "budget // (layers * of_one) → -(-budget // (layers * of_one))",
        "only the first matrix was counted": "in shapes → in shapes[:1]",
    },
    done="right: the MLP's two matrices are 5d each, so the same money buys a fifth of one projection's rank",
)

# 06.3 -- beat q and v

BUDGET = 40_960


recorded = cache(partial(run_one, progress=False))  # a run that was done in this process is not done again


def bits(targets, r, lr) -> dict:
    """A short run on Python source: bits per byte on the first functions of validation and test.

    What it trains is counted before. Raises LoRAError for settings that do not fit.
    """
    steps, scored = by_budget((8, 20), (60, 150), (100, 300))
    run = Run(task="python", method="lora", r=r, alpha=ALPHA, targets=targets, lr=lr, steps=steps, batch_size=16,
              scored=scored)  # fmt: skip
    trained = parameter_table(prepare(load_base("nano")[0], run).model).trainable
    expect(trained <= BUDGET, f"it trains {trained:,} numbers, more than {BUDGET:,}")
    row = recorded(run)
    expect("metrics" in row, f"training diverged: {row.get('diverged')}. Lower the rate")
    return {split: row["metrics"][split]["bits_per_byte"] for split in ("validation", "test")}


@check(
    "06.3",
    "beat q and v",
    right=lambda: {"targets": ("mlp",), "r": 4, "lr": 1e-2},
    wrong={
        "more than 40,960": lambda: {"targets": ("mlp",), "r": 8, "lr": 1e-2},
        "not below": lambda: {"targets": ("q",), "r": 1, "lr": 1e-4},
        "needs targets, r and lr": lambda: {"targets": ("mlp",), "r": 4},
        "does not exist": lambda: {"targets": ("ffn",), "r": 4, "lr": 1e-2},
    },
)
def lab(answer):
    answer = answer()
    expect(isinstance(answer, dict) and {"targets", "r", "lr"} == set(answer), "your setting needs targets, r and lr")
    try:
        mine = bits(**answer)
    except LoRAError as error:
        expect(False, f"a target that does not exist, or settings that do not fit: {error}")
    rival = bits(("q", "v"), 8, 3e-2)
    print(f"validation: yours {mine['validation']:.2f}, q and v at r = 8 {rival['validation']:.2f} bits per byte")
    below = mine["validation"] < rival["validation"] - 0.02
    expect(below, "not below q and v on validation: is it the placement (section 5) or the rate (section 3)?")
    print(f"the test: yours {mine['test']:.2f}, q and v {rival['test']:.2f}")


quiz = read_quiz("06", __file__)
