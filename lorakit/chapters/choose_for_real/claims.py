"""The claims that people make about LoRA, each with the values that settle it, measured by the chapters.

`python -m lorakit.chapters.choose_for_real.claims --record` keeps this machine's workbook as data/results/claims.json,
which the review shows beside the student's own.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lorakit.lab import workbook
from lorakit.lab.places import RESULTS

FILE = RESULTS / "claims.json"


@dataclass(frozen=True)
class Claim:
    """What people say; the values that settle it, and the chapter that keeps them; how they read; what to remember."""

    says: str
    chapter: str
    values: tuple[str, ...]
    reads: Callable[..., str]
    verdict: str

    def shown(self, kept: Mapping[str, dict]) -> str | None:
        """The claim's values in words, None where one of them has not been measured."""
        found = [kept[name].get("value") if isinstance(kept.get(name), dict) else None for name in self.values]
        if None in found:
            return None
        try:
            return self.reads(*found)
        except (TypeError, ValueError):  # a workbook that somebody has edited
            return None


def yes(value: bool) -> str:
    return "yes, bit for bit" if value else "no"


CLAIMS = (
    Claim("a fresh adapter changes nothing", "03", ("same_at_step_0",), yes, "true, because B is zero"),
    Claim("training leaves the base alone", "04", ("base_unchanged",), yes, "true; a hash proves it"),
    Claim("less than 1 % of the parameters train", "00", ("trainable_percent",), lambda p: f"{p:.2f} %",
          "true for usual ranks; it is r and the targets that decide"),
    Claim("10,000 times fewer parameters", "04", ("fewer_r1", "fewer_r4"),
          lambda one, four: f"{one:,.0f} × at r = 1, {four:,.0f} × at r = 4",
          "of GPT-3 175B with a small r; of GPT-2 124M at most 3,376 times"),
    Claim("a checkpoint of 35 MB, not 350 GB", "04", ("file_mb_r4",), lambda mb: f"{mb:.1f} MB at r = 4, fp16",
          "true for r = 4 on q and v"),
    Claim("a third of the training memory", "05", ("memory_share_one", "memory_share_many"),
          lambda one, many: f"{one:.0%} with 1 row, {many:.0%} with 32",
          "only with AdamW, and with activations below a third of the weights"),
    Claim("r = 1 is often enough", "06", ("rank1_sql", "rank1_python"),
          lambda sql, python: f"{sql:.0%} of full's gain on SQL, {python:.0%} on Python",
          "for what the base can almost do; a new domain pays for rank"),
    Claim("more rank, diminishing returns", "06", ("rank1_python", "rank64_python"),
          lambda one, last: f"{one:.0%} at r = 1, {last:.0%} at r = 64 (Python)", "true; but the rest may matter"),
    Claim("on par with full fine-tuning", "06", ("rank64_sql", "rank64_python"),
          lambda sql, python: f"{sql:.0%} of its gain on SQL, {python:.0%} on Python",
          "near the base's abilities yes, far from them not on q and v alone"),
    Claim("prefix tuning eats context", "07", ("prefix_share",), lambda p: f"{p:.0%} of it for 16 tokens",
          "true; whether it hurts depends on the prompts' length"),
    Claim("ranks and seeds agree on the top direction, not on the rest", "08", ("phi_top", "phi_all"),
          lambda top, every: f"φ(1, 1) = {top:.2f}, φ(64, 64) = {every:.2f}", "true; by chance 0.004 and 0.25"),
    Claim("no added latency once merged", "09", ("merged_added", "latency_noise"),
          lambda added, noise: f"{added:+.1%}, noise {noise:.1%}", "true: the same operations as the base"),
    Claim("adapter layers add 20 to 30 %", "09", ("houlsby_added",), lambda added: f"{added:+.1%} (1 row of 16 tokens)",
          "less on a CPU; the paper's figure is a GPU's, with small batches"),
    Claim("unmerging gives the base back", "09", ("unmerge_exact",), yes, "if W₀ is kept; subtracting rounds"),
    Claim("hot swap is instant", "10", ("switch_us",), lambda us: f"{us:,.0f} µs", "true: references move, no numbers"),
    Claim("different tasks in one batch", "10", ("mixed_same",), lambda same: "as if alone" if same else "not the same",
          "true, with the adapters left unmerged"),
    Claim("1,000 tasks on one base", "10", ("resident_adapters", "resident_mb"),
          lambda n, mb: f"{n:,} adapters in {mb:,.0f} MB", "true: the base is there once"),
    Claim("a 7B model in 10 GB", "11", ("seven_bf16_gb", "seven_4bit_gb"),
          lambda half, four: f"{half:.1f} GB in bf16, {four:.1f} GB in 4 bits",
          "only with a quantized base: LoRA does not shrink the frozen weights"),
)  # fmt: skip


def recorded() -> dict:
    """The values of the recorded run, as the workbook holds them; {} where nothing is recorded."""
    try:
        return json.loads(FILE.read_text(encoding="utf-8"))["values"]
    except (OSError, ValueError, KeyError):
        return {}


def record(kept: Mapping[str, dict]) -> Path:
    """Write what the claims need of `kept` as the recorded run. Raises ValueError that names what is missing."""
    wanted = dict.fromkeys(name for claim in CLAIMS for name in claim.values)
    if missing := [name for name in wanted if name not in kept]:
        raise ValueError(f"not measured yet: {', '.join(missing)}. Run the chapters first: make notebooks")
    values = {name: kept[name] for name in wanted}
    dates = sorted(entry["date"] for entry in values.values())
    head = {
        "command": "make notebooks && python -m lorakit.chapters.choose_for_real.claims --record",
        "device": " and ".join(dict.fromkeys(entry["device"] for entry in values.values())),
        "date": dates[-1],
    }
    from lorakit.lab.record import versions

    FILE.write_text(json.dumps(head | {"versions": versions(), "values": values}, indent=1) + "\n", encoding="utf-8")
    return FILE


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lorakit.chapters.choose_for_real.claims", description="The claims and their values."
    )
    parser.add_argument("--record", action="store_true", help="keep the workbook's values as the recorded ones")
    if parser.parse_args(arguments).record:
        try:
            print(record(workbook.read(workbook.MEASURED)), "written")
        except ValueError as error:
            raise SystemExit(str(error)) from error
        return
    mine = workbook.read(workbook.MEASURED)
    for claim in CLAIMS:
        print(f"{claim.says:58} {claim.shown(mine) or 'chapter ' + claim.chapter:44} {claim.verdict}")


if __name__ == "__main__":
    main()
