"""Every method that a sweep can name trains what it says it trains, by the same loop, and can be scored."""

import pytest
import torch

from lorakit.core.errors import LoRAError
from lorakit.lab import fit, generate_answers, methods
from lorakit.lab.sweep import Run
from tests.support.tiny_sweep import letters

RUNS = {
    "lora": Run(method="lora", r=2, alpha=4, targets=("q", "v")),
    "lora_plus": Run(method="lora_plus", r=2, alpha=4, targets=("q", "v"), size=16),
    **{name: Run(method=name, r=2, alpha=4, targets=("mlp",)) for name in ("pissa", "dora", "lora_fa", "vera")},
    "full": Run(method="full"),
    "subspace": Run(method="subspace", d=8),
    "bitfit": Run(method="bitfit"),
    "last_block": Run(method="last_block"),
    "houlsby": Run(method="houlsby", size=3),
    "pfeiffer": Run(method="pfeiffer", size=3),
    "prefix": Run(method="prefix", size=4),
    "prefix with its MLP": Run(method="prefix", size=4, hidden=8),
}
W, BLOCKS = 32, 2  # of the tiny model
TRAINED = {
    "lora": BLOCKS * 2 * 2 * (W + W),
    "lora_plus": BLOCKS * 2 * 2 * (W + W),
    "pissa": BLOCKS * 2 * 2 * (W + 4 * W),
    "dora": BLOCKS * (2 * 2 * (W + 4 * W) + W + 4 * W),
    "lora_fa": BLOCKS * 2 * (W + 4 * W),
    "vera": BLOCKS * (2 * 2 + W + 4 * W),
    "subspace": 8,
    "bitfit": BLOCKS * 11 * W + W,
    "last_block": 12 * W * W + 13 * W,
    "houlsby": BLOCKS * 2 * (2 * W * 3 + 3 + W),
    "pfeiffer": BLOCKS * (2 * W * 3 + 3 + W),
    "prefix": 4 * BLOCKS * 2 * W,
}


@pytest.mark.parametrize("name", RUNS)
def test_a_method_trains_what_it_says_and_learns(name, make_tiny, tiny_tokenizer):
    prepared = methods.prepare(make_tiny(seed=1, dropout=0.0), RUNS[name])
    model = prepared.model
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    if name in TRAINED:
        assert sum(before[key].numel() for key in trained) == TRAINED[name]
    same = dict(steps=6, batch_size=4, lr=1e-2, warmup=1, progress=False, objective=prepared.objective)
    history = fit(model, tiny_tokenizer, letters(), **same)
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert moved and moved <= trained, "nothing moves but what is trained"
    assert history.losses[-1] < history.losses[0]
    prepared.finish()
    assert len(generate_answers(model, tiny_tokenizer, ["ab:", "cdcd:"], max_new_tokens=4)) == 2


def test_a_student_is_another_model_and_learns_from_a_teacher_that_stays(make_tiny, tiny_tokenizer, monkeypatch):
    base = make_tiny(seed=1, dropout=0.0)
    taught = []
    monkeypatch.setattr(methods, "load_adapter", lambda model, folder, name: taught.append(folder.name))
    monkeypatch.setattr(methods, "merge", lambda model: None)
    prepared = methods.prepare(base, Run(method="distill", size=1))
    assert taught == ["sql-r8-seed0"] and prepared.model is not base
    before = [p.detach().clone() for p in base.parameters()]
    fit(prepared.model, tiny_tokenizer, letters(), steps=3, lr=1e-2, progress=False, objective=prepared.objective)
    assert all(torch.equal(p, q) for p, q in zip(base.parameters(), before, strict=True))
    assert sum(p.numel() for p in prepared.model.parameters()) < sum(p.numel() for p in base.parameters())


def test_a_method_without_its_size_and_a_task_without_a_teacher_are_refused(make_tiny):
    with pytest.raises(LoRAError, match="size must be .*at least 1, got 0"):
        methods.prepare(make_tiny(), Run(method="houlsby"))
    with pytest.raises(LoRAError, match="no teacher for 'python'"):
        methods.prepare(make_tiny(), Run(method="distill", size=1, task="python"))
