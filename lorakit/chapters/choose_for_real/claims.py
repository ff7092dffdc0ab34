"""The claims that people make about LoRA, each with the values that settle it, measured by the chapters.

`python -m lorakit.chapters.choose_for_real.claims --record` keeps this machine's workbook as data/results/claims.json,
which the review shows beside the student's own.
"""

import sys
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from lorakit.lab import record, workbook
from lorakit.lab.places import RESULTS

FILE = RESULTS / "claims.json"
OPEN = "not measured here yet"


class Claim(NamedTuple):
    """What people say; the chapter that settles it, and how; the values, and how they read; what to remember.

    how   "measured" on the reader's machine, "recomputed" from a formula, or "recorded": read from data/results
    """

    says: str
    chapter: str
    how: str
    values: tuple[str, ...]
    reads: str
    verdict: str

    def shown(self, kept: Mapping[str, dict]) -> str | None:
        """The claim's values in words, None where one of them has not been measured."""
        if not all(name in kept for name in self.values):
            return None
        found = [kept[name]["value"] for name in self.values]
        return self.reads.format(*({True: "yes", False: "no"}[v] if isinstance(v, bool) else v for v in found))


# What each variant's paper says of it, and what became of that: chapter 12.
VARIANTS = (
    ("rslora", "rsLoRA: alpha / √r learns more", "level, within chance: it is LoRA with alpha · √r"),
    ("lora_plus", "LoRA+: 1 to 2 % better", "within chance: it is LoRA with 16 times the alpha"),
    ("pissa", "PiSSA: 5 points better on GSM8K", "ahead, by little more than twice the rank gives"),
    ("dora", "DoRA: 3.7 points better on commonsense", "level, and a step takes longer"),
    ("lora_fa", "LoRA-FA: as good with A frozen", "behind, at twice the rank"),
    ("vera", "VeRA: as good with a tenth of the numbers", "behind, with a third; a step takes 2.3 times as long"),
)
CLAIMS = (
    Claim("a fresh adapter changes nothing", "03", "measured", ("same_at_step_0",),
          "{}", "true, bit for bit, because B is zero"),
    Claim("training leaves the base alone", "04", "measured", ("base_unchanged",),
          "{}", "true, bit for bit; a hash proves it"),
    Claim("less than 1 % of the parameters train", "00", "measured", ("trainable_percent",),
          "{:.2f} %", "true for usual ranks; it is r and the targets that decide"),
    Claim("10,000 times fewer parameters", "04", "recomputed", ("fewer_r1", "fewer_r4"),
          "{:,.0f} × at r = 1, {:,.0f} × at r = 4", "of GPT-3 175B with a small r; of GPT-2 124M at most 3,376 times"),
    Claim("a checkpoint of 35 MB, not 350 GB", "04", "recomputed", ("file_mb_r4",),
          "{:.1f} MB at r = 4, fp16", "true for r = 4 on q and v"),
    Claim("a third of the training memory", "05", "measured", ("memory_share_one", "memory_share_many"),
          "{:.0%} with 1 row, {:.0%} with 32", "only with AdamW, and with activations below a third of the weights"),
    Claim("a step takes two thirds of full's operations", "05", "measured", ("work_share",),
          "{:.0%}", "true; of the time more, of the activations nearly all"),
    Claim("r = 1 is often enough", "06", "recorded", ("rank1_sql", "rank1_python"),
          "gain over full: {:+.1f} points on SQL, {:+.2f} bits per byte on Python",
          "for what the base can almost do; a new domain pays for rank"),
    Claim("more rank, diminishing returns", "06", "recorded", ("rank1_python", "rank64_python"),
          "gain over full, in bits per byte: {:+.2f} at r = 1, {:+.2f} at r = 64 (q, v)",
          "true; placement matters more"),
    Claim("on par with full fine-tuning", "06", "recorded", ("rank64_sql", "all64_python"),
          "r = 64, gain over full: {:+.1f} points on SQL (q, v), {:+.2f} bits per byte on Python (all)",
          "yes near what the base can do; elsewhere not in as many steps"),
    Claim("LoRA's best rate is ten times full's", "06", "recorded", ("rate_times_low", "rate_times_high"),
          "{:.0f} to {:.0f} times", "about; alpha and A's size set it, not the number of parameters"),
    Claim("the best rate hardly depends on the rank", "06", "recorded", ("rate_by_rank",),
          "within a factor of {:.0f} from r = 1 to 64", "true at constant alpha, on a grid in steps of three"),
    Claim("the MLP matters most", "06", "recorded", ("mlp_ahead",),
          "r = 4 there, gain over r = 64 on q and v: {:+.2f} bits per byte", "in a new domain; on SQL v is first"),
    Claim("r = 1 holds about two bits a number", "06", "recorded", ("bits_a_number",),
          "{:.2f} bits of random strings, after 2,000 steps", "a quarter of it here, but it is full: r = 4 learns on"),
    Claim("LoRA falls behind with large batches", "06", "recorded", ("behind_small", "behind_large"),
          "{:+.2f} bits per byte at 8, {:+.2f} at 128", "true, but those were fewer steps, too"),
    Claim("alpha is one more thing to tune", "06", "measured", ("four_knobs",),
          "losses differ by {:.0e}", "no: alpha, A's size and two rates are two degrees of freedom, exactly"),
    Claim("prefix tuning eats context", "07", "recomputed", ("prefix_share",),
          "{:.0%} of it for 16 tokens", "true; whether it hurts depends on the prompts' length"),
    Claim("LoRA forgets less", "07", "recorded", ("forgot_lora", "forgot_full"),
          "old text: {:+.2f} nats by the LoRA that learns most, {:+.2f} by full fine-tuning at a small rate",
          "not here: the rate decides; but LoRA can be switched off"),
    Claim("ranks and seeds agree on the top direction, not on the rest", "08", "measured", ("phi_top", "phi_all"),
          "of B: φ(1, 1) = {:.2f}, φ(64, 64) = {:.2f}", "on the top; on the rest in part: chance is 0.004 and 0.25"),
    Claim("no added latency once merged", "09", "measured", ("merged_added", "latency_noise"),
          "{:+.1%}, noise {:.1%}", "true: the same operations as the base"),
    Claim("adapter layers add 20 to 30 %", "09", "measured", ("houlsby_added",),
          "{:+.1%} (1 row of 16 tokens)", "less on a CPU; the paper's figure is a GPU's, with small batches"),
    Claim("unmerging gives the base back", "09", "measured", ("unmerge_exact",),
          "{}", "bit for bit if W₀ is kept; subtracting rounds"),
    Claim("hot swap is instant", "10", "measured", ("switch_us",),
          "{:,.0f} µs", "true: references move, no numbers"),
    Claim("different tasks in one batch", "10", "measured", ("mixed_same",),
          "{}", "true, each row as if alone, with the adapters left unmerged"),
    Claim("1,000 tasks on one base", "10", "measured", ("resident_adapters", "resident_mb"),
          "{:,.0f} adapters in {:,.0f} MB", "true: the base is there once"),
    Claim("LoRA grows intruder dimensions", "08", "measured", ("intruders_learnt", "intruders_random"),
          "{:.0f} of 80 learnt, {:.0f} in random updates as large", "so does a random update of that size and rank"),
    Claim("merging into 4 bits keeps the update", "11", "measured", ("kept_4bit_large", "kept_4bit_small"),
          "{:.0%} of a large one, {:.0%} of a small one", "it depends on ‖ΔW‖ / ‖W₀‖"),
    Claim("a 7B model in 10 GB", "11", "recomputed", ("seven_bf16_gb", "seven_4bit_gb"),
          "{:.1f} GB in bf16, {:.1f} GB in 4 bits",
          "only with a quantized base: LoRA does not shrink the frozen weights"),
    *(Claim(says, "12", "recorded", (f"{name}_gain",), "{:+.1f} % gain over LoRA, in bits per byte", verdict)
      for name, says, verdict in VARIANTS),
    Claim("tuned, LoRA's variants lie within 1 to 2 %", "12", "recorded", ("variants_spread", "twice_gain"),
          "{:.1f} % from worst to best; twice the rank buys {:.1f} %",
          "four of six do; a grid of half decades hides as much as most leads"),
    Claim("a reward needs few trained numbers", "13", "recorded", ("reward_r1", "reward_tiny"),
          "{:.0%} right with r = 1, {:.0%} with sixteen numbers", "r = 1 is level with every weight; sixteen are slow"),
)  # fmt: skip


def claims_table() -> pd.DataFrame:
    """A row for each claim: chapter, how, yours (from this workbook; OPEN: not measured yet), recorded, so."""
    mine, recorded = workbook.read(workbook.MEASURED), record.read(FILE)["values"]
    rows = {c.says: (c.chapter, c.how, c.shown(mine) or OPEN, c.shown(recorded) or "–", c.verdict) for c in CLAIMS}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["chapter", "how", "yours", "recorded", "so"])
    return table.rename_axis(columns="claim")


def keep_as_recorded(kept: Mapping[str, dict]) -> None:
    """Write what the claims need of `kept`, a workbook of all chapters. Raises KeyError for a value that is missing."""
    wanted = dict.fromkeys(name for claim in CLAIMS for name in claim.values)
    command = "make notebooks && python -m lorakit.chapters.choose_for_real.claims --record"
    record.write(FILE, {"values": {name: kept[name] for name in wanted}}, command)


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        keep_as_recorded(workbook.read(workbook.MEASURED))
    print(claims_table().to_string())
