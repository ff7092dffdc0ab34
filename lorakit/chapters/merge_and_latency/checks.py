"""Checks and quiz of chapter 09: merging, timing, rounding."""

import statistics
from itertools import count, groupby

import torch
from transformers.pytorch_utils import Conv1D

from lorakit import by_hand
from lorakit.show.exercises import NOTHING, check, check_examples, expect, same
from lorakit.show.quiz import read_quiz

# 09.1 -- merge and unmerge a model


def _unmerge_by_subtracting(model, kept):
    with torch.no_grad():
        for path, (layer, _) in kept.items():
            by_hand.weight_of(layer.base).sub_(layer.delta_weight())
            by_hand.put(model, path, layer)


def _merge_variant(change, replace=True, copy=True):
    """`merge` with one bug: another sum, the layers left in place, or the weight kept by reference."""

    @torch.no_grad()
    def merge(model):
        kept = {}
        for path, layer in by_hand.lora_layers(model).items():
            W = by_hand.weight_of(layer.base)
            kept[path] = layer, W.clone() if copy else W
            change(W, layer)
            if replace:
                by_hand.put(model, path, layer.base)
        return kept

    return merge, by_hand.unmerge


def _add(W, layer):
    W += layer.delta_weight()


@check(
    "09.1",
    "merge and unmerge",
    right=(by_hand.merge, by_hand.unmerge),
    wrong={
        "missing the scaling": _merge_variant(lambda W, layer: W.add_(layer.lora_B @ layer.lora_A)),
        "the sign is wrong": _merge_variant(lambda W, layer: W.sub_(layer.delta_weight())),
        "still stands in the model": _merge_variant(_add, replace=False),
        "subtracting leaves the rounding behind": (by_hand.merge, _unmerge_by_subtracting),
        "kept by reference": _merge_variant(_add, copy=False),
        "returns None": (lambda model: None, by_hand.unmerge),
        "the layers are not back": (by_hand.merge, lambda model, kept: None),
    },
    done="right, bit for bit. lorakit keeps the old weight by reference and swaps tensors, which takes no time at all",
)
def merging(answer):
    merge, unmerge = answer
    model = torch.nn.Sequential(torch.nn.Linear(6, 9), Conv1D(4, 9))
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
    expect(same(got, wanted, 1e-4), "the merged model answers differently: W₀ + scaling · B A, in each layer")
    unmerge(model, kept)
    back = by_hand.lora_layers(model)
    expect(list(back) == list(layers), "unmerged, the layers are not back in the model")
    if not all(torch.equal(layer.base.weight, before[path]) for path, layer in layers.items()):
        far = max((layer.base.weight - before[path]).abs().max().item() for path, layer in layers.items())
        expect(far < 1e-4, "W₀ is not back: was it kept by reference? `clone()` it before the sum")
        expect(False, "subtracting leaves the rounding behind: copy the W₀ that you kept")


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
