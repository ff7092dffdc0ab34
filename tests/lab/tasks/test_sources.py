"""Where tasks are read from, and what is said where nothing is there."""

import pytest

from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab.tasks.styles import style_task
from lorakit.lab.tasks.text_to_sql import text_to_sql
from lorakit.lab.tasks.tickets import ticket_triage

MEANING = "name : A | area : riverside||A is by the river ."


@pytest.mark.parametrize(
    ("task", "title", "files", "bad", "expected"),
    [
        (lab.e2e, "E2E", {"valid.txt": MEANING, "test.txt": MEANING}, "name : B", r"attributes\|\|sentence"),
        (lab.e2e, "E2E", {"valid.txt": MEANING, "test.txt": MEANING}, "name : B|| ", r"attributes\|\|sentence"),
        *(
            (lab.sst2, "SST-2", {f"{name}.tsv": "fine\t1" for name in ("train", "dev", "test")}, bad, "sentence<TAB>0")
            for bad in ("a film", "a film\t2", "\t1", "a film\tpositive")
        ),
    ],
)
def test_a_data_set_that_is_not_here_or_damaged_is_said(task, title, files, bad, expected, tmp_path, monkeypatch):
    for name, line in files.items():
        (tmp_path / name).write_text(f"{line}\n")
    assert task(tmp_path).test
    last = tmp_path / list(files)[-1]
    last.write_text(f"{files[last.name]}\n{bad}\n")
    with pytest.raises(LoRAError, match=f"{last.name}, line 2: expected `{expected}"):
        task(tmp_path)
    last.write_text("\n")
    with pytest.raises(LoRAError, match=f"{last.name} is empty. {title} is read from"):
        task(tmp_path)
    last.unlink()
    with pytest.raises(LoRAError, match=f"there is no .*{last.name}. {title} is read from"):
        task(tmp_path)
    with pytest.raises(LoRAError, match="there is no folder"):
        task(tmp_path / "absent")
    monkeypatch.delenv("LORAKIT_DATA", raising=False)
    with pytest.raises(LoRAError, match=f"the {title} data is not here.*LORAKIT_DATA"):
        task()


@pytest.mark.parametrize("content", [None, "{ half"])
def test_a_bundled_file_that_is_missing_or_broken_says_what_to_run(tmp_path, monkeypatch, content):
    monkeypatch.setattr("lorakit.lab.tasks.styles.FOLDER", tmp_path)
    for read, name, module in (
        (lambda: text_to_sql(tmp_path), "train.jsonl", "text_to_sql"),
        (lambda: ticket_triage(tmp_path / "tickets.jsonl"), "tickets.jsonl", "tickets.write"),
        (lambda: style_task("law"), "law.jsonl", "styles.write"),
    ):
        if content:
            (tmp_path / name).write_text(content)
        with pytest.raises(LoRAError, match=f"{name} cannot be read .*: python -m data.make.{module} makes it"):
            read()
