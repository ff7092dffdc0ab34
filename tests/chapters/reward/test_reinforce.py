"""Chapter 13: what is sampled, what a reward pushes, and what it leaves alone."""

import pytest
import torch

import lorakit as lk
from lorakit import by_hand
from lorakit.chapters.reward import record
from lorakit.chapters.reward.reinforce import Episodes, log_probs, reinforce, sample
from lorakit.chapters.reward.settings import TinyLoRA, prepare
from lorakit.lab import json_lines

PROMPTS = ["table staff: name, age\nquestion: how many?\nsql:", "SELECT"]


@pytest.fixture
def nano():
    return lk.load_base("nano", device="cpu")


def draw(nano, most=12):
    return sample(*nano, PROMPTS * 4, torch.Generator().manual_seed(0), most)


def test_an_answer_ends_with_its_first_end_of_text(nano):
    ids, mask, start, _ = draw(nano, most=32)
    ends = (ids[:, start:] == nano[1].eos_token_id).long()
    before = ends.cumsum(1) - ends  # ends in front of a token
    assert torch.equal(mask[:, start:], (before == 0).long())


@torch.no_grad()
def test_padding_changes_no_probability(nano):
    episodes = draw(nano)
    together = log_probs(nano[0], episodes)
    for row, expected in enumerate(together):
        real = episodes.mask[row].bool()
        first = int(episodes.mask[row, : episodes.start].sum())
        alone = Episodes(episodes.ids[row : row + 1, real], episodes.mask[row : row + 1, real], first, [])
        torch.testing.assert_close(log_probs(nano[0], alone)[0], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_what_is_drawn_follows_the_models_own_probabilities(nano):
    ids, _, start, _ = sample(*nano, PROMPTS[1:] * 500, torch.Generator().manual_seed(0), most=1)
    drawn = torch.bincount(ids[:, start], minlength=nano[0].config.vocab_size) / len(ids)
    chances = nano[0](ids[:1, :start]).logits[0, -1].softmax(-1)
    likely = chances > 0.02
    assert likely.any()
    assert ((drawn - chances)[likely].abs() < 4 * (chances[likely] / len(ids)).sqrt()).all()


@pytest.mark.parametrize("paid", [0.0, 1.0])
def test_a_reward_that_tells_nothing_apart_changes_nothing(nano, paid):
    model = prepare(nano[0], "r = 1")
    before = [p.detach().clone() for p in model.parameters()]
    found = reinforce(*nano, record.task().train, lambda *_: paid, steps=2, lr=1e-2, questions=2, samples=2)
    assert found == [[2 * paid] * 2] * 2
    assert all(map(torch.equal, before, model.parameters()))


def test_what_is_paid_for_becomes_likelier(nano):
    def long(answer, example):
        return float(len(answer) > 40)

    prepare(nano[0], "r = 1")
    found = reinforce(*nano, record.task().train, long, steps=6, lr=1e-2, questions=2, samples=8)
    first, last = (sum(sum(step) for step in some) for some in (found[:2], found[-2:]))
    assert last > first


def test_sixteen_numbers_are_lora_with_b_in_a_random_subspace(nano):
    model = prepare(nano[0], "v = 16")
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 16
    tiny = next(module for module in model.modules() if isinstance(module, TinyLoRA))
    x = torch.randn(2, 3, tiny.A.shape[1])
    assert torch.equal(tiny(x), tiny.base(x))  # v is zero: the base's own output
    torch.nn.init.normal_(tiny.v)
    layer = by_hand.LoRALayer(tiny.base, r=1, alpha=16)
    layer.lora_A.data, layer.lora_B.data = tiny.A, (tiny.P @ tiny.v)[:, None]
    torch.testing.assert_close(tiny(x), layer(x))


def test_the_record_holds_exactly_the_wanted_runs():
    rows = json_lines.read(record.RECORD)
    assert not record.remaining(rows)
    assert len(rows) == len(record.wanted(rows))
    assert all(len(row["rewarded"]) == row["steps"] == record.STEPS for row in rows)


def test_another_reward_pays_other_queries():
    asked = record.task().validation[0]
    table, column = asked.info["table"], asked.info["columns"][0]
    assert record.any_rows(f"SELECT {column} FROM {table}", asked) == 1
    assert record.any_rows("SELECT nothing", asked) == 0
    assert record.right_rows(asked.answer, asked) == 1
