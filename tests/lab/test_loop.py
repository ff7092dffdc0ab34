"""The training loop: it learns, it is exact, and it leaves things as it found them."""

import json
import math
from dataclasses import asdict

import pytest
import torch

import lorakit as lk
from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab import step
from lorakit.lab.tasks.task import collate, encode_all

LETTERS = "abcdefgh"
EXAMPLES = [lab.Example(f"say {letter} {n}:", f" {letter * n}") for letter in LETTERS for n in (1, 2, 3)]


def exact(answers, examples):
    right = [answer == example.answer.strip() for answer, example in zip(answers, examples, strict=True)]
    return {"exact": sum(right) / len(right)}


@pytest.fixture
def task():
    return lab.Task("repeat", EXAMPLES, EXAMPLES[:6], EXAMPLES[6:12], "exact", exact, max_new_tokens=6)


@pytest.fixture
def full(tiny_model):
    return tiny_model.requires_grad_(True)


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def run(model, tokenizer, task, **options):
    return lab.fit(model, tokenizer, task, **{"steps": 6, "batch_size": 4, "warmup": 2, "progress": False, **options})


def test_a_model_learns_the_task(full, tiny_tokenizer, task):
    history = run(full, tiny_tokenizer, task, steps=120, batch_size=12, lr=1e-2, eval_every=60)
    assert history.losses[-1] < 0.1 * history.losses[0]
    assert [row["step"] for row in history.rows if "validation_exact" in row] == [60, 120]
    assert history.rows[-1]["validation_exact"] == 1.0
    assert lab.evaluate(full, tiny_tokenizer, task)["exact"] == 1.0


def test_the_same_seed_gives_the_same_run_bit_for_bit_and_another_does_not(make_tiny, tiny_tokenizer, task):
    losses = []
    for seed, noise in ((5, 1), (5, 2), (6, 1)):
        torch.manual_seed(noise)  # the caller's random state has no say
        losses.append(run(make_tiny(), tiny_tokenizer, task, seed=seed).losses)
    assert losses[0] == losses[1] != losses[2]


def test_the_callers_random_state_and_module_modes_are_put_back(full, tiny_tokenizer, task):
    full.transformer.h[1].train()
    modes = [module.training for module in full.modules()]
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    run(full, tiny_tokenizer, task, eval_every=3)
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in full.modules()] == modes
    assert all(parameter.grad is None for parameter in full.parameters())


def test_the_first_step_is_the_gradient_of_the_mean_over_answer_tokens(make_tiny, tiny_tokenizer, task):
    model = make_tiny(dropout=0.0)
    history = run(model, tiny_tokenizer, task, steps=1, batch_size=len(EXAMPLES))  # one step on everything
    model = make_tiny(dropout=0.0)
    assert history.losses[0] == pytest.approx(lab.mean_loss(model, tiny_tokenizer, EXAMPLES), rel=1e-5)
    rows = encode_all(EXAMPLES, tiny_tokenizer)
    batch = collate(rows, tiny_tokenizer.pad_token_id)
    model(**batch).loss.backward()  # transformers' own mean over the labelled tokens
    norm = math.sqrt(sum(parameter.grad.square().sum().item() for parameter in model.parameters()))
    assert history.rows[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_cutting_a_batch_into_parts_changes_nothing_but_rounding(make_tiny, tiny_tokenizer, task, accumulate):
    whole, parts = make_tiny(dropout=0.0), make_tiny(dropout=0.0)
    one = run(whole, tiny_tokenizer, task, batch_size=7, max_grad_norm=None)
    other = run(parts, tiny_tokenizer, task, batch_size=7, max_grad_norm=None, accumulate=accumulate)
    assert other.losses == pytest.approx(one.losses, rel=1e-3)
    assert [r["grad_norm"] for r in other.rows[:2]] == pytest.approx([r["grad_norm"] for r in one.rows[:2]], rel=1e-3)


def test_the_gradient_is_clipped_to_the_norm_asked_for(make_tiny, tiny_tokenizer, task):
    moved = {}
    for limit in (1.0, 1e-9):
        model = make_tiny()
        before = weights(model)
        history = run(model, tiny_tokenizer, task, steps=1, warmup=0, max_grad_norm=limit, lr=1e-3)
        moved[limit] = max((value - before[name]).abs().max().item() for name, value in weights(model).items())
        assert history.rows[0]["grad_norm"] > 1.0, "recorded before clipping"
    assert moved[1e-9] < 0.5 * moved[1.0]  # below AdamW's epsilon the step shrinks


@pytest.mark.parametrize("schedule, last", [("cosine", 0.0061), ("constant", 1.0)])
def test_the_learning_rate_rises_and_falls_as_said(schedule, last):
    settings = lab.Settings(steps=30, lr=1.0, warmup=10, schedule=schedule)
    rates = [settings.learning_rate(step) for step in range(1, 31)]
    assert rates[:11] == pytest.approx([0.1 * n for n in range(1, 11)] + [1.0])
    assert rates[-1] == pytest.approx(last, abs=1e-3)
    assert all(late <= early for early, late in zip(rates[10:], rates[11:], strict=False))
    assert lab.Settings(steps=5, lr=1.0, warmup=0, schedule=schedule).learning_rate(1) == 1.0


def test_divergence_is_an_error_that_names_step_and_rate_and_takes_no_bad_step(make_tiny, tiny_tokenizer, task):
    full, calls = make_tiny(), []

    def spoil(module, inputs, output):
        calls.append(1)
        return output * math.nan if len(calls) == 4 else output

    handle = full.lm_head.register_forward_hook(spoil)
    with pytest.raises(lab.NonFiniteLoss, match=r"loss is nan .* at step 4, .*rate is 0.00\d+ \(peak 0.01\)") as caught:
        run(full, tiny_tokenizer, task)
    handle.remove()
    assert len(caught.value.history.rows) == 3
    assert all(parameter.isfinite().all() for parameter in full.parameters())
    assert not full.training


def test_what_cannot_be_trained_is_refused_before_anything_changes(tiny_model, tiny_tokenizer, task):
    tiny_model.requires_grad_(False)
    with pytest.raises(LoRAError, match="no parameter requires a gradient"):
        run(tiny_model, tiny_tokenizer, task)
    lk.inject(tiny_model, lk.LoRAConfig(r=2, targets=("q",)), name="a")
    empty = lab.Task("empty", [], [], [], "exact", exact)
    with pytest.raises(LoRAError, match="'empty' has no training examples"):
        run(tiny_model, tiny_tokenizer, empty)
    wrong = dict(steps=0, batch_size=0, accumulate=0, lr=-1.0, schedule="step", precision="int8", eval_every=0.5)
    for name, value in wrong.items():
        with pytest.raises(LoRAError, match=f"{name} must be"):
            run(tiny_model, tiny_tokenizer, task, **{name: value})
    tiny_model.config.max_position_embeddings = 8
    with pytest.raises(LoRAError, match="tokens long, more than 8"):
        run(tiny_model, tiny_tokenizer, task)
    lk.merge(tiny_model)
    with pytest.raises(LoRAError, match="unmerge first"):
        run(tiny_model, tiny_tokenizer, task)


@pytest.mark.parametrize(
    ("precision", "quick", "used"), [("bf16", "no", "bf16"), ("auto", "bf16", "bf16"), ("auto", "no", "no")]
)
def test_products_are_in_bf16_where_asked_or_quick_and_weights_stay_float32(
    precision, quick, used, make_tiny, tiny_tokenizer, task, monkeypatch
):
    monkeypatch.setattr(step, "quick_precision", lambda device: quick)
    model, seen = make_tiny(), []
    model.transformer.h[0].attn.c_attn.register_forward_hook(lambda m, i, output: seen.append(output.dtype))
    history = run(model, tiny_tokenizer, task, precision=precision, steps=20, lr=1e-2)
    assert set(seen) == {torch.bfloat16 if used == "bf16" else torch.float32}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert history.settings["precision"] == used
    assert history.losses[-1] < history.losses[0]


def test_a_history_is_plain_data(full, tiny_tokenizer, task):
    history = run(full, tiny_tokenizer, task, eval_every=3)
    assert lab.History(**json.loads(json.dumps(asdict(history)))) == history
    assert history.device == "cpu" and history.seconds > 0 and "torch" in history.versions
    assert [row["step"] for row in history.rows] == [1, 2, 3, 4, 5, 6]
    assert "6 steps" in repr(history)
