"""The ways to adapt a base that the course compares: their names, runs and recorded costs."""

from dataclasses import dataclass

import pandas as pd

from lorakit.lab.places import RESULTS
from lorakit.lab.record import read
from lorakit.lab.sweep import Run

COSTS = RESULTS / "rivals_costs.json"


@dataclass(frozen=True)
class Kind:
    """A way to adapt the base.

    run    as a sweep names it, but for learning rate and seed
    idea   what moves, in words
    merges can what was trained be folded into the base's weights? "—": there is nothing beside the weights
    mixes  can the rows of one batch have different tasks? "could": lorakit has not built it
    """

    run: Run
    name: str
    idea: str
    merges: str
    mixes: str


# Where the trained numbers are small and apart from the weights, each row could have its own: lorakit has it for LoRA.
KINDS = {
    "full": Kind(Run(method="full"), "full fine-tuning", "every weight moves", "—", "no"),
    "bitfit": Kind(Run(method="bitfit"), "BitFit", "only the biases move", "—", "could"),
    "last_block": Kind(Run(method="last_block"), "last block", "only the last block's weights move", "—", "no"),
    "houlsby": Kind(Run(method="houlsby", size=8), "Houlsby adapters",
                    "a bottleneck behind the attention and one behind the MLP of every block", "no", "could"),
    "pfeiffer": Kind(Run(method="pfeiffer", size=16), "Pfeiffer adapters",
                     "a bottleneck behind the MLP of every block", "no", "could"),
    "prefix": Kind(Run(method="prefix", size=16), "prefix",
                   "trained keys and values before every prompt, in every block", "no", "yes"),
    "prefix_mlp": Kind(Run(method="prefix", size=16, hidden=256), "prefix + MLP",
                       "a prefix that an MLP writes while it trains; then the MLP goes", "no", "yes"),
    "distill": Kind(Run(method="distill", size=2), "student",
                    "half of the blocks learn to answer as the adapted base does", "—", "no"),
    "distill_long": Kind(Run(method="distill", size=2, steps=1000), "student, 1,000 steps",
                         "the same with ten times the steps", "—", "no"),
    "lora": Kind(Run(method="lora", r=8, alpha=16, targets=("q", "v")), "LoRA on q, v",
                 "an update of rank 8 beside q and v in every block", "yes", "yes"),
    "lora_mlp": Kind(Run(method="lora", r=4, alpha=16, targets=("mlp",)), "LoRA on the MLP",
                     "an update of rank 4 beside the MLP's two matrices in every block", "yes", "yes"),
}  # fmt: skip


def read_costs() -> dict:
    """data/results/rivals_costs.json as `python -m lorakit.chapters.against_the_others.costs` wrote it."""
    return read(COSTS)


def costs(found: dict | None = None) -> pd.DataFrame:
    """What each kind costs, as `read_costs` found it: a row for each key of KINDS that was measured.

    method             its name; idea, merges, mixes: see Kind
    base               what became of the base: "frozen", "changed", or "replaced" where a student answers
    trained, kept      numbers that train, and those stored for one task; `parameters`: of the model that answers
    share, kept_share  the first two in percent of the base's parameters
    memory             at the peak of a training step, in MB
    prefill, decode    time of reading a prompt, of writing a token, over the base's; _low, _high: its 95 % interval
    context            positions left for the prompt and its answer
    """
    found = read_costs() if found is None else found
    table = pd.DataFrame(KINDS.values(), index=list(KINDS)).drop(columns="run").rename(columns={"name": "method"})
    table = table.join(pd.DataFrame.from_dict(found["rows"], orient="index"), how="inner")
    table["base"] = table.pop("unchanged").map({True: "frozen", False: "changed"})
    table.loc[table.index.str.startswith("distill"), "base"] = "replaced"
    table[["share", "kept_share"]] = 100 * table[["trained", "kept"]] / found["base"]
    table["memory"] /= 1e6
    for job in ("prefill", "decode"):
        table[[job, f"{job}_low", f"{job}_high"]] = table[job].tolist()
    return table
