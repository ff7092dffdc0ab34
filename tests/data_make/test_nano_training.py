"""Pretraining's loop on a tiny model, nano's card, and the two bundled models themselves."""

import json

import numpy as np
import pytest
import torch

from data.make.nano.pretrain import Plan, pretrain
from lorakit.lab.bases.load import load_base
from lorakit.lab.evaluate import generate_answers
from lorakit.lab.json_lines import read
from lorakit.lab.places import DATA, RESULTS

BASES = ["nano", "nano-early"]


class TinyCorpus:
    """Rows that count upwards from a random start: another set for every shard; none from shard `end` on."""

    def __init__(self, end=99):
        self.end = end

    def shard(self, stage, index, tokenizer, length):
        if index >= self.end:
            raise KeyboardInterrupt
        starts = np.random.default_rng(index).integers(0, 100, (8, 1))
        return ((starts + np.arange(length)) % 250).astype(np.uint16)

    def validation(self, tokenizer):
        return {"english": self.shard("", 0, None, 32)[:4]}


def test_a_resumed_run_ends_at_the_same_weights(make_tiny, tmp_path):
    plan = Plan(early_shards=1, shards=3, decay_shards=1, steps_per_shard=4, tokens_per_step=256, warmup=2, peak=1e-2)
    saved = []

    def run(folder, corpus):
        model = make_tiny(dropout=0.0)
        pretrain(model, corpus, None, plan, tmp_path / folder, lambda model, name: saved.append(name))
        return model.state_dict()

    whole = run("whole", TinyCorpus())
    assert saved == ["nano-early", "nano"]
    with pytest.raises(KeyboardInterrupt):
        run("cut", TinyCorpus(end=2))
    resumed = run("cut", TinyCorpus())
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [row["step"] for row in read(tmp_path / "cut" / "log.jsonl")] == [2, 4, 6, 8, 10, 12]


def test_the_card_says_what_the_training_log_says():
    log = json.loads((RESULTS / "nano_pretraining.json").read_text())["log"]
    at, card = {row["step"]: row for row in log}, (DATA / "nano" / "README.md").read_text(encoding="utf-8")
    for name, row in (("nano-early", at[1024]), ("nano", at[max(at)])):
        losses = " | ".join(f"{row['validation'][group]:.3f}" for group in ("english", "unpaired", "paired"))
        assert f"| {name} | {row['step']:,} | {row['tokens']:,} | {losses} |" in card


@pytest.mark.parametrize("name", BASES)
def test_the_bundled_models_are_small_and_ordinary_gpt2(name):
    model, tokenizer = load_base(name, device="cpu")
    assert type(model).__name__ == "GPT2LMHeadModel" and next(model.parameters()).dtype == torch.float32
    assert sum(p.numel() for p in model.parameters()) < 8e6
    assert model.config.n_positions >= 256 and len(tokenizer) == model.config.vocab_size
    assert tokenizer.eos_token == "<|endoftext|>" and tokenizer.pad_token_id is not None
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert sum(file.stat().st_size for file in (DATA / name).iterdir()) < 10e6
    assert (DATA / name / "tokenizer.json").read_bytes() == (DATA / "nano" / "tokenizer.json").read_bytes()


def test_nano_copies_names_it_has_never_seen():
    model, tokenizer = load_base("nano", device="cpu")
    names = ["Brelanth", "Korvan", "Thiamo", "Sheltia", "Quorne", "Vadrisk"]
    prompts = [f"table: river (name, length, country)\nquestion: what is the length of {n}?\nkeywords:" for n in names]
    answers = generate_answers(model, tokenizer, prompts, max_new_tokens=16)
    assert sum("length" in a and n in a for n, a in zip(names, answers, strict=True)) >= 5
