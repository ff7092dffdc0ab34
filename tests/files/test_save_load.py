"""Loading accounts for every key, and nothing is ever unpickled (invariants 7 and 8).

That saving is atomic: tests/robustness, test_disk.py and test_kill.py.
"""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.saving import (
    CONFIG,
    FIRST,
    WEIGHTS,
    adapted,
    assert_same_files,
    edit_config,
    refused,
)
from tests.support.tiny_models import build, logits, same_bits


def test_what_an_adapter_was_injected_with_comes_back_and_its_strength_does_not(tmp_path):
    """That it computes the same to the bit, on every architecture: tests/conformance/test_saving.py."""
    model = adapted(targets=("q", "v", "mlp"), use_rslora=True, dropout=0.1)
    lk.set_scale(model, 3.0)  # a dial: not saved
    lk.save_adapter(model, tmp_path)
    lk.set_scale(model, 1.0)
    other = build("gpt2")
    assert lk.load_adapter(other, tmp_path, "again") is other
    assert same_bits(logits(model), logits(other))
    old, new = model._lorakit.configs["sql"], other._lorakit.configs["again"]
    assert (old.r, old.alpha, old.dropout, old.use_rslora) == (new.r, new.alpha, new.dropout, new.use_rslora)
    lk.save_adapter(other, tmp_path / "twice")
    assert_same_files(tmp_path, tmp_path / "twice")


def test_a_pattern_is_pinned_where_one_path_is_the_end_of_another(tmp_path):
    def make():
        torch.manual_seed(0)
        inner = torch.nn.ModuleDict({"fc": torch.nn.Linear(6, 6)})
        return torch.nn.ModuleDict({"fc": torch.nn.Linear(6, 6), "one": inner, "two": torch.nn.ModuleDict(inner)})

    model = make()
    lk.inject(model, LoRAConfig(r=2, targets=("fc",), rank_pattern={"^fc": 4}))
    assert model["fc"].adapters["default"].r == 4 and model["one"]["fc"].adapters["default"].r == 2
    lk.save_adapter(model, tmp_path)
    other = make()
    lk.load_adapter(other, tmp_path)
    assert other["fc"].adapters["default"].r == 4 and other["one"]["fc"].adapters["default"].r == 2


def test_a_saved_head_comes_back_and_trains_on_request(tmp_path):
    model = adapted("roberta", modules_to_save=("classifier",))
    for parameter in model.classifier.adapters["sql"].parameters():
        parameter.data.normal_()
    lk.save_adapter(model, tmp_path)
    other = build("roberta")
    lk.load_adapter(other, tmp_path, "a", trainable=True)
    assert same_bits(logits(model), logits(other))
    assert {n.split(".")[0] for n, p in other.named_parameters() if p.requires_grad} == {"classifier", "roberta"}
    lk.set_adapter(other, None)
    assert same_bits(logits(other), logits(build("roberta")))


def test_a_saved_module_with_counters_comes_back(tmp_path):
    model = adapted("plain", targets=("q",), modules_to_save=("norm",))
    own = model.norm.adapters["sql"]
    own.num_batches_tracked += 3
    own.running_mean += 1
    lk.save_adapter(model, tmp_path)
    other = build("plain")
    lk.load_adapter(other, tmp_path)
    assert same_bits(logits(model), logits(other)) and other.norm.adapters["default"].num_batches_tracked == 3


def test_a_merged_or_inactive_adapter_is_saved_as_it_is(tmp_path):
    model = adapted()
    lk.save_adapter(model, tmp_path / "apart", "sql")
    lk.merge(model)
    lk.save_adapter(model, tmp_path / "merged")
    lk.unmerge(model)
    lk.set_adapter(model, None)
    lk.save_adapter(model, tmp_path / "inactive", "sql")
    with pytest.raises(LoRAError, match="no adapter is active"):
        lk.save_adapter(model, tmp_path)
    for folder in ("merged", "inactive"):
        assert_same_files(tmp_path / folder, tmp_path / "apart")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_the_same_base_in_another_precision_is_recognised(dtype, tmp_path):
    lk.save_adapter(adapted(), tmp_path / "from fp32")
    lk.load_adapter(build("gpt2").to(dtype), tmp_path / "from fp32")
    model = build("gpt2").to(dtype)
    lk.inject(model, LoRAConfig(r=2))
    lk.save_adapter(model, tmp_path / "to fp32")
    lk.load_adapter(build("gpt2"), tmp_path / "to fp32")


def test_loading_draws_on_no_seed_and_touches_no_other_adapter(tmp_path):
    lk.save_adapter(adapted(), tmp_path)
    model = adapted(seed=9)
    expected = logits(model)
    lk.load_adapter(model, tmp_path, "new")
    lk.set_adapter(model, "sql")  # trap 15: the trained one trains again, the loaded one does not
    assert same_bits(expected, logits(model))
    assert all(".sql." in n for n, p in model.named_parameters() if p.requires_grad)
    lk.set_adapter(model, "new")
    assert not any(p.requires_grad for p in model.parameters())


# What is refused (trap 11: elsewhere most of these load without a word)


def test_another_base_is_refused(tmp_path):
    lk.save_adapter(adapted(), tmp_path)
    refused(build("gpt2", seed=3), tmp_path, "another base")
    refused(build("gpt2", n_layer=1), tmp_path, r"does not fit.*unexpected: .*h\.1")
    refused(build("gpt2", n_embd=32), tmp_path, "has shape")
    refused(build("llama"), tmp_path, "does not fit any projection")
    refused(build("gpt2").transformer, tmp_path, "unexpected")


@pytest.mark.parametrize(
    "fields",
    [dict(lora_alpha=8), dict(r=5), dict(use_rslora=True), dict(rank_pattern={"x": 1}), dict(target_modules=["c_fc"])]
    + [dict(use_dora=True), dict(bias="all"), dict(modules_to_save=["wte"]), dict(alpha_pattern={"c_attn": 1})],
    ids=str,
)
def test_an_edited_config_is_refused(fields, tmp_path):
    lk.save_adapter(adapted(), tmp_path)
    edit_config(tmp_path, **fields)
    refused(build("gpt2"), tmp_path, f"changed after the adapter was saved.*{next(iter(fields))}")


def test_harmless_fields_may_be_edited(tmp_path):
    lk.save_adapter(adapted(), tmp_path)
    edit_config(tmp_path, base_model_name_or_path="gpt2", inference_mode=False, lora_dropout=0.5, revision="main")
    model = build("gpt2")
    lk.load_adapter(model, tmp_path)
    assert model._lorakit.configs["default"].dropout == 0.5


def test_a_head_of_another_size_is_refused(tmp_path):
    lk.save_adapter(adapted("roberta", modules_to_save=("classifier",)), tmp_path)
    refused(build("roberta", num_labels=4), tmp_path, r"classifier.out_proj.weight has shape \(3, 24\)")


def test_what_is_no_adapter_is_refused(tmp_path):
    refused(build("gpt2"), tmp_path / "nowhere", "no adapter in")
    (tmp_path / WEIGHTS).write_bytes(b"")
    refused(build("gpt2"), tmp_path, "cannot be read")
    (tmp_path / WEIGHTS).write_bytes(b"\xff" * 100)
    refused(build("gpt2"), tmp_path, "cannot be read")
    save_file({FIRST.format("A"): torch.zeros(2, 24)}, tmp_path / WEIGHTS)
    refused(build("gpt2"), tmp_path, f"{CONFIG} cannot be read")
    for text in ("", "[]", "{", "[" * 10_000, "\xff"):
        (tmp_path / CONFIG).write_text(text)
        refused(build("gpt2"), tmp_path, f"{CONFIG} cannot be read")
    save_file({FIRST.format("A"): torch.zeros(2, 24)}, tmp_path / WEIGHTS, metadata={"lorakit": "[1]"})
    refused(build("gpt2"), tmp_path, "cannot be read")


class Exploit:
    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_pickle_is_never_executed(tmp_path):
    bomb = Exploit()
    bomb.path = str(tmp_path / "executed")
    for file in ("adapter_model.bin", WEIGHTS, "lora.bin", "lora.safetensors"):
        (tmp_path / file).write_bytes(pickle.dumps(bomb))
    torch.save({"x": bomb}, tmp_path / "lora.pt")
    (tmp_path / CONFIG).write_text('{"peft_type": "LORA"}')
    refused(build("gpt2"), tmp_path, "cannot be read")
    (tmp_path / WEIGHTS).unlink()
    refused(build("gpt2"), tmp_path, "pickle")
    for file in ("lora.bin", "lora.pt", "lora.safetensors"):
        refused(build("gpt2"), tmp_path / file, "cannot be read", config=LoRAConfig(r=2))
    assert not (tmp_path / "executed").exists()


def test_values_that_are_not_finite_are_not_saved(tmp_path):
    model = adapted()
    lk.save_adapter(model, tmp_path)
    before = (tmp_path / WEIGHTS).read_bytes()
    model.transformer.h[0].attn.c_attn.adapters["sql"].lora_A.data[0, 0] = float("nan")
    with pytest.raises(LoRAError, match=r"h\.0\.attn\.c_attn\.lora_A"):
        lk.save_adapter(model, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == before
