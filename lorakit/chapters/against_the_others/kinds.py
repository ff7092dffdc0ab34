"""The ways to adapt a base that chapter 07 compares: their names, what no measurement says, and their recorded runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorakit.chapters.experiment import ALPHA, QV
from lorakit.chapters.experiments import METRIC
from lorakit.core.errors import LoRAError
from lorakit.lab.old_records import best_lr, load
from lorakit.lab.sweep import Run

# By task: the sweeps, of which the second has LoRA and full fine-tuning on as many steps, and their batch size.
SWEEPS = {"text_to_sql": ("rivals", "rank_text_to_sql"), "python": ("rivals_python", "rank_python")}
BATCH = {"text_to_sql": 32, "python": 16}
SAME = ("base", "method", "size", "hidden", "r", "alpha", "targets", "use_rslora", "steps")


@dataclass(frozen=True)
class Kind:
    """A way to adapt the base.

    run    as a sweep names it, but for learning rate and seed
    merge  can what was trained be folded into the base's weights? "—": there is nothing beside the weights
    mix    can the rows of one batch have different tasks?
    """

    run: Run
    name: str
    idea: str
    merge: str
    mix: str


def _kind(name: str, method: str, idea: str, merge: str, mix: str, **more) -> Kind:
    return Kind(Run(method=method, **more), name, idea, merge, mix)


# Where the trained numbers are small and apart from the weights, each row could have its own: lorakit has it for LoRA.
KINDS = {
    "full": _kind("full fine-tuning", "full", "every weight moves", "—", "no"),
    "bitfit": _kind("BitFit", "bitfit", "only the biases move", "—", "could"),
    "last_block": _kind("last block", "last_block", "only the last block's weights move", "—", "no"),
    "houlsby": _kind("Houlsby adapters", "houlsby", "a bottleneck behind the attention and one behind the MLP of "
                     "every block", "no", "could", size=8),
    "pfeiffer": _kind("Pfeiffer adapters", "pfeiffer", "a bottleneck behind the MLP of every block",
                      "no", "could", size=16),
    "prefix": _kind("prefix", "prefix", "trained keys and values before every prompt, in every block",
                    "no", "yes", size=16),
    "prefix_mlp": _kind("prefix + MLP", "prefix", "a prefix that an MLP writes while it trains; then the MLP goes",
                        "no", "yes", size=16, hidden=256),
    "distill": _kind("student", "distill", "half of the blocks learn to answer as the adapted base does",
                     "—", "no", size=2),
    "distill_long": _kind("student, 1,000 steps", "distill", "the same with ten times the steps",
                          "—", "no", size=2, steps=1000),
    "lora": _kind("LoRA, r = 8", "lora", "an update of rank 8 beside q and v in every block",
                  "yes", "yes", r=8, alpha=ALPHA, targets=QV),
}  # fmt: skip


def key_of(row: dict, task: str = "text_to_sql") -> str | None:
    """Which of KINDS a recorded run on this task belongs to, or None."""
    run = Run.of(row)
    if run.task != task or run.batch_size != BATCH[task]:
        return None
    return next((k for k, kind in KINDS.items() if all(getattr(run, n) == getattr(kind.run, n) for n in SAME)), None)


def recorded(task: str = "text_to_sql") -> dict[str, list[dict]]:
    """The recorded runs on a task by kind, in the order of KINDS; kinds without any are left out."""
    return gather((row for name in SWEEPS[task] for row in load(name)), task)


def gather(rows: Iterable[dict], task: str = "text_to_sql") -> dict[str, list[dict]]:
    """Runs by kind, in the order of KINDS; runs of no kind or another task, and kinds without runs, are left out."""
    found: dict[str, list[dict]] = {key: [] for key in KINDS}
    for row in rows:
        if (key := key_of(row, task)) is not None:
            found[key].append(row)
    return {key: runs for key, runs in found.items() if runs}


def at_best_rate(rows: Sequence[dict]) -> tuple[float, list[dict]]:
    """The learning rate that validation chose at seed 0, and the runs of all seeds at it.

    Raises LoRAError where no run has seed 0: a rate chosen over other seeds would not be the one of the sweep.
    """
    first = [row for row in rows if row["run"]["seed"] == 0]
    if not first:
        raise LoRAError("no run with seed 0, which chooses the learning rate: let `make results` finish")
    rate = best_lr(first, (), METRIC[first[0]["run"]["task"]])[()]
    return rate, [row for row in rows if row["run"]["lr"] == rate]
