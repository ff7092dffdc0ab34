"""The benchmark runs, and its contestants compute the same."""

import json

from benchmarks import against_peft

ROWS = (
    "training step", "peak memory", "forward 4 x 128", "forward 1 x 32", "switch adapter", "prefill 16 x 32",
    "decoding, 16 steps", "inject and take out again", "inject into 175B", "import", "using in and out",
)  # fmt: skip


def test_a_tiny_run_has_every_row(tmp_path):
    out = tmp_path / "bench.json"
    against_peft.main(["--tiny", "--device", "cpu", "--repeats", "2", "--seconds", "0.1", "--out", str(out)])
    result = json.loads(out.read_text())
    for what in ROWS:
        assert any(what in row["what"] for row in result["rows"]), what
    assert result["same_logits_within"] < 1e-3, "lorakit, PEFT and loralib with the same A and B"
    assert {"lorakit", "peft", "loralib", "noise"} <= set(result["rows"][0])
