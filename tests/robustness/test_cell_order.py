"""Chapters hold up when cells are run twice, all again, after Ctrl-C, and back up; a cell that does not is found.

Bounded: one chapter, without Ctrl-C. In full (LORAKIT_SOAK=1, about 25 minutes on one core): every chapter.
"""

import asyncio
import os
import re
from pathlib import Path

import nbformat
import pytest

from tests.support.figures import SOAK, record
from tests.support.percent import from_percent

pytest.importorskip("nbclient")
ROOT = Path(__file__).resolve().parents[2]
import cell_order  # noqa: E402

from notebooks import chosen, write  # noqa: E402

SETUP = """
# %%
from dataclasses import replace

import torch

import lorakit as lk
from lorakit import lab, show

torch.manual_seed(0)
model, tokenizer = lk.load_base("nano")
task = lab.text_to_sql()
task = replace(task, train=task.train[:64])
config = lk.LoRAConfig(r=2, alpha=4, targets=("q", "v"))
short = dict(steps=48, lr=1e-2, batch_size=4, progress=False)
"""
GOOD = """
# %%
lk.eject(model)
lk.inject(model, config, name="sql", seed=0)
print(len(lk.adapter_names(model)), "adapter")
# %% tags=["nbval-ignore-output"]
lk.eject(model)
lk.inject(model, config, name="sql", seed=0)
history = lab.fit(model, tokenizer, task, **short)
print("loss", *(f"{loss:.6f}" for loss in history.losses))
# %%
show.run_first("Train it", ready="sql" in lk.adapter_names(model))
lk.set_adapter(model, "sql")
lk.merge(model)
lk.unmerge(model)
lk.set_adapter(model, None)
print("done")
"""
BAD = """
# %%
lk.set_adapter(model, "sql")
print(torch.rand(1).item())
# %% tags=["nbval-ignore-output"]
history = lab.fit(model, tokenizer, task, **short)
print("loss", *(f"{loss:.6f}" for loss in history.losses))
# %%
lk.load_adapter(model, "../data/adapters/sql-r8-seed0", name="other")
print("loaded")
# %%
lk.eject(model)
print(lk.adapter_names(model))
"""
RESUMED = """
# %% tags=["nbval-ignore-output"]
lk.eject(model)
lk.inject(model, config, name="sql", seed=0)
history = lab.fit(model, tokenizer, task, checkpoint="FOLDER", checkpoint_every=4, resume=True, **short)
print("loss", *(f"{loss:.6f}" for loss in history.losses))
"""
USED = """
# %% tags=["nbval-ignore-output"]
lk.merge(model)
lk.unmerge(model)
print("answers:", lab.generate_answers(model, tokenizer, [task.test[0].prompt], 4))
"""
WAITING = (
    "tensors moved",
    "trained_logits = logits()",
)  # the two cells of chapter 04 that need the training before them


def page(folder: Path, text: str, *printed: str) -> Path:
    """A notebook whose compared cells print what is said here, beside the data that it names."""
    notebook = from_percent(text)
    compared = [cell for cell in notebook.cells[1:] if not cell.metadata.get("tags")]
    for cell, words in zip(compared, printed, strict=True):
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=words + "\n")]
    path = folder / "page.ipynb"
    write(notebook, path)
    return path


def test_cells_that_start_from_what_they_need_pass_and_those_that_do_not_are_found(tmp_path):
    """Found: a draw that goes on, training that goes on from its own result, and the same adapter put in twice."""
    printed = ("1 adapter", "done", "0.49625658988952637", "loaded", "[]")
    report = asyncio.run(cell_order.run(page(tmp_path, SETUP + GOOD + BAD, *printed)))
    draw, training, loading = 4, 5, 6
    assert {finding.cell for finding in report.findings} == {draw, training, loading}
    found = {(finding.cell, finding.turn): finding.what for finding in report.findings}
    assert "became" in found[draw, "at once again"]
    assert "other losses" in found[training, "at once again"]
    assert "already has an adapter named 'other'" in found[loading, "at once again"]
    assert (report.runs["twice"], report.runs["again"], report.runs["interrupt"]) == (16, 8, 8)
    assert report.interrupts == 2
    assert report.told == 1  # back up, after the eject: a cell said which one to run first


def test_training_stopped_by_ctrl_c_in_a_kernel_resumes_to_the_losses_of_a_run_that_was_not(tmp_path):
    """In one kernel: a run to its end; then one that SIGINT stops, whose model is used, and whose cell is run again."""
    cells = [RESUMED.replace("FOLDER", str(tmp_path / name)) for name in ("whole", "stopped")]
    path = page(tmp_path, SETUP + "".join(cells) + USED)
    chapter = cell_order.Chapter(nbformat.read(path, as_version=4), tmp_path, cell_order.Report(path.name))

    async def run_cells() -> dict[str, list[str]]:
        found = {}
        async with chapter.client.async_setup_kernel():
            for number, stop, name in (
                (0, None, "setup"),
                (1, None, "never stopped"),
                (2, lambda _: any((tmp_path / "stopped").glob("step-*/state.json")), "stopped"),
                (3, None, "used"),
                (2, None, "resumed"),
            ):
                assert await chapter.execute(number, stop) is None, name  # Ctrl-C between two steps is no error
                found[name] = cell_order.losses(chapter.notebook.cells[number].outputs)
        return found

    found = asyncio.run(run_cells())
    assert chapter.report.interrupts == 1
    (whole,), (half,) = found["never stopped"], found["stopped"]
    assert whole.startswith(half) and 4 <= len(half.split()) < len(whole.split()) == 49
    assert found["resumed"] == found["never stopped"]


def chapter(name: str, place: Path) -> cell_order.Chapter:
    (path,) = chosen([name])
    return cell_order.Chapter(nbformat.read(path, as_version=4), place / "notebooks", cell_order.Report(path.name))


def test_going_back_to_the_training_of_chapter_04_while_a_second_adapter_is_in_says_what_to_run():
    """Both adapters of "The exact relation" are in the model then, and neither is the one that was just trained."""

    async def go_back(found: cell_order.Chapter, environment: dict) -> list:
        cells = found.notebook.cells
        first = {name: i for i, cell in enumerate(cells) for name in WAITING if name in cell.source}
        both = next(i for i in found.numbers if 'name="wide"' in cells[i].source)
        async with found.client.async_setup_kernel(env=environment):
            for number in [i for i in found.numbers if i <= both]:
                assert await found.execute(number) is None, cells[number].source
            return [await found.execute(first[name]) for name in WAITING]

    with cell_order.own_place() as place:
        environment = os.environ | {
            "LORAKIT_WORKBOOK": f"{place}/workbook",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        errors = asyncio.run(go_back(chapter("04", place), environment))
    for error in errors:
        assert error is not None and error.ename == "LoRAError", error
        assert "Run the cells under '4 · Frozen, and proved' first, from the top" in error.evalue


def test_a_cell_that_goes_on_from_others_names_a_heading_above_it():
    named = 0
    for path in chosen([]):
        headings = set()
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                headings |= set(re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE))
            for heading in re.findall(r'run_first\("([^"]+)"', cell.source):
                assert heading in headings, f"{path.name}: no heading {heading!r} above the cell that names it"
                named += 1
    assert named


def test_chapters_pass_in_every_order():
    names, modes = ([], cell_order.MODES) if SOAK else (["04"], ("twice", "back"))
    reports = [asyncio.run(cell_order.run(path, modes)) for path in chosen(names)]
    assert {report.notebook: report.findings for report in reports if report.findings} == {}
    record(
        "cell_order",
        notebooks=len(reports),
        cells=sum(report.cells for report in reports),
        runs_each_twice=sum(report.runs["twice"] for report in reports),
        runs_all_twice=sum(report.runs["again"] for report in reports),
        runs_back_up=sum(report.runs["back"] for report in reports),
        interrupts=sum(report.interrupts for report in reports),
        told_which_cell_first=sum(report.told for report in reports),
        minutes=round(sum(report.seconds for report in reports) / 60, 1),
        unexpected=sum(len(report.findings) for report in reports),
    )
