"""Chapters hold up when cells are run twice, all again, after Ctrl-C, and back up; a cell that does not is found.

Bounded: one chapter, without Ctrl-C. In full (LORAKIT_SOAK=1, about 25 minutes on one core): every chapter.
"""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch

import lorakit as lk
from lorakit import show
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
from lorakit import show
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


def test_cells_that_start_from_what_they_need_pass_and_those_that_do_not_are_found(tmp_path):
    """Found: a draw that goes on, training that goes on from its own result, and the same adapter put in twice."""
    notebook, path = from_percent(PAGE), tmp_path / "page.ipynb"
    compared = [cell for cell in notebook.cells[1:] if not cell.metadata.get("tags")]
    for cell, words in zip(compared, ("0.8444218515250481", "put in", "[]"), strict=True):  # as it printed them
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=words + "\n")]
    write(notebook, path)
    report = asyncio.run(cell_order.run(path, ("twice", "back")))
    draw, training, injecting = 1, 2, 3
    assert {finding.cell for finding in report.findings} == {draw, training, injecting}, report.findings
    found = {(finding.cell, finding.turn): finding.what for finding in report.findings}
    assert "became" in found[draw, "at once again"]
    assert "other losses" in found[training, "at once again"]
    assert "already has an adapter named 'other'" in found[injecting, "at once again"]
    assert (report.runs["twice"], report.runs["again"]) == (10, 5)


def test_chapter_00_goes_on_from_a_training_that_was_stopped():
    def train(*settings):
        yield from (3.0, 2.0, 1.0)
        raise KeyboardInterrupt

    code = [cell.source for cell in nbformat.read(*chosen(["00"]), as_version=4).cells if cell.cell_type == "code"]
    place = next(i for i, source in enumerate(code) if "in train(" in source)
    names = {"lk": SimpleNamespace(load_base=lambda: (None, None)), "torch": torch, "show": show, "train": train}
    names |= {"put_in": id, "total": 1, "count": 1, "steps": 100}
    with pytest.raises(KeyboardInterrupt):
        exec(code[place], names)
    exec(code[place + 1], names)
    assert names["ax"].lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]


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
    names, modes = ([], cell_order.MODES) if SOAK else (["04"], ("twice", "back"))
    reports = [asyncio.run(cell_order.run(path, modes)) for path in chosen(names)]
    assert {report.notebook: report.findings for report in reports if report.findings} == {}
    runs = {mode: sum(report.runs.get(mode, 0) for report in reports) for mode in ("twice", "again", "back")}
    record(
        "cell_order",
        notebooks=len(reports),
        cells=sum(report.cells for report in reports),
        runs_each_twice=runs["twice"],
        runs_all_twice=runs["again"],
        runs_back_up=runs["back"],
        interrupts=sum(report.interrupts for report in reports),
        told_which_cell_first=sum(report.told for report in reports),
        minutes=round(sum(report.seconds for report in reports) / 60, 1),
        unexpected=sum(len(report.findings) for report in reports),
    )
