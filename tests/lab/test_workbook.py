"""The workbook: values survive, several writers lose nothing, trouble never stops a chapter."""

import pytest
import torch

from lorakit.lab import places, workbook
from tests.support.processes import at_once


def test_a_kept_value_is_read_back_with_where_it_was_measured(monkeypatch):
    monkeypatch.setenv("LORAKIT_BUDGET", "fast")
    monkeypatch.setenv("LORAKIT_MODEL", "nano")
    workbook.keep(share=torch.tensor(0.25), frozen=True)
    entries = workbook.read(workbook.MEASURED)
    assert entries["share"]["value"] == 0.25 and entries["frozen"]["value"] is True
    entry = entries["share"]
    assert entry["model"] == "nano" and entry["budget"] == "fast" and set(entry) >= {"date", "device"}


def test_what_json_cannot_hold_is_refused_and_nothing_is_written():
    with pytest.raises(RuntimeError, match="2 elements cannot be converted"):
        workbook.keep(share=torch.zeros(2))
    assert not places.workbook().exists()


def write_twenty(writer: int, folder: str) -> None:
    import os

    os.environ["LORAKIT_WORKBOOK"] = folder
    for i in range(20):
        workbook.update("counts.json", lambda content, i=i: content.update({f"{writer}-{i}": i}))


def test_several_notebooks_that_write_at_once_lose_nothing():
    at_once(write_twenty, 3, str(places.workbook()))
    assert len(workbook.read("counts.json")) == 60
