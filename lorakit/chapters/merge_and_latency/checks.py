"""Checks and quiz of chapter 09: merging, timing, rounding."""

import statistics
from itertools import count, groupby

import torch

from lorakit.show.exercises import NOTHING, check, check_examples, expect
from lorakit.show.quiz import read_quiz


def _merged(W, A, B, scaling):
    return W + scaling * (B @ A).T


def _layers():
    """W (in, out), A (2, in), B (out, 2) and a scaling, of a wide layer and of a narrow one."""
    shapes = [[(6, 9), (2, 6), (9, 2)], [(9, 6), (2, 9), (6, 2)]]
    return [(*(torch.randn(shape) for shape in layer), 2.5) for layer in shapes]


IN_PLACE = "W was changed in place: whoever unmerges wants the old one back; return a new one"
merge_conv1d = check_examples(
    "09.1",
    "merge into a Conv1D",
    right=_merged,
    inputs=_layers,
    wrong={
        "missing the scaling, alpha / r": lambda W, A, B, scaling: W + (B @ A).T,
        "the shapes do not fit: W is (in, out), B A is (out, in)": lambda W, A, B, scaling: W + scaling * (B @ A),
        "the sign is wrong: merging adds": lambda W, A, B, scaling: W - scaling * (B @ A).T,
        "that is the update alone, the base is missing": lambda W, A, B, scaling: scaling * (B @ A).T,
        IN_PLACE: lambda W, A, B, scaling: W.add_(scaling * (B @ A).T),
        NOTHING: lambda W, A, B, scaling: None,
    },
    formula="W + scaling · (B A)ᵀ",
    untouched=IN_PLACE,
    done="right: the layer keeps W as (in, out), so the update, (out, in), comes in transposed",
)


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
        NOTHING: lambda base, other, rounds, clock: None,
        "each job must run in every round": lambda base, other, rounds, clock: 1.1,
    },
    done="right: in turns, so that drift hits both; warmed up; and a median, which one bad run cannot move",
)
def fair_ratio(answer):
    machine = _Machine()
    got = answer(machine.job("base"), machine.job("other"), 20, machine.clock)
    expect(got is not None, NOTHING)
    runs = machine.order
    expect(runs.count("base") >= 20 and runs.count("other") >= 20, "each job must run in every round, 20 times")
    expect(not got < 1, f"got {got:.2f}, the other job is slower: is that upside down (other / base)?")
    longest = max(len(list(streak)) for _, streak in groupby(runs))
    expect(longest <= 3, "the jobs ran one after the other in blocks: drift in between counts as a difference")
    quiet = _Machine(disturbed=-1, drift=0.0)
    cold = answer(quiet.job("base"), quiet.job("other"), 1, quiet.clock)
    expect(abs(cold - 1.1) < 0.02, "the first run of a job is slower (caches, memory): run each once, untimed, before")
    expect(got < 1.3, "one disturbed run moves a mean; the median of the rounds' ratios does not care")
    expect(abs(got - 1.1) < 0.08, f"got {got:.3f}, it should be about 1.10")


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

quiz = read_quiz("09", __file__)
