"""Checks and quiz of chapter 09: merging, timing, rounding."""

import statistics
from itertools import groupby

import torch
from transformers.pytorch_utils import Conv1D

from lorakit import by_hand
from lorakit.show.exercises import NOTHING, check, check_examples, expect, same
from lorakit.show.mistakes import mistakes
from lorakit.show.quiz import read_quiz

# 09.1 -- merge and unmerge a model


_MERGES = mistakes(
    by_hand.merge,
    {
        "missing the scaling": "layer.delta_weight() → layer.lora_B @ layer.lora_A",
        "the sign is wrong": "W += → W -=",
        "still stands in the model": "put(model, path, layer.base) → pass",
        "kept by reference": "W.clone() → W",
        "returns None": "return kept → return None",
        "transposed for a Conv1D": "W += → layer.base.weight.data +=",
    },
)
_UNMERGES = mistakes(
    by_hand.unmerge,
    {
        "subtracting leaves the rounding behind": "copy_(W0) → sub_(layer.delta_weight())",
        "the layers are not back": "put(model, path, layer) → pass",
    },
)


@check(
    "09.1",
    "merge and unmerge",
    right=(by_hand.merge, by_hand.unmerge),
    wrong={words: (merge, by_hand.unmerge) for words, merge in _MERGES.items()}
    | {words: (by_hand.merge, unmerge) for words, unmerge in _UNMERGES.items()},
    done="right, bit for bit. lorakit keeps the old weight by reference and swaps tensors, which takes no time at all",
)
def merging(answer):
    merge, unmerge = answer
    model = torch.nn.Sequential(torch.nn.Linear(6, 9), Conv1D(9, 9))  # square: no shape complains
    by_hand.inject(model, ("0", "1"), r=2, alpha=6)
    for layer in by_hand.lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B)
    x = torch.randn(5, 6)
    layers, wanted = by_hand.lora_layers(model), model(x)
    before = {path: layer.base.weight.detach().clone() for path, layer in layers.items()}
    kept = merge(model)
    expect(kept is not None, "merge returns None: unmerge needs the layers and the old weights")
    expect(not by_hand.lora_layers(model), "a LoRALayer still stands in the model: put its base in its place")
    got = model(x)
    for path, layer in layers.items():
        expect(not same(layer.base.weight, before[path]), "the weights are as they were: add the update in place")
        plain = layer.lora_B @ layer.lora_A
        moved = by_hand.weight_of(layer.base) - (before[path] if path == "0" else before[path].T)
        expect(not same(moved, plain, 1e-4), "missing the scaling, alpha / r: use `layer.delta_weight()`")
        expect(not same(moved, -layer.delta_weight(), 1e-4), "the sign is wrong: merging adds")
    expect(same(got, wanted, 1e-4), "other answers: add s B A once, transposed for a Conv1D, through `weight_of`")
    unmerge(model, kept)
    back = by_hand.lora_layers(model)
    expect(list(back) == list(layers), "unmerged, the layers are not back in the model")
    if not all(torch.equal(layer.base.weight, before[path]) for path, layer in layers.items()):
        far = max((layer.base.weight - before[path]).abs().max().item() for path, layer in layers.items())
        expect(far < 1e-4, "W₀ is not back: was it kept by reference? `clone()` it before the sum")
        expect(False, "subtracting leaves the rounding behind: copy the W₀ that you kept")


class _Machine:
    """A clock that only jobs move: first runs are slow, all gets slower with time, one run of each is disturbed."""

    def __init__(self, drift=0.05, disturbed=7):
        self.now, self.order, self.drift, self.disturbed = 0.0, [], drift, disturbed

    def clock(self):
        return self.now

    def job(self, name):
        def run():
            took = {"base": 1.0, "other": 1.1}[name] * (1 + self.drift * len(self.order))
            first = name not in self.order
            self.order.append(name)
            disturbed = self.order.count(name) == self.disturbed + 12 * (name == "base")
            self.now += took + 5 * first + 40 * disturbed

        return run


def _time(job, clock):
    start = clock()
    job()
    return clock() - start


def _fair(base, other, rounds, clock):
    base(), other()
    return statistics.median(_time(other, clock) / _time(base, clock) for _ in range(rounds))


@check(
    "09.2",
    "time two jobs fairly",
    right=_fair,
    wrong={
        "one after the other": (
            "/ _time(base, clock) → / statistics.median(first)",
            "return → first = [_time(base, clock) for _ in range(rounds)]\n    return",
        ),
        "one disturbed run moves a mean": "median → fmean",
        "the first run of a job is slower": "base(), other() → pass",
        "or a disturbed run": "statistics.median → min",
        "upside down": "_time(other, clock) / _time(base, clock) → _time(base, clock) / _time(other, clock)",
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
    longest = max(len(list(streak)) for _, streak in groupby(runs))
    expect(longest <= 3, "the jobs ran one after the other in blocks: drift in between counts as a difference")
    expect(not got < 1, f"{got:.2f}, but the other is slower: upside down (base / other), less 1, or a disturbed run")
    quiet = _Machine(drift=0.0, disturbed=-1)
    cold = answer(quiet.job("base"), quiet.job("other"), 1, quiet.clock)
    expect(abs(cold - 1.1) < 0.02, "the first run of a job is slower (caches, memory): run each once, untimed, before")
    expect(got < 1.3, "one disturbed run moves a mean; the median of the rounds' ratios does not care")
    expect(abs(got - 1.1) < 0.08, f"got {got:.3f}, it should be about 1.10: a ratio for each round, then their median")


def _verdict(low, high, noise):
    if low > 1 + noise:
        return "slower"
    return "faster" if high < 1 - noise else "noise"


verdict = check_examples(
    "09.3",
    "slower, faster or noise",
    right=_verdict,
    inputs=[
        (1.08, 1.12, 0.03),
        (0.99, 1.05, 0.03),
        (1.01, 1.02, 0.03),
        (0.90, 0.95, 0.03),
        (1.02, 1.20, 0.03),
        (0.80, 1.30, 0.03),
        (0.96, 0.98, 0.03),
        (0.80, 0.893, 0.11),
    ],
    wrong={
        "the noise floor was left out: the base against itself differs as much": ("1 + noise → 1", "1 - noise → 1"),
        "`noise` is a distance from 1, `low` and `high` are ratios": ("1 + noise → noise", "1 - noise → -noise"),
        "the middle is not enough: the whole interval must lie beyond the noise": (
            "low > → (low + high) / 2 >",
            "high < → (low + high) / 2 <",
        ),
        "that is the optimist's end of the interval: for slower, its lower end must be beyond": (
            "if low > → if high >",
            "if high < → if low <",
        ),
        "a job can be faster than the base, too": "if high < 1 - noise → if False",
    },
    done="right: a difference counts when all of its interval lies beyond what the base differs from itself",
)

quiz = read_quiz("09", __file__)
