"""What the README and docs/measured.md say of recorded sweeps, written between marks: `python tools/readme_tables.py`.

<!-- ranks --> rank and placement on two tasks; <!-- rivals --> LoRA beside other ways to adapt the base;
<!-- surprises --> in the README, what of these surprised.
<!-- variants --> LoRA beside its variants; <!-- layers --> one projection beside other libraries'.
"""

from pathlib import Path

from markdown_table import markdown_table

from lorakit.chapters.against_the_others import table as rivals
from lorakit.chapters.compare import reported
from lorakit.chapters.low_rank_updates.recorded import recorded_cuts
from lorakit.chapters.rank_and_alpha.rank_sweep import RankSweep, pretrained
from lorakit.chapters.reward import record as reward
from lorakit.chapters.reward.plots import best
from lorakit.chapters.variants.table import LORA, fair_table
from lorakit.lab import record, records
from lorakit.lab.places import RESULTS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "measured.md")


def sweeps() -> list[RankSweep]:
    """Rank and placement on text-to-SQL and on Python source."""
    bases = records.load("bases")
    return [RankSweep.of(records.load(f"rank_{task}"), bases) for task in ("text_to_sql", "python")]


def surprises() -> str:
    """The first results of the README's list, in the records' numbers."""
    sql, python = sweeps()
    right, bits = sql.table["mean"], python.table["mean"]
    one, most, all_one = "q, v, r = 1", "q, v, r = 64", "all-linear, r = 1"
    paid = reward.recorded().query("setting == 'r = 1'")
    rows, anything = (100 * runs["test_execution"] for runs in (best(paid), paid.query("reward == 'any rows'")))
    llm = pretrained(records.load("smollm2_text_to_sql"))[0]["right"]
    small, whole = llm["all-linear", 1], llm["every weight", 0]
    every = "q+k+v+o+mlp"
    cut = 100 * recorded_cuts(records.load("truncation"), "nano").groupby("k").mean()
    early = 100 * reported(records.load("nano_early")).groupby(["targets", "r"])["test_execution"].mean()
    return f"""\
1. **Rank 1 does it where the base almost can.** Text-to-SQL: {right[one]:.1f} % right with 4,096 trained numbers,
   {right[most]:.1f} % with 64 times as many, {right["full"]:.1f} % with all 4.3 million. SmolLM2,
   64 questions: r = 1 on all matrices {small:.0f} %, all 135 million numbers {whole:.0f} %: level, within chance.
2. **Elsewhere placement counts, not rank.** Python source, new to the base, in bits per byte: r = 64 on q and v
   {bits[most]:.2f}; r = 1 on all, 14 times fewer numbers, {bits[all_one]:.2f}; all weights {bits["full"]:.2f}.
3. **No answer need be shown.** Paid a point for every query that returns the right rows, r = 1 comes from
   {sql.base:.0f} % to {rows.mean():.0f} % right in 2,048 tries. Paid for *any* rows, it writes `SELECT COUNT(*)`:
   {anything.median():.0f} % right.
4. **Why so little is enough.** Full fine-tuning's ΔW on text-to-SQL, cut to rank 1 in every matrix, answers
   {cut[1]:.0f} % of the questions, to rank 8 {cut[8]:.0f} %, whole {cut[256]:.0f} %. On a base that had never seen
   a request and its answer the cut needs rank 64, and r = 8 is too little for LoRA, too: {early["q+v", 8]:.0f} % on
   q and v, {early[every, 8]:.0f} % on all matrices; r = 64 there {early[every, 64]:.0f} %, as all weights
   ({early["", 0]:.0f} %)."""


def ranks() -> str:
    """A row for each rank and placement: mean (lowest to highest) over its seeds, and how far it is from full."""
    sql, python = sweeps()
    rows = [["base", 0, f"{sql.base:.1f} %", f"{python.base:.2f}", ""]]
    for name, row in python.table.iloc[::-1].iterrows():
        there = sql.table.loc[name] if name in sql.table.index else None
        shown = "" if there is None else f"{there['mean']:.1f} % ({there['low']:.1f} to {there['high']:.1f})"
        behind = ""
        if name != "full":
            place, r = name.split(", r = ")
            mean, low, high = (-value for value in python.gain((place, int(r)), "full"))
            behind = f"{mean:.2f} ({high:.2f} to {low:.2f})"
        label = "full fine-tuning" if name == "full" else f"LoRA, {name}"
        bits = f"{row['mean']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        rows.append([label, f"{int(row['parameters']):,}", shown, bits, behind])
    head = ["", "trained parameters", "text-to-SQL, right", "Python, bits per byte", "behind full, bits (95 %)"]
    return markdown_table(head, rows, numbers=True)


def against() -> str:
    """A row for each way to adapt the base: accuracy, bits per byte, and the time of a token over the base's."""
    found, python = rivals.rivals_table(), rivals.scores(rivals.recorded("python"))
    rows = []
    for key, row in found.drop(index="distill").iterrows():
        bits = f"{python['test'][key]:.2f}" if key in python.index else ""
        right = f"{rivals.percent(row, 'test')} %"
        rows.append([row["method"], f"{int(row['trained']):,}", right, bits, f"{row['decode']:.2f}"])
    head = ["", "trained parameters", "text-to-SQL, right", "Python, bits per byte", "time for a token"]
    return markdown_table(head, rows, numbers=True)


def variants() -> str:
    """A row for each variant of LoRA at its own rate: bits per byte, how far ahead of LoRA, the time of a step."""
    rows = []
    for name, row in fair_table(records.load("variants")).iterrows():
        ahead = "" if name == LORA else f"{row['gain']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})"
        step = f"{row['step']:.2f}" if row["step"] > 0 else ""  # NaN where it was not timed
        rows.append([name, f"{int(row['trained']):,}", f"{row['rate']:g}", f"{row['bits']:.3f}", ahead, step])
    head = ["", "trained parameters", "rate", "bits per byte", "% fewer than LoRA (95 %)", "time of a step"]
    return markdown_table(head, rows, numbers=True)


def layers() -> str:
    """A row for each job and number of tokens of the first projection: what each library adds, in µs.

    Without the rows where even PEFT's time is within the noise.
    """
    found = record.read(RESULTS / "bench_layer_cpu.json")
    names = list(found["rows"][0]["added"])

    def shown(row: dict, name: str) -> str:
        added, noise = row["added"].get(name), row["noise"]
        return "" if added is None else f"{added:,.0f}" if added > noise else f"< {noise:,.0f}"

    rows = []
    for row in found["rows"]:
        # Where PEFT's is noise there is nothing to compare with.
        if row["shape"] == found["rows"][0]["shape"] and row["added"]["peft"] >= row["noise"]:
            times = [f"{row['frozen']:,.0f}", f"{row['limit']:,.0f}"]
            rows.append([row["what"], *times, *(shown(row, name) for name in names)])
    return markdown_table(["", "frozen layer, µs", "limit", *(f"{name} adds" for name in names)], rows, numbers=True)


def filled(text: str) -> str:
    """A page with everything between marks as the records have it."""
    made_of = {"surprises": surprises, "ranks": ranks, "rivals": against, "variants": variants, "layers": layers}
    for mark, made in made_of.items():
        begin, end = f"<!-- {mark} -->\n", f"\n<!-- /{mark} -->"
        if begin in text:
            text = text.partition(begin)[0] + begin + made() + end + text.partition(end.strip())[2]
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
