"""Checks and quiz of chapter 09: merging, timing, rounding."""

import statistics
from itertools import count

import torch

from lorakit.show.exercises import check, check_examples, expect
from lorakit.show.quiz import Question, Quiz

# 09.1 -- merge into GPT-2's transposed layer


def _case(inputs=6, outputs=9, r=2):
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(inputs, outputs, generator=generator)
    A, B = torch.randn(r, inputs, generator=generator), torch.randn(outputs, r, generator=generator)
    return W, A, B, 2.5


def _merged(W, A, B, scaling):
    return W + scaling * (B @ A).T


@check(
    "09.1",
    "merge into a Conv1D",
    right=_merged,
    wrong={
        "missing the scaling": lambda W, A, B, scaling: W + (B @ A).T,
        "the shapes do not fit": lambda W, A, B, scaling: W + scaling * (B @ A),
        "the sign is wrong": lambda W, A, B, scaling: W - scaling * (B @ A).T,
        "the base is missing": lambda W, A, B, scaling: scaling * (B @ A).T,
        "changed in place": lambda W, A, B, scaling: W.add_(scaling * (B @ A).T),
        "returns None": lambda W, A, B, scaling: None,
    },
    done="right: the layer keeps W as (in, out), so the update, (out, in), comes in transposed",
)
def merge_conv1d(answer):
    for inputs, outputs in ((6, 9), (9, 6)):
        W, A, B, scaling = _case(inputs, outputs)
        before = W.clone()
        try:
            got = answer(W, A, B, scaling)
        except NotImplementedError:
            raise
        except RuntimeError as error:
            expect(False, f"the shapes do not fit: W is {tuple(W.shape)}, B A is {tuple((B @ A).shape)} ({error})")
        expect(got is not None, "your function returns None: is the `return` missing?")
        expect(
            torch.equal(W, before), "W was changed in place: whoever unmerges wants the old one back; return a new one"
        )
        expect(got.shape == W.shape, f"the result does not fit: {tuple(got.shape)}, W is {tuple(W.shape)}")
        right = _merged(W, A, B, scaling)
        expect(not torch.allclose(got, W + (B @ A).T, atol=1e-5), "missing the scaling, alpha / r")
        expect(not torch.allclose(got, W - scaling * (B @ A).T, atol=1e-5), "the sign is wrong: merging adds")
        expect(not torch.allclose(got, right - W, atol=1e-5), "that is the update alone, the base is missing")
        expect(torch.allclose(got, right, atol=1e-4), "the values differ from W + scaling · (B A)ᵀ")


# 09.2 -- time two jobs fairly


class _Machine:
    """A clock that only jobs move: first runs are slow, all gets slower with time, one run of "other" is disturbed."""

    def __init__(self, base=1.0, other=1.1, drift=0.05, warm=5.0, disturbed=7):
        self.now, self.runs, self.order = 0.0, count(), []
        self.cost, self.drift, self.warm, self.disturbed = {"base": base, "other": other}, drift, warm, disturbed

    def clock(self):
        return self.now

    def job(self, name):
        def run():
            number = next(self.runs)
            first = name not in self.order
            self.order.append(name)
            took = self.cost[name] * (1 + self.drift * number)
            disturbed = name == "other" and self.order.count(name) == self.disturbed
            self.now += took + (self.warm if first else 0) + (40 if disturbed else 0)

        return run


def _time(job, clock):
    start = clock()
    job()
    return clock() - start


def _fair(base, other, rounds, clock):
    base(), other()
    return statistics.median(_time(other, clock) / _time(base, clock) for _ in range(rounds))


def _in_blocks(base, other, rounds, clock):
    base(), other()
    first = [_time(base, clock) for _ in range(rounds)]
    return statistics.median(_time(other, clock) for _ in range(rounds)) / statistics.median(first)


def _mean(base, other, rounds, clock):
    base(), other()
    return statistics.fmean(_time(other, clock) / _time(base, clock) for _ in range(rounds))


def _cold(base, other, rounds, clock):
    ratios = [_time(other, clock) / _time(base, clock) for _ in range(rounds)]
    return ratios[0]


def _upside_down(base, other, rounds, clock):
    base(), other()
    return statistics.median(_time(base, clock) / _time(other, clock) for _ in range(rounds))


@check(
    "09.2",
    "time two jobs fairly",
    right=_fair,
    wrong={
        "one after the other": _in_blocks,
        "one disturbed run moves a mean": _mean,
        "the first run of a job is slower": _cold,
        "upside down": _upside_down,
        "returns None": lambda base, other, rounds, clock: None,
        "each job must run in every round": lambda base, other, rounds, clock: 1.1,
    },
    done="right: in turns, so that drift hits both; warmed up; and a median, which one bad run cannot move",
)
def fair_ratio(answer):
    machine = _Machine()
    got = answer(machine.job("base"), machine.job("other"), 20, machine.clock)
    expect(got is not None, "your function returns None: is the `return` missing?")
    runs = machine.order
    expect(runs.count("base") >= 20 and runs.count("other") >= 20, "each job must run in every round, 20 times")
    expect(not got < 1, f"got {got:.2f}, the other job is slower: is that upside down (other / base)?")
    longest = max(len(list_) for list_ in _streaks(runs))
    expect(longest <= 3, "the jobs ran one after the other in blocks: drift in between counts as a difference")
    quiet = _Machine(disturbed=-1, drift=0.0)
    cold = answer(quiet.job("base"), quiet.job("other"), 1, quiet.clock)
    expect(abs(cold - 1.1) < 0.02, "the first run of a job is slower (caches, memory): run each once, untimed, before")
    expect(got < 1.3, "one disturbed run moves a mean; the median of the rounds' ratios does not care")
    expect(abs(got - 1.1) < 0.08, f"got {got:.3f}, it should be about 1.10")


def _streaks(names):
    streaks = [[names[0]]]
    for name in names[1:]:
        if name == streaks[-1][-1]:
            streaks[-1].append(name)
        else:
            streaks.append([name])
    return streaks


# 09.3 -- is it slower, or is it noise?


def _verdict(low, high, noise):
    if low > 1 + noise:
        return "slower"
    return "faster" if high < 1 - noise else "noise"


verdict = check_examples(
    "09.3",
    "slower, faster or noise",
    right=_verdict,
    inputs=[(1.08, 1.12, 0.03), (0.99, 1.05, 0.03), (1.01, 1.02, 0.03), (0.90, 0.95, 0.03), (1.02, 1.20, 0.03),
            (0.80, 1.30, 0.03), (0.96, 0.98, 0.03)],
    wrong={
        "the noise floor was left out: the base against itself differs by as much": lambda low, high, noise: (
            "slower" if low > 1 else "faster" if high < 1 else "noise"
        ),
        "the middle is not enough: the whole interval must lie beyond the noise": lambda low, high, noise: (
            "slower" if (low + high) / 2 > 1 + noise else "faster" if (low + high) / 2 < 1 - noise else "noise"
        ),
        "that is the optimist's end of the interval: for slower, its lower end must be beyond": (
            lambda low, high, noise: "slower" if high > 1 + noise else "faster" if low < 1 - noise else "noise"
        ),
        "a job can be faster than the base, too": lambda low, high, noise: "slower" if low > 1 + noise else "noise",
    },
    done="right: a difference counts when all of its interval lies beyond what the base differs from itself",
)  # fmt: skip

quiz = Quiz(
    "09",
    [
        Question(
            "What does merging an adapter cost at inference?",
            (
                "a little time in every layer, for the products with A and B",
                "no time, but the model then serves one task only",
                "no time in float32, a few percent in bfloat16, for the rounding",
            ),
            1,
            (
                "Unmerged, yes. Merged, the layer is the one it was before, with other numbers.",
                "One weight matrix, one product, as in the base. The price is that this copy is bound to one task.",
                "W is rounded once, when it is merged. That costs digits, and no time in any format.",
            ),
        ),
        Question(
            "Why does W + ΔW − ΔW not give W back?",
            (
                "it does in float32; it is bfloat16 that has too few digits",
                "each sum is rounded, and what rounding drops is gone",
                "B A is a rounded product, so ΔW is not quite what was learnt",
            ),
            1,
            (
                "In float32 the errors are small, but 4 % of the weights differed after one round.",
                "The sum keeps the digits that fit. Subtracting cannot bring back the others, so keep W itself.",
                "True, but the same ΔW is added and taken away: its error would cancel, if the sums were not rounded.",
            ),
        ),
        Question(
            "Adapter layers cost 20 to 30 % in the paper's Table 1. Where?",
            (
                "in all three rows: the extra layers are always there",
                "at batch 1 and 128 tokens, with the least work",
                "at batch 32 and 512 tokens, with the most work",
            ),
            1,
            (
                "They always are, but at batch 32 × 512 tokens they add 2 to 3 %.",
                "There each small operation costs its start, not its work, and there is little work to hide it behind.",
                "There the base's own products take nearly all of the time.",
            ),
        ),
    ],
)
