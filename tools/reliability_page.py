"""docs/reliability.md, from what `make soak` measured: python tools/reliability_page.py

Every figure on the page is read from data/results/reliability_*.json; none is typed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from markdown_table import markdown_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results"
PAGE = ROOT / "docs" / "reliability.md"

HEAD = """\
# Reliability: what is promised, and how it is tested

Written by `python tools/reliability_page.py` from what `make soak` measured. `make test` runs the same tests at a
smaller size. No figure on this page is typed.
"""

LIMITS = """\
## Not promised

- **A checksum is no signature.** It tells damage, not intent: whoever edits an adapter on purpose can compute it again.
  PEFT's and loralib's files carry none, so there a changed number is loaded as it stands.
- **Surgery while others run.** `inject`, `load_adapter`, `delete_adapter`, `eject`, `merge`, `unmerge` change modules
  and want the model to themselves: nothing waits for a call that another thread has under way, and nothing stops one.
- **The default, switched under a call.** `set_adapter` and `set_scale` replace one reference, which a call in another
  thread reads layer by layer: without `using` it may begin with one adapter and end with another.
- **Threads that a call starts itself** see the default, not their starter's `using`. `nn.DataParallel` works in such
  threads and is refused.
- **Files made to do harm.** No pickle is executed, but an archive for loralib may be made to unpack to more than the
  memory holds, a regular expression in a config to run for ever, and torch itself does not notice every damage to its
  own archives. Open files of people whom you trust.
- **Power failures.** Files are on the disk before they take their places; that the renames are is left to the system.
- **Other signals.** A handler of SIGALRM or SIGTERM that raises within a verb is treated as a Ctrl-C is: what was begun
  is undone or finished. A second one in the middle of that may leave it half done.
- **Other machines.** The same seed gives the same bits on one machine with one number of threads. Other processors,
  versions of torch or GPUs round otherwise. Locks keep one user's processes on one machine apart, and no others.
"""


@dataclass(frozen=True)
class Promise:
    """One section: what is promised, in which files it is tested, and the lines that state its figures.

    name: of the record, data/results/reliability_<name>.json; None where there is nothing to count.
    """

    name: str | None
    title: str
    promised: str
    tested: tuple[str, ...]
    figures: Callable[[dict], list[str]] = lambda found: []


def counts(found: dict) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in found.items())


def conformance(found: dict) -> list[str]:
    return [
        f"- {found['cases']:,} cases: {found['tests']} tests over {found['models']} models, that is "
        f"{found['architectures']} architectures of transformers and {found['plain_modules']} plain modules, for all "
        f"{found['properties']} properties of PEFT's suite.",
        "",
        markdown_table(
            ("worst over all models", "measured"),
            [(name, f"{value:.2g}") for name, value in found["worst"].items()],
            numbers=True,
        ),
    ]


def hostile(found: dict) -> list[str]:
    return [
        f"- {found['cases']:,} damaged adapters: {found['refused']:,} refused with a `LoRAError`; "
        f"{found['harmless']:,} loaded exactly as the original, the damage being to something without a meaning; "
        f"{found['as_written']:,} of PEFT's and loralib's files, which carry no checksum, loaded as their bytes say. "
        "Nothing else happened, and nothing was executed.",
        f"- The slowest took {found['slowest_s']:.2f} s; memory rose by at most {found['peak_mib']:.0f} MiB.",
        f"- Kinds of damage: {counts(found['kinds'])}.",
    ]


def threads(found: dict) -> list[str]:
    return [
        f"- {found['readers']} threads that call and generate, each call inside `using` with an adapter, none, or one "
        f"per row, and {found['writers']} that switch and scale the default: {found['outputs']:,} outputs under "
        f"{found['switches']:,} switches: **{found['wrong']} of a wrong adapter**, {len(found['errors'])} errors.",
        "- With `set_adapter` in the place of `using` the same storm meets wrong adapters at once; that is a test too.",
    ]


def leaks(found: dict) -> list[str]:
    rows = [
        (name.replace("_", " "), f"{row['cycles']:,}", row["objects_more"], f"{row['mib_more']:.2f}")
        for name, row in found["cycles"].items()
    ]
    return [markdown_table(("cycle", "times", "objects more", "MiB more"), rows, numbers=True)]


def kills(found: dict) -> list[str]:
    adapter, first, run = found["adapter"], found["first_adapter"], found["checkpoint"]
    steps = adapter["states"]
    rows = []
    for what, row in (
        ("an adapter over another", adapter["random"]),
        ("the first adapter of a folder", first["random"]),
        ("the checkpoint of a training run", run["random"]),
    ):
        old, new = row.get("old", row.get("nothing", 0)), row.get("new", 0)
        rows.append((what, f"{found['kills']:,}", row["inside"], old, new, found["kills"] - old - new))
    return [
        markdown_table(
            ("SIGKILL while saving", "kills", "inside a save", "left the old", "left the new", "between two saves"),
            rows,
            numbers=True,
        ),
        "",
        "- Nothing else was ever found on the disk. A killed training run, resumed, ends with the losses and weights "
        "of one that was never stopped, bit for bit.",
        f"- A save of {adapter['milliseconds']:.1f} ms changes the disk in {len(adapter['steps'])} steps. Killed "
        f"before each of them: {steps['old']} times the old adapter, {steps['new']} times the new one, "
        f"{steps['between renames']} of these exactly between its two files.",
        "- Whatever fails at whichever step (full disk, quota, read-only, no permission, a file in the place of a "
        "folder): a `LoRAError` and no temporary file left. What lies there is the old adapter, or, where only the "
        "last rename failed, the new one.",
    ]


def interrupts(found: dict) -> list[str]:
    verbs = json.loads((RESULTS / "reliability_interrupted_verbs.json").read_text(encoding="utf-8"))
    verbs = {name: row for name, row in verbs.items() if isinstance(row, dict) and "undone" in row}
    undone, done = (sum(row[how] for row in verbs.values()) for how in ("undone", "done"))
    stopped = sum(count for how, count in found.items() if str(how).endswith(": interrupted"))
    return [
        f"- {found['trials']} training runs with a Ctrl-C at a random instant, in every third a second one right after "
        f"it: {stopped} stopped early. After every one the base was untouched to the bit, the model could be used, the "
        "same cell run again gave the losses of an undisturbed run, and `resume` those of a run never stopped.",
        f"- {undone + done:,} in {len(verbs)} verbs: {undone:,} left the model as it was, {done:,} left the verb done, "
        "none left it half done.",
    ]


def numbers(found: dict) -> list[str]:
    drift = [(count, *(f"{value:.1g}" for value in row.values())) for count, row in found["drift"].items()]
    return [
        f"- {found['runs']} kinds of training run, each done again in the same process and in {found['processes']} "
        "fresh ones with other hash seeds: the same bits.",
        "- Other numbers of threads add up in another order. Allowed, as a share of the largest logit: "
        f"{found['forward_bound']:.1g}, and {found['trained_bound']:.1g} after {found['steps']} steps of training. "
        "Measured, against one thread:",
        "",
        markdown_table(("threads", "logits", "logits after training", "losses"), drift, numbers=True),
    ]


def cell_order(found: dict) -> list[str]:
    return [
        f"- {found['notebooks']} notebooks with {found['cells']} code cells: {found['runs_each_twice']:,} runs in "
        f"which each cell was run twice in a row, {found['runs_all_twice']:,} with all of a notebook a second time in "
        f"one kernel, {found['runs_back_up']:,} of one cell again after the last, {found['interrupts']:,} times Ctrl-C "
        "in a training cell, which was then run again.",
        f"- Surprises: **{found['unexpected']}**. {found['told_which_cell_first']:,} times a cell said which to run "
        "first.",
    ]


PROMISES = (
    Promise(
        "conformance",
        "The same on every architecture",
        """\
What PEFT's own test suite checks of LoRA holds on every architecture in [supported.md](supported.md), and more tightly
where LoRA allows it: unmerging, switching off and loading are exact to the bit, and merging stays within a bound
derived from one rounding of each weight. Adapters go to PEFT and come from PEFT.""",
        ("tests/conformance",),
        conformance,
    ),
    Promise(
        "hostile",
        "Corrupt and hostile adapters",
        """\
`load_adapter` gives the adapter or a `LoRAError`. It executes nothing. Where it refuses, the model is what it was, to
the bit. Files that lorakit wrote carry a checksum: a changed bit in the tensors, or in a
setting that decides what they compute, is refused.""",
        ("tests/robustness/test_fuzz_adapters.py", "tests/robustness/test_hostile_*.py"),
        hostile,
    ),
    Promise(
        "kills",
        "Killed, full, read-only",
        """\
Killed at any instant, a folder that lorakit saves to holds the old adapter (or checkpoint) or the new one, whole. Two
processes that save an adapter to one folder take turns. A disk that fails in the middle of training costs the
checkpoint and not the run: training goes on and says so; only where the last checkpoint cannot be written either does
it raise, at the end, with the history.""",
        ("tests/robustness/test_kill.py", "tests/robustness/test_disk.py"),
        kills,
    ),
    Promise(
        "interrupts",
        "Ctrl-C",
        """\
The first Ctrl-C stops training between two steps, with the model as trained so far and a checkpoint, if one was asked
for; a second one stops at once, without a checkpoint. Every verb is undone or done. In a notebook, the cell may simply
be run again.""",
        ("tests/robustness/test_interrupt_*.py", "tests/robustness/test_cell_order.py"),
        interrupts,
    ),
    Promise(
        "threads",
        "Threads",
        """\
Inside `lk.using` a thread sees its own choice and nobody else's: two threads with different adapters never meet each
other's, whatever a third does to the model's default.""",
        ("tests/robustness/test_threads.py",),
        threads,
    ),
    Promise(
        "leaks",
        "Memory",
        """\
Switching, using, deleting, merging and saving leave nothing behind that grows with their number. Loading leaves no
object of lorakit's either; safetensors' own reader keeps a few bytes of every tensor that it hands out: that grows
below.""",
        ("tests/robustness/test_leaks.py",),
        leaks,
    ),
    Promise(
        "cell_order",
        "Cells in any order",
        """\
In every notebook, any cell may be run twice, and all of them twice in one kernel: nothing is injected twice, and exact
results stay what they were. Where the order matters, the error names the cell to run first.""",
        ("tests/robustness/test_cell_order.py",),
        cell_order,
    ),
    Promise(
        "numbers",
        "Numbers",
        """\
The same seed gives the same result, bit for bit, on one CPU with one number of threads: whatever ran before, whatever
state the global random generators are in.""",
        ("tests/robustness/test_numbers.py",),
        numbers,
    ),
    Promise(
        None,
        "Network, files, server",
        """\
Tests, what they start, and the notebooks' kernels are refused connections to other machines and look-ups of their
names, and notebooks are refused writes outside the project, temporary folders and Jupyter's own, as far as these go
through Python: libraries that open sockets or files in C are not seen. `make lab` listens on this machine alone and
wants its token. `make audit` compares the pinned versions with the published advisories.""",
        ("tests/robustness/test_network_guard.py", "tests/robustness/test_notebook_server_network.py"),
    ),
)


def page() -> str:
    """The page as it should be now."""
    lines = [HEAD]
    for promise in PROMISES:
        lines += [f"## {promise.title}", "", promise.promised, ""]
        lines += ["Tested in " + ", ".join(f"`{path}`" for path in promise.tested) + ".", ""]
        if promise.name is None:
            continue
        file = RESULTS / f"reliability_{promise.name}.json"
        found = json.loads(file.read_text(encoding="utf-8"))
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        lines += [*promise.figures(found), ""]
        lines += [f"<sub>Measured {found['date']} on {found['device']}, {versions}.</sub>", ""]
    return "\n".join([*lines, LIMITS])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: written")
