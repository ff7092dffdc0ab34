"""Every recorded sweep is what `make results` declares: nothing is shown that was not run, and nothing is missing."""

from dataclasses import replace

import pytest

from lorakit.chapters import results
from lorakit.chapters.experiment import Experiment
from lorakit.chapters.rank_and_alpha.experiments import MATRICES
from lorakit.chapters.results import EXPERIMENTS
from lorakit.core.errors import LoRAError
from lorakit.lab.json_lines import read
from lorakit.lab.places import RESULTS
from lorakit.lab.sweep import Run
from lorakit.study.parameters import Decoder, count_lora_parameters
from tests.support.tiny_sweep import LORA, shrink


@pytest.fixture(autouse=True)
def class_budget(monkeypatch):
    monkeypatch.setenv("LORAKIT_BUDGET", "class")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_recorded_sweep_holds_exactly_the_declared_runs(name):
    rows = read(RESULTS / f"{name}.jsonl")
    experiment = EXPERIMENTS[name]
    found = [Run.of(row) for row in rows]
    assert len(set(found)) == len(found), "a run is recorded once"
    assert set(found) == set(experiment.wanted(rows))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_record_has_what_a_reader_needs_to_do_it_again(name):
    for row in read(RESULTS / f"{name}.jsonl"):
        assert row["device"] and row["date"] and row["versions"]["torch"] and row["threads"] >= 1
        assert row["trainable"] > 0
        if "diverged" not in row:
            for split in ("validation", "test"):
                scores = row["metrics"][split]
                assert all(isinstance(score, float) and score >= 0 for score in scores.values())
            assert row["seconds"] > 0


def test_a_sweep_wants_no_run_twice():
    for experiment in EXPERIMENTS.values():
        wanted = experiment.wanted([])
        assert wanted and len(set(wanted)) == len(wanted)


def test_choices_of_matrices_hold_the_same_number_of_parameters():
    nano = Decoder(4, 256, 4, 4096, 256, inner=1024)
    counts = [count_lora_parameters(nano, targets, r) for targets, r in MATRICES]
    assert counts[:-1] == [40_960] * 8 and counts[-1] == 36_864


def test_the_index_of_the_results_is_up_to_date():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert page == results.index(RESULTS)
    listed = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines()}
    assert {file.name for file in RESULTS.glob("*.json*")} <= listed
    assert "``" not in page, "each with its command"


def test_the_command_makes_what_is_wanted_and_then_wanted_and_says_what_it_cannot_make(
    monkeypatch, make_tiny, tiny_tokenizer, tmp_path, capsys
):
    loaded = shrink(monkeypatch, make_tiny, tiny_tokenizer)

    def no_data(rows):
        raise LoRAError("the data is not here")

    def tiny(rows):
        grid = [LORA, replace(LORA, lr=1e-4)]
        return grid if not rows else [*grid, replace(LORA, seed=1), replace(LORA, seed=2)]

    for made in (
        Experiment("tiny", "", tiny),
        Experiment("again", "", lambda rows: [LORA]),
        Experiment("absent", "", no_data),
    ):
        monkeypatch.setitem(EXPERIMENTS, made.name, made)
    assert results.main(["absent", "tiny", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "tiny: 4 runs" in said.out and "the data is not here" in said.err
    assert "| tiny.jsonl |  |  | 4 | 3 | 2 |" in (tmp_path / "README.md").read_text()
    before = len(loaded)
    (tmp_path / "reward.jsonl").write_text('{"setting": "of another form"}\n', encoding="utf-8")
    assert results.main(["again", "--out", str(tmp_path)]) == 0
    assert len(loaded) == before, "what another sweep has recorded is not run again"
    with pytest.raises(SystemExit):
        results.main(["nothing"])
