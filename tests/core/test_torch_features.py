"""LoRA beside everything else torch and transformers do (invariant 10).

Gradient checkpointing and plain copies of merged models, on every architecture: tests/conformance.
"""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import lorakit as lk
from lorakit import LoRAConfig
from tests.support.saving import assert_same_files
from tests.support.tiny_models import build, fill, ids, logits, same_bits, snapshot, two_adapters

KINDS = {"gpt2": ("q", "v", "mlp"), "llama": ("all-linear",), "bert": ("q", "v"), "roberta": ("q", "o")}


def gradients(model, batch=None):
    model.train().zero_grad()
    logits(model, batch, grad=True).float().square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_works_in_training_and_inference(kind):
    model = build(kind)
    lk.inject(model, LoRAConfig(r=2, targets=KINDS[kind]))
    fill(model, "default")
    exact = logits(model)
    base = build(kind)
    with torch.autocast("cpu", torch.bfloat16):
        got, base_got = logits(model), logits(base)
        loss = logits(model.train(), grad=True).float().square().mean()
    loss.backward()
    assert got.dtype == base_got.dtype
    size = exact.abs().max().item()
    assert (got.float() - exact).abs().max() < 16 * torch.finfo(torch.bfloat16).eps * size
    expected = gradients(model)
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad.dtype == torch.float32
            assert (p.grad - expected[name]).norm() <= 0.1 * expected[name].norm() + 1e-7


def test_autocast_leaves_float64_alone():
    model = build("gpt2").double()
    lk.inject(model, LoRAConfig(r=2))
    fill(model, "default")
    expected = logits(model)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(logits(model), expected)


def test_the_compiler_gives_the_same_outputs_and_does_not_compile_again_when_switching_back():
    """Trap 20: elsewhere each switch recompiles, even switching back; and names gain an _orig_mod."""
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    model, counter = two_adapters("plain", ("q", "mlp")), CompileCounter()
    expected = {}
    for name in ("a", "b", None):
        lk.set_adapter(model, name)
        expected[name] = logits(model)
    compiled = torch.compile(model, backend=counter)
    seen = []
    for name in ("a", "b", None, "a", "b", None):
        lk.set_adapter(compiled, name)
        torch.testing.assert_close(logits(compiled), expected[name], rtol=1e-5, atol=1e-5)
        seen.append(counter.frame_count)
    assert seen[2] <= 3 * seen[0] and seen[-1] == seen[2]
    assert lk.adapter_names(compiled) == ["a", "b"]
    lk.set_adapter(compiled, "a")
    for strength in (0.5, 0.25, 0.75):
        lk.set_scale(compiled, strength)
        torch.testing.assert_close(logits(compiled), logits(model), rtol=1e-5, atol=1e-5)
    assert counter.frame_count <= seen[-1] + 2 * seen[0]
    torch._dynamo.reset()


def test_training_through_the_compiler_gives_the_same_gradients():
    torch._dynamo.reset()
    model = two_adapters("gpt2", ("q", "v"), n_layer=1)  # compiling takes its time
    expected = gradients(model)
    compiled = torch.compile(model, backend="aot_eager")
    model.zero_grad()
    logits(compiled, grad=True).float().square().mean().backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.grad, expected[name], rtol=1e-4, atol=1e-7)
    torch._dynamo.reset()


def test_a_compiled_model_saves_clean_names(tmp_path):
    model = two_adapters("gpt2", ("q", "v"))
    lk.save_adapter(model, tmp_path / "plain", "a")
    lk.save_adapter(torch.compile(model, backend="eager"), tmp_path / "compiled", "a")
    assert_same_files(tmp_path / "plain", tmp_path / "compiled")


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def saved_whole(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("clone", [copy.deepcopy, pickled, saved_whole])
@pytest.mark.parametrize("merged", [False, True], ids=["apart", "merged"])
def test_a_copied_model_is_independent_and_complete(clone, merged):
    model = build("roberta")
    for name in ("a", "b"):
        lk.inject(model, LoRAConfig(r=2, modules_to_save=("classifier",)), name=name)
        fill(model, name)
    if merged:
        lk.merge(model)
    expected, before = logits(model), snapshot(model)["tensors"]
    other = clone(model)
    assert same_bits(logits(other), expected)
    if merged:
        lk.unmerge(other)
        with pytest.raises(lk.LoRAError, match="unmerge"):
            model.load_state_dict(before)
        other.load_state_dict(other.state_dict())
    lk.set_adapter(other, None)
    lk.set_adapter(other, "a")
    lk.set_scale(other, 7.0)
    lk.delete_adapter(other, "b")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    lk.eject(other)
    assert same_bits(logits(model), expected)
    assert lk.adapter_names(model) == ["a", "b"] and lk.is_merged(model) == merged
    if merged:
        lk.unmerge(model)
    lk.set_adapter(model, "a")


class DistributedDataParallel(nn.Module):
    """Stands in for torch's, which needs several processes."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


def test_verbs_reach_through_a_parallel_wrapper(tmp_path):
    model = two_adapters("gpt2", ("q", "v"))
    lk.save_adapter(model, tmp_path / "plain", "a")
    wrapped = DistributedDataParallel(model).eval()
    lk.set_adapter(wrapped, "a")
    lk.save_adapter(wrapped, tmp_path / "wrapped")
    lk.merge(wrapped)
    lk.unmerge(wrapped)
    with lk.using(wrapped, ["a", "b", None]):
        logits(wrapped)
    assert lk.parameter_table(wrapped) == lk.parameter_table(model)
    assert_same_files(tmp_path / "plain", tmp_path / "wrapped")
    lk.eject(wrapped)
    assert lk.adapter_names(model) == []


def test_the_hf_trainer_trains_adapters_only(tmp_path):
    from transformers import Trainer, TrainingArguments

    model = build("gpt2")
    base = {name: value.clone() for name, value in model.state_dict().items()}
    lk.inject(model, LoRAConfig(r=2))
    rows = [{"input_ids": row, "labels": row} for row in ids(4)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True, learning_rate=0.1, logging_steps=10,
    )  # fmt: skip
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    after = model.state_dict()
    assert all(same_bits(after[name], value) for name, value in base.items())
    assert all(layer.adapters["default"].lora_B.any() for layer in model._lorakit.layers.values())
