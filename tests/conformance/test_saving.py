"""Saving and loading: the same bits back, whatever the seed and the name; nothing missing, nothing left over."""

import json

import pytest
import torch
from safetensors.torch import load_file

import lorakit as lk
from tests.support.architectures import ARCHITECTURES, KINDS, adapted, base, train, untrained
from tests.support.saving import CONFIG, WEIGHTS, edit_weights, refused
from tests.support.tiny_models import fill, logits, same_bits


@pytest.mark.parametrize("use_rslora", [False, True], ids=["alpha/r", "alpha/sqrt(r)"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_loads_bit_for_bit_whatever_the_seed(kind, use_rslora, tmp_path):
    one = ARCHITECTURES[kind].one
    fields = dict(rank_pattern={one: 2}, alpha_pattern={one: 5}, use_rslora=use_rslora)
    model = adapted(kind, **fields)
    lk.save_adapter(model, tmp_path)
    torch.manual_seed(987)
    back = lk.load_adapter(base(kind), tmp_path, "back")
    assert same_bits(logits(back), logits(model)) and not any(p.requires_grad for p in back.parameters())
    lk.merge(back), lk.merge(model)
    assert same_bits(logits(back), logits(model))


@pytest.mark.parametrize("kind", KINDS)
def test_every_trained_tensor_comes_back_bit_for_bit(kind, tmp_path):
    model = untrained(kind, modules_to_save=ARCHITECTURES[kind].head)
    train(model, torch.optim.Adam, lr=0.01)
    trained = {path: p.detach() for path, p in model.named_parameters() if p.requires_grad}
    lk.save_adapter(model, tmp_path)
    back = lk.load_adapter(base(kind), tmp_path, "sql", trainable=True)
    got = {path: p.detach() for path, p in back.named_parameters() if p.requires_grad}
    assert got.keys() == trained.keys()
    assert all(same_bits(got[path], value) for path, value in trained.items())


@pytest.mark.parametrize("kind", KINDS)
def test_the_adapters_name_never_reaches_the_file(kind, tmp_path):
    expected = None
    for name in ("sql", "default", "lora", "lora_A", "weight", "base_layer", "model", "q"):
        model = untrained(kind, name, modules_to_save=ARCHITECTURES[kind].head)
        fill(model, name)
        lk.save_adapter(model, tmp_path / name)
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [CONFIG, WEIGHTS]
        tensors, fields = load_file(tmp_path / name / WEIGHTS), json.loads((tmp_path / name / CONFIG).read_text())
        if expected is None:
            expected = tensors, fields
            saved = sum(len(copy.state_dict()) for copy in model._lorakit.parts_of(name, model._lorakit.saved).values())
            assert len(tensors) == 2 * len(model._lorakit.layers) + saved
        assert fields == expected[1] and tensors.keys() == expected[0].keys()
        assert all(same_bits(tensors[key], expected[0][key]) for key in tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_on_one_layer_trains_less_and_loads_bit_for_bit(kind, tmp_path):
    one = ARCHITECTURES[kind].one
    model, everywhere = untrained(kind, targets=(one,)), untrained(kind, targets=("all-linear",))
    fill(model, "sql")
    assert len(model._lorakit.layers) == 1

    def trainable(m):
        return sum(p.numel() for p in m.parameters() if p.requires_grad)

    assert 0 < trainable(model) < trainable(everywhere)
    lk.save_adapter(model, tmp_path)
    back = lk.load_adapter(base(kind), tmp_path)
    assert list(back._lorakit.layers) == list(model._lorakit.layers)
    assert same_bits(logits(back), logits(model))


def widen(tensors):
    key = next(key for key in sorted(tensors) if ".lora_B." in key)
    tensors[key] = torch.cat([tensors[key], tensors[key][:1]])


def poison(tensors):
    next(value for key, value in tensors.items() if ".lora_" in key).view(-1)[0] = torch.nan


ELSEWHERE = "base_model.model.elsewhere.lora_A.weight"
DAMAGE = {
    "missing": (lambda tensors: tensors.pop(max(tensors)), "missing|does not fit"),
    "unexpected": (lambda tensors: tensors.update({ELSEWHERE: torch.ones(3, 24)}), "unexpected"),
    "misshapen": (widen, "shape"),
    "not finite": (poison, "not finite"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_loading_accounts_for_every_key_and_changes_nothing_when_it_refuses(kind, damage, says, tmp_path):
    model = untrained(kind, modules_to_save=ARCHITECTURES[kind].head)
    lk.save_adapter(model, tmp_path)
    edit_weights(tmp_path, damage)
    refused(base(kind), tmp_path, says)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_another_base_is_refused(kind, tmp_path):
    lk.save_adapter(adapted(kind), tmp_path)
    refused(base(kind, seed=1), tmp_path, "another base|other base|trained on")
