"""Switching adapters, their strength, and the modules that an adapter brings along whole."""

import pytest
import torch

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.tiny_models import Ops, assert_same, build, fill, logits, same_bits, snapshot

HEADED = LoRAConfig(r=2, targets=("q", "v"), modules_to_save=("classifier",))


def headed(names=("a", "b")):
    """RoBERTa with adapters that each train their own classification head."""
    model = build("roberta")
    for number, name in enumerate(names):
        lk.inject(model, HEADED, name=name)
        fill(model, name, seed=number)
        with torch.no_grad():
            for parameter in model.classifier.adapters[name].parameters():
                parameter.add_(0.1 * (number + 1))
    return model


def test_each_adapter_has_its_own_head_and_the_base_keeps_its():
    """Trap 19: copies must not drift into one another."""
    model, plain = headed(), logits(build("roberta"))
    by_name = {}
    for name in ("a", "b", None, "a", "b", None):
        lk.set_adapter(model, name)
        out = logits(model)
        assert same_bits(out, by_name.setdefault(name, out))
    assert same_bits(by_name[None], plain)
    assert not torch.equal(by_name["a"], by_name["b"])
    lk.eject(model)
    fresh = build("roberta").state_dict()
    assert fresh.keys() == model.state_dict().keys()
    assert all(same_bits(value, fresh[key]) for key, value in model.state_dict().items())
    assert same_bits(logits(model), plain)


def test_only_the_active_adapter_and_its_head_train():
    """Trap 15, and loralib's lora_head of trap 22: what is frozen is decided by identity, not by name."""
    model = headed()
    for name in ("a", "b"):
        lk.set_adapter(model, name)
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        assert all(f".adapters.{name}." in n or n.startswith("classifier.") for n in trained)
        assert sum(n.startswith("classifier.") for n in trained) == 4
    lk.set_adapter(model, None)
    assert not any(p.requires_grad for p in model.parameters())


def test_a_hook_on_the_head_runs_once_whichever_head_acts():
    model, calls = build("roberta"), []
    model.classifier.register_forward_hook(lambda *_: calls.append(1))
    lk.inject(model, HEADED, name="a")
    logits(model)
    lk.set_adapter(model, None)
    logits(model)
    lk.eject(model)
    logits(model)
    assert len(calls) == 3


def test_heads_follow_the_model_to_another_dtype_and_mode():
    model = headed().bfloat16().train()
    for name in ("a", "b", None):
        lk.set_adapter(model, name)
        assert {p.dtype for p in model.classifier.parameters()} == {torch.bfloat16}
        assert model.classifier.training and model.classifier.dropout.training
    lk.eject(model)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_deleting_an_adapter_takes_its_head_with_it():
    model = headed()
    lk.set_adapter(model, "a")
    with_a = logits(model)
    lk.delete_adapter(model, "b")
    assert same_bits(logits(model), with_a)
    lk.inject(model, LoRAConfig(r=2), name="c")
    lk.delete_adapter(model, "a")
    lk.inject(model, LoRAConfig(r=2, targets=("classifier.dense",)), name="d")  # nobody saves the head any more
    lk.delete_adapter(model, "c")
    lk.delete_adapter(model, "d")
    assert same_bits(logits(model), logits(build("roberta")))


def test_the_inside_of_anothers_head_cannot_be_adapted():
    model = headed()
    before = snapshot(model)
    with pytest.raises(LoRAError, match="classifier.dense is inside classifier, which modules_to_save trains whole"):
        lk.inject(model, LoRAConfig(r=2, targets=("classifier.dense",)), name="c")
    with pytest.raises(LoRAError, match="is inside classifier"):
        lk.inject(model, LoRAConfig(r=2, modules_to_save=("classifier.dense",)), name="c")
    assert_same(before, snapshot(model))


def test_all_linear_leaves_out_what_is_saved_whole():
    model = build("roberta")
    lk.inject(model, LoRAConfig(r=2, targets=("all-linear",), modules_to_save=("classifier",)))
    assert not any(path.startswith("classifier") for path in model._lorakit.layers)


def test_a_merged_adapter_keeps_its_head():
    model = headed()
    apart = logits(model)
    lk.merge(model)
    torch.testing.assert_close(logits(model), apart, rtol=1e-5, atol=1e-6)
    plain = build("roberta", seed=4)
    plain.load_state_dict(model.state_dict())
    assert same_bits(logits(plain), logits(model))
    lk.unmerge(model)
    assert same_bits(logits(model), apart)


def test_strength_scales_the_update_and_is_the_adapters_own():
    model = build("gpt2")
    for number, name in enumerate("ab"):
        lk.inject(model, LoRAConfig(r=2), name=name)
        fill(model, name, seed=number)
    layer, plain = model.transformer.h[0].attn.c_attn, logits(build("gpt2"))
    x = torch.randn(3, 24)
    with torch.no_grad():
        base, updates = layer.base_class.forward(layer, x), {n: a.delta_weight() for n, a in layer.adapters.items()}
        lk.set_adapter(model, "a")
        for strength in (0.5, 0, -1, 3.0, 1, 0.25):
            lk.set_scale(model, strength)
            torch.testing.assert_close(layer(x) - base, strength * x @ updates["a"].T)
            assert torch.equal(logits(model), plain) == (strength == 0)
        lk.set_adapter(model, "b")
        torch.testing.assert_close(layer(x) - base, x @ updates["b"].T)
        lk.set_adapter(model, "a")
        torch.testing.assert_close(layer(x) - base, 0.25 * x @ updates["a"].T)


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), "1", None, True])
def test_a_meaningless_strength_is_refused(strength):
    model = build("gpt2")
    lk.inject(model, LoRAConfig(r=2))
    with pytest.raises(LoRAError, match="finite number"):
        lk.set_scale(model, strength)


def test_verbs_on_a_model_without_adapters_say_so():
    model = build("gpt2")
    before = snapshot(model)
    assert lk.adapter_names(model) == [] and lk.active_adapter(model) is None and not lk.is_merged(model)
    lk.set_adapter(model, None)
    for action in (
        lambda: lk.set_adapter(model, "x"),
        lambda: lk.delete_adapter(model, "x"),
        lambda: lk.set_scale(model, 1.0),
        lambda: lk.merge(model),
        lambda: lk.using(model, [None]).__enter__(),
        lambda: lk.using(model, None).__enter__(),
        lambda: lk.save_adapter(model, "nowhere"),
    ):
        with pytest.raises(LoRAError, match="no adapters"):
            action()
    assert_same(before, snapshot(model))


def test_an_unknown_name_is_refused_and_the_known_ones_are_listed():
    model = headed()
    before = snapshot(model)
    for action in (lk.set_adapter, lk.delete_adapter, lambda m, name: lk.save_adapter(m, "nowhere", name)):
        with pytest.raises(LoRAError, match="'a', 'b'"):
            action(model, "c")
    assert_same(before, snapshot(model))


def test_optimizer_state_survives_switching_away_and_back():
    runs = []
    for switching in (False, True):
        model = headed(("a",))
        lk.inject(model, LoRAConfig(r=2), name="other")
        lk.set_adapter(model, "a")
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            logits(model, grad=True).square().sum().backward()
            optimizer.step()
            if switching:
                for name in ("other", None, "a"):
                    lk.set_adapter(model, name)
        runs.append(logits(model))
    assert same_bits(*runs)


def test_switching_moves_no_tensor():
    model = headed()
    with Ops() as ops:
        lk.set_adapter(model, "a")
        lk.set_adapter(model, None)
        lk.set_adapter(model, "b")
    assert ops.names == []
