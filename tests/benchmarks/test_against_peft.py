"""The benchmark runs, its contestants compute the same, and every goal is judged by code."""

import json

from benchmarks import against_peft
from benchmarks.chart import draw

GOALS = (
    "training step", "peak memory", "unmerged forward", "merged forward", "switch adapter", "prefill 16 x 32",
    "decoding, 16 steps", "inject (and take out again)", "inject into 175B", "import lorakit",
)  # fmt: skip


def test_a_tiny_run_has_every_row_with_its_verdict(tmp_path):
    out = tmp_path / "bench.json"
    against_peft.main(["--tiny", "--device", "cpu", "--repeats", "2", "--seconds", "0.1", "--out", str(out)])
    result = json.loads(out.read_text())
    for goal in GOALS:
        rows = [row for row in result["rows"] if goal in row["what"]]
        assert rows and all(row["met"] in (True, False, None) and row["goal"] for row in rows), goal
    assert result["same_logits_within"] < 1e-3, "lorakit, PEFT and loralib with the same A and B"
    assert {"lorakit", "peft", "loralib"} <= set(result["rows"][0])


def test_the_chart_is_drawn_from_the_rows(tmp_path):
    rows = [{"what": "merged forward, overhead", "lorakit": 0.01, "noise": 0.02}, {"what": "switch adapter, ms"}]
    draw({"shape": "tiny", "rows": rows}, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
