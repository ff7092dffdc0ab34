"""Chapters hold up when cells are run twice, all again, after Ctrl-C, and back up; a cell that does not is found.

Bounded: one chapter, without Ctrl-C. In full (LORAKIT_SOAK=1, about 25 minutes on one core): every chapter.
"""

import asyncio
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import torch

import lorakit as lk
from tests.support.figures import SOAK, record
from tests.support.percent import from_percent
from tests.support.training_runs import fresh

pytest.importorskip("nbclient")
import cell_order  # noqa: E402

from notebooks import chosen, write  # noqa: E402

# Trains a model so tiny that a step takes some milliseconds.
PAGE = """
# %%
import random

import lorakit as lk
from tests.support.training_runs import fresh, run as fit

random.seed(0)
model = fresh()
# %%
print(random.random())
# %% tags=["nbval-ignore-output"]
history = fit(model, steps=20)
print("loss", *(f"{loss:.6f}" for loss in history.losses))
# %%
lk.inject(model, lk.LoRAConfig(r=2), name="other")
print("put in")
# %%
lk.eject(model)
print(lk.adapter_names(model))
"""


def test_cells_that_start_from_what_they_need_pass_and_those_that_do_not_are_found(tmp_path, monkeypatch):
    """Found: a draw that goes on, training that goes on from its own result, and the same adapter put in twice."""
    notebook, path = from_percent(PAGE), tmp_path / "page.ipynb"
    compared = [cell for cell in notebook.cells[1:] if not cell.metadata.get("tags")]
    for cell, words in zip(compared, ("0.8444218515250481", "put in", "[]"), strict=True):  # as it printed them
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=words + "\n")]
    write(notebook, path)
    monkeypatch.setattr(cell_order, "LONG", 0)  # seconds: also so short a training is interrupted
    counts, findings = asyncio.run(cell_order.run(path))
    draw, training, injecting = 1, 2, 3
    assert {finding.cell for finding in findings} == {draw, training, injecting}, findings
    found = {(finding.cell, finding.turn): finding.what for finding in findings}
    assert "0.8444218515250481' became" in found[draw, "twice"]
    assert "loss" in found[training, "twice"] and "became" in found[training, "twice"]
    assert "already has an adapter named 'other'" in found[injecting, "twice"]
    assert [counts[turn] for turn in ("cells", "twice", "again", "interrupt", "interrupts")] == [5, 10, 5, 5, 1]


def test_chapter_00s_merge_is_undone_where_its_cell_stops_half_way():
    code = [cell.source for cell in nbformat.read(*chosen(["00"]), as_version=4).cells if "lk.merge(" in cell.source]
    model = lk.inject(fresh(), lk.LoRAConfig(r=2, targets=("q",)))
    with pytest.raises(OSError):
        exec(code[-1], {"lk": lk, "torch": torch, "tuned": model, "logits": lambda model: Path("/").read_bytes()})
    assert not lk.is_merged(model)


def test_chapter_10s_strengths_are_as_trained_where_their_cell_stops_half_way(monkeypatch):
    cells = nbformat.read(*chosen(["10"]), as_version=4).cells
    (code,) = [cell.source for cell in cells if "    lk.set_scale(model, s)\n" in cell.source]
    model = lk.inject(fresh(), lk.LoRAConfig(r=2, targets=("q",)), name="law")
    monkeypatch.setattr("lorakit.chapters.one_model_many_tasks.cross.judge", lambda *_: Path("/").read_bytes())
    with pytest.raises(OSError):
        exec(code, {"lk": lk, "model": model, "tokenizer": None, "by_budget": lambda *each: each[0], "HELD_OUT": ()})
    assert model._lorakit.strengths["law"] == 1


def test_chapters_pass_in_every_order():
    paths = chosen([] if SOAK else ["04"])
    total, found = Counter(), {}
    for path in paths:
        counts, found[path.name] = asyncio.run(cell_order.run(path, ctrl_c=SOAK))
        total += counts
    assert not any(found.values()), found
    record(
        "cell_order",
        notebooks=len(paths),
        cells=total["cells"],
        runs_each_twice=total["twice"],
        runs_all_twice=total["again"],
        runs_back_up=total["back"],
        interrupts=total["interrupts"],
        told_which_cell_first=total["told"],
        unexpected=0,
    )
