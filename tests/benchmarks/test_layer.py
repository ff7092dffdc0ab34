"""One projection beside its peers: everybody computes the same, and what is not installed is named."""

import json
import math
import sys

from pytest import approx

from benchmarks import layer, scaling
from benchmarks.chart import draw_layers, draw_scaling


def test_a_tiny_run_has_every_row_beside_its_limit_and_names_who_is_absent(tmp_path, monkeypatch):
    for package in ("litgpt", "torchtune", "torchtune.modules.peft"):
        monkeypatch.setitem(sys.modules, package, None)
    out = tmp_path / "layer.json"
    layer.main(["--tiny", "--device", "cpu", "--repeats", "2", "--seconds", "0", "--out", str(out)])
    result = json.loads(out.read_text())
    whats = [row["what"] for row in result["rows"]]
    assert {"forward, 1 tokens", "step, 16 tokens", "16 rows, 8 adapters", "64 rows, 64 adapters"} <= set(whats)
    for row in result["rows"]:
        assert row["frozen"] > 0 < row["limit"] and row["added"].keys() >= {"lorakit", "peft"}
    assert set(result["absent"]) == {"litgpt", "torchtune"}
    assert {"lorakit", "by_hand", "peft", "loralib"} == set(result["rows"][0]["added"])
    rows = {row["what"]: row for row in result["rows"]}
    share = layer.R * sum(layer.TINY) / math.prod(layer.TINY)  # of W0's numbers and operations, for one adapter
    one, many = (rows[f"forward, {tokens} tokens"]["frozen"] for tokens in (1, 16))
    whats = ("forward, 1 tokens", "step, 1 tokens", "16 rows, 8 adapters")
    expected = [one, 3 * one, max(8 * one, many)]
    assert [rows[what]["limit"] / share for what in whats] == approx(expected)
    draw_layers(result, tmp_path / "layer.png")
    assert (tmp_path / "layer.png").read_bytes().startswith(b"\x89PNG")


def test_a_tiny_run_of_scaling_has_its_rows(tmp_path):
    scaling.main(["--tiny", "--out", str(tmp_path / "scaling.json")])
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert [row["adapters"] for row in found["resident"]] == [1, 2] == [row["blocks"] for row in found["depth"]]
    assert found["resident"][0]["bytes"] == 12 * 4 * (256 + 768) * 4  # blocks, r, in + out, bytes
    draw_scaling(found, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
