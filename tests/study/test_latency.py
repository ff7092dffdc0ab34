"""Times in turns: drift cancels, noise is told from a difference, and every repeat does the same work."""

import pytest
import torch

from lorakit.study.latency import Comparison, Job, Latency, compare, decode, prefill


class Clock:
    """A machine that gets slower: a job of cost c takes c · speed(now), and the clock knows."""

    def __init__(self, speed=lambda now: 1.0):
        self.now, self.speed, self.log = 0.0, speed, []

    def __call__(self):
        return self.now

    def job(self, name, cost):
        def run():
            self.log.append(name)
            self.now += cost * self.speed(self.now)

        return run


def times(costs, speed=lambda now: 1.0, **how):
    clock = Clock(speed)
    found = compare({name: clock.job(name, cost) for name, cost in costs.items()}, clock=clock, **how)
    return found, clock


def test_without_drift_the_ratios_are_those_of_the_costs():
    found, _ = times({"base": 2.0, "half more": 3.0, "half": 1.0}, repeats=4, warmup=0)
    assert found.jobs["half more"].ratio == 1.5 and found.jobs["half"].ratio == 0.5
    assert found.jobs["base"].median == 2.0 and found.jobs["base"].quartiles == (2.0, 2.0)
    assert found.noise == 0
    assert [found.verdict(name) for name in ("half more", "half")] == ["slower", "faster"]


@pytest.mark.parametrize("names", [2, 3, 6])
def test_on_a_machine_that_slows_down_the_paired_ratios_come_out_right(names):
    """Steady drift: by the end everything takes more than twice as long, and a median of times alone says little."""
    costs = {"base": 1.0} | {f"job {i}": 1 + 0.02 * i for i in range(1, names)}
    found, clock = times(costs, speed=lambda now: 1 + now / 100, repeats=60)
    assert found.jobs["base"].times[-1] > 2 * found.jobs["base"].times[0]
    for name, cost in costs.items():
        assert found.jobs[name].ratio == pytest.approx(cost, rel=1e-3)
    assert found.again.ratio == pytest.approx(1, rel=1e-3)


def test_warm_up_runs_are_dropped_and_the_base_runs_twice_a_round():
    found, clock = times({"base": 1.0, "more": 1.0}, speed=lambda now: 50.0 if now < 100 else 1.0, repeats=4, warmup=2)
    assert found.jobs["base"].times == (1.0,) * 4
    assert clock.log.count("base") == 2 * (4 + 2) and clock.log.count("more") == 4 + 2
    assert list(found.jobs) == ["base", "more", "base, again"]


def test_rounds_are_even_and_go_on_for_the_seconds_asked():
    assert len(times({"base": 1.0}, repeats=5)[0].again.times) == 6
    found, _ = times({"base": 1.0}, repeats=2, seconds=20)
    assert len(found.again.times) == 10  # two seconds for each round
    assert len(times({"base": 1e-9}, repeats=2, seconds=1)[0].again.times) == 200


def test_putting_things_back_is_not_timed_and_units_share_the_time():
    clock = Clock()
    slow = clock.job("after", 100.0)
    found = compare({"base": Job(clock.job("run", 8.0), after=slow, units=4)}, repeats=2, clock=clock)
    assert found.jobs["base"].median == 2.0 and clock.log.count("after") == clock.log.count("run")


def test_a_difference_below_the_noise_is_called_noise():
    noisy = (0.9, 1.1) * 10
    jobs = {
        "base": Latency((1.0,) * 20, (1.0,) * 20),
        "5 % more": Latency((1.05,) * 20, (1.05,) * 20),
        "20 % more": Latency((1.2,) * 20, (1.2,) * 20),
        "unsteady": Latency((1.2,) * 20, (1.0, 1.4) * 10),
        "base, again": Latency(noisy, noisy),
    }
    found = Comparison("base", jobs)
    assert found.noise == pytest.approx(0.1)
    verdicts = [found.verdict(name) for name in ("5 % more", "20 % more", "unsteady")]
    assert verdicts == ["noise", "slower", "noise"]


def test_the_interval_covers_the_true_median_nineteen_times_in_twenty():
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for _ in range(400):
        ratios = tuple((1 + 0.1 * torch.randn(30, generator=generator, dtype=torch.float64)).tolist())
        low, high = Latency(ratios, ratios).interval
        hits += low <= 1 <= high
    assert 0.93 <= hits / 400 <= 0.99


def test_prefill_reads_all_tokens_and_decode_writes_one_at_a_time(tiny_model):
    seen = []
    tiny_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    prefill(tiny_model, 3, 7).run()
    assert seen == [(3, 7)]
    job = decode(tiny_model, 2, 5, tokens=4)
    seen.clear()
    job.run()
    assert seen == [(2, 1)] * 4 and job.units == 4


def test_every_repeat_of_decode_starts_from_the_same_cache(tiny_model):
    lengths, outputs = [], []

    def note(module, args, kwargs, output):
        lengths.append(output.past_key_values.get_seq_length())
        outputs.append(output.logits)

    job = decode(tiny_model, 2, 5, tokens=3)
    tiny_model.register_forward_hook(note, with_kwargs=True)
    for _ in range(3):
        job.run()
        job.after()
    assert lengths == [6, 7, 8] * 3
    assert all(torch.equal(outputs[i], outputs[i % 3]) for i in range(9))
