"""Times of jobs that ran in turns: medians, ratios to the first job, and the noise floor to read them against."""

import math
from dataclasses import dataclass
from statistics import median, quantiles

AGAIN = "again"  # the base's second job is called "<base>, again"


@dataclass(frozen=True)
class Latency:
    """One job: seconds per unit in every round, and each over the base's in the same round."""

    times: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds per unit."""
        return median(self.times)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Seconds per unit: between them lies the middle half of the rounds."""
        first, _, third = quantiles(self.times, n=4, method="inclusive") if len(self.times) > 1 else self.times * 3
        return first, third

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios to the base: drift, which slows both of a pair, is not in it."""
        return median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true median ratio lies, with a confidence of 95 %; with fewer than 8 rounds all that was seen.

        From ranks alone (the sign test, in its normal approximation), so that no outlier moves it.
        """
        ordered, n = sorted(self.ratios), len(self.ratios)
        cut = max(math.floor(n / 2 - 0.98 * math.sqrt(n)), 0)
        return ordered[cut], ordered[n - 1 - cut]


@dataclass(frozen=True)
class Comparison:
    """All jobs by name: the base first and, last, the base once more, for the noise floor. Prints as a table."""

    base: str
    jobs: dict[str, Latency]
    device: str = "cpu"

    @property
    def again(self) -> Latency:
        return self.jobs[f"{self.base}, {AGAIN}"]

    @property
    def noise(self) -> float:
        """The noise floor: how far from 1 the base's ratio to itself may lie, at either end of its interval."""
        low, high = self.again.interval
        return max(high - 1, 1 - low, 0.0)

    def verdict(self, name: str) -> str:
        """ "slower" or "faster" than the base where the whole interval lies beyond the noise floor, else "noise"."""
        low, high = self.jobs[name].interval
        if low > 1 + self.noise:
            return "slower"
        return "faster" if high < 1 - self.noise else "noise"

    def __str__(self) -> str:
        width = max(len(name) for name in self.jobs)
        lines = [f"{'':{width}}  {'median':>9}  {'middle half':>17}  {'to base':>8}  {'95 % interval':>16}"]
        for name, job in self.jobs.items():
            a, b = (1e3 * t for t in job.quartiles)
            low, high = (f"{100 * (x - 1):+.1f}" for x in job.interval)
            middle, bounds = f"{a:.2f} to {b:.2f}", f"{low} to {high} %"
            line = f"{name:{width}}  {1e3 * job.median:6.2f} ms  {middle:>17}"
            if name != self.base:
                line += f"  {100 * (job.ratio - 1):+6.1f} %  {bounds:>16}"
                line += f"  {self.verdict(name)}" if job is not self.again else ""
            lines.append(line.rstrip())
        rounds = len(self.again.times)
        return "\n".join([*lines, f"noise floor {self.noise:.1%}, {rounds} rounds on {self.device}"])

    __repr__ = __str__
