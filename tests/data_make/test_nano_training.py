"""Pretraining's loop on a tiny model, nano's report, and the two bundled models themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from data.make.nano import card, report, training
from data.make.nano.report import Run, between, markdown, table
from data.make.nano.training import Plan, pretrain

DATA = Path(__file__).resolve().parents[2] / "data"
BASES = ["nano", "nano-early"]


def test_the_rate_warms_up_stays_and_falls():
    plan = Plan(early_shards=1, shards=4, decay_shards=1, warmup=10)
    rates = [plan.rate(step) for step in range(plan.steps)]
    assert rates[0] == pytest.approx(0.1) and rates[10:768] == [1.0] * 758
    assert all(a >= b for a, b in zip(rates[768:], rates[769:], strict=False)) and rates[-1] == pytest.approx(0.01)
    assert [plan.stage(shard) for shard in range(3)] == ["early", "paired", "paired"]


class TinyCorpus:
    """Rows that count upwards from a random start: learnt in no time, another set for every shard."""

    def shard(self, stage, index, tokenizer, length):
        starts = np.random.default_rng(index).integers(0, 100, (64, 1))
        return ((starts + np.arange(length)) % 250).astype(np.uint16)

    def validation(self, tokenizer):
        return {"english": self.shard("", 99, None, 32)[:4]}


@pytest.fixture
def tiny_training(monkeypatch, make_tiny, tiny_tokenizer, tmp_path):
    monkeypatch.setattr(training, "new_model", lambda *_: make_tiny(dropout=0.0))
    monkeypatch.setattr(training, "STEPS_PER_SHARD", 4)
    monkeypatch.setattr(training, "TOKENS_PER_STEP", 256)
    saved = {}

    def run(folder, until=None):
        plan = Plan(early_shards=1, shards=3, decay_shards=1, warmup=2, peak=1e-2)
        keep = lambda model, name: saved.update({name: model.state_dict()})  # noqa: E731
        model = pretrain(TinyCorpus(), tiny_tokenizer, plan, tmp_path / folder, keep, until=until)
        return model.state_dict()

    run.saved = saved
    return run


def test_a_resumed_run_ends_at_the_same_weights(tiny_training):
    whole = tiny_training("whole")
    assert set(tiny_training.saved) == set(BASES)
    tiny_training("cut", until=6)
    resumed = tiny_training("cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def rows_of(base, r, scores):
    runs = [Run(base, r, "c_attn", 0.01, seed, "test") for seed in range(len(scores))]
    extra = {"exact": 0.5, "trainable": 10, "train_seconds": 1.0}
    return [{**run.__dict__, **extra, "execution": s} for run, s in zip(runs, scores, strict=True)]


def test_the_table_gives_mean_and_range_over_seeds():
    lines = table(rows_of("nano", 0, [0.9, 0.8, 1.0]) + rows_of("nano", 8, [0.5]))
    assert [line["method"] for line in lines] == ["full fine-tuning", "LoRA r = 8, c_attn"]
    assert lines[0]["execution"] == pytest.approx(0.9) and lines[0]["execution_range"] == [0.8, 1.0]
    assert "| 3 | 90.0 % | 80.0 - 100.0 |" in markdown(lines)


def test_finished_runs_are_not_run_again(tmp_path, monkeypatch):
    kept = tmp_path / "results.jsonl"
    rows = rows_of("nano", 8, [0.5, 0.6])
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(report, "train_and_score", lambda run: pytest.fail("ran again"))
    runs = [Run("nano", 8, "c_attn", 0.01, seed, "test") for seed in (1, 0)]
    assert [row["execution"] for row in report.do_all(runs, kept, 1)] == [0.6, 0.5]


def test_a_section_of_the_card_is_replaced_and_the_rest_kept():
    text = "top\n<!-- table -->\nold\n<!-- /table -->\nend\n"
    assert between(text, "table", "new\n") == "top\n<!-- table -->\nnew\n<!-- /table -->\nend\n"


def test_the_curve_keeps_the_last_of_repeated_steps(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": s, "loss": x}) + "\n" for s, x in [(64, 3), (128, 2), (64, 1)]))
    assert card.curve(log) == [{"step": 64, "loss": 1}, {"step": 128, "loss": 2}]


@pytest.fixture(scope="module", params=BASES)
def base(request):
    from lorakit.lab.bases.load import load_base

    return request.param, *load_base(request.param, device="cpu")


def test_the_bundled_models_are_small_and_ordinary_gpt2(base):
    name, model, tokenizer = base
    assert type(model).__name__ == "GPT2LMHeadModel" and next(model.parameters()).dtype == torch.float32
    assert sum(p.numel() for p in model.parameters()) < 8e6
    assert model.config.n_positions >= 256 and len(tokenizer) == model.config.vocab_size
    assert tokenizer.eos_token == "<|endoftext|>" and tokenizer.pad_token_id is not None
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_both_folders_are_under_20_mb_and_share_the_tokenizer():
    files = [file for name in BASES for file in (DATA / name).iterdir()]
    assert sum(file.stat().st_size for file in files) < 20e6
    one, other = ((DATA / name / "tokenizer.json").read_bytes() for name in BASES)
    assert one == other


def test_nano_copies_names_it_has_never_seen():
    from lorakit.lab.bases.load import load_base
    from lorakit.lab.evaluate import generate_answers

    model, tokenizer = load_base("nano", device="cpu")
    names = ["Brelanth", "Korvan", "Thiamo", "Sheltia", "Quorne", "Vadrisk"]
    prompts = [f"table: river (name, length, country)\nquestion: what is the length of {n}?\nkeywords:" for n in names]
    answers = generate_answers(model, tokenizer, prompts, max_new_tokens=16)
    assert sum("length" in a and n in a for n, a in zip(names, answers, strict=True)) >= 5
