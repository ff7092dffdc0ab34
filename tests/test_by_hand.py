"""LoRA by hand, PEFT and lorakit are one thing: the same logits, the same files, the same training."""

import ast
import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

import lorakit as lk
from lorakit import by_hand, lab
from tests.support.tiny_models import build, ids, logits, same_bits

TARGETS = {"gpt2": ("c_attn", "c_fc"), "llama": ("q_proj", "v_proj", "down_proj"), "nano": ("c_attn",)}
KINDS = pytest.mark.parametrize("kind", TARGETS)


def base(kind):
    return lk.load_base("nano")[0].eval() if kind == "nano" else build(kind)


def trained(kind, seed=0, r=3, alpha=5):
    """A model with an adapter by hand whose B is no longer zero."""
    torch.manual_seed(seed)
    model = by_hand.inject(base(kind), TARGETS[kind], r=r, alpha=alpha)
    for layer in by_hand.lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model


def close(a, b):
    """Within the rounding of float32: the three form the same sum in another order."""
    torch.testing.assert_close(a, b, rtol=0, atol=2e-6 * a.abs().max().item())


@KINDS
def test_a_fresh_adapter_changes_no_output_and_only_a_and_b_train(kind):
    plain = logits(base(kind))
    model = by_hand.inject(base(kind), TARGETS[kind])
    assert same_bits(logits(model), plain)
    assert {name.rsplit(".", 1)[-1] for name, p in model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
    ours = lk.inject(base(kind), lk.LoRAConfig(targets=TARGETS[kind]))
    counts = [sum(p.numel() for p in each.parameters() if p.requires_grad) for each in (model, ours)]
    assert counts[0] == counts[1]


@KINDS
def test_its_file_gives_peft_and_lorakit_the_same_logits(kind, tmp_path):
    model = trained(kind)
    by_hand.save(model, tmp_path)
    expected = logits(model)
    assert not torch.allclose(expected, logits(base(kind)), atol=1e-2), "the adapter has no effect"
    theirs = PeftModel.from_pretrained(base(kind), tmp_path).eval()
    assert same_bits(logits(theirs), expected)  # to the last bit: the same operations
    close(logits(lk.load_adapter(base(kind), tmp_path)), expected)
    assert same_bits(logits(by_hand.load(base(kind), tmp_path)), expected)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_it_reads_what_peft_and_lorakit_save(kind, tmp_path):
    theirs = get_peft_model(
        base(kind), LoraConfig(r=4, lora_alpha=6, target_modules=list(TARGETS[kind]), fan_in_fan_out=kind == "gpt2")
    ).eval()
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    theirs.save_pretrained(tmp_path / "peft")
    assert same_bits(logits(by_hand.load(base(kind), tmp_path / "peft")), logits(theirs))
    ours = lk.load_adapter(base(kind), tmp_path / "peft")
    lk.save_adapter(ours, tmp_path / "lorakit")
    close(logits(by_hand.load(base(kind), tmp_path / "lorakit")), logits(ours))


@KINDS
def test_merging_is_the_same_function_and_unmerging_the_same_bits(kind):
    model = trained(kind)
    before, expected = copy.deepcopy(model.state_dict()), logits(model)
    kept = by_hand.merge(model)
    assert not by_hand.lora_layers(model) and {*map(type, model.modules())} == {*map(type, base(kind).modules())}
    close(logits(model), expected)
    by_hand.unmerge(model, kept)
    assert all(same_bits(value, before[key]) for key, value in model.state_dict().items())
    assert same_bits(logits(model), expected)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_many_adapters_in_one_batch_are_each_row_alone(kind, tmp_path):
    alone = [trained(kind, seed=seed) for seed in range(3)]
    ours = base(kind)
    for number, each in enumerate(alone):
        by_hand.save(each, tmp_path / str(number))
        lk.load_adapter(ours, tmp_path / str(number), f"a{number}")
    which, batch = [2, 0, 0, 1], ids(4)
    expected = torch.cat([logits(alone[i], batch[row : row + 1]) for row, i in enumerate(which)])
    model = base(kind)
    by_hand.together(model, [by_hand.lora_layers(each) for each in alone])
    by_hand.choose(model, which)
    close(logits(model, batch), expected)
    with lk.using(ours, [f"a{i}" for i in which]):
        close(logits(ours, batch), expected)


def test_a_gradient_step_is_lorakits():
    model, ours = trained("gpt2"), base("gpt2")
    lk.inject(ours, lk.LoRAConfig(r=3, alpha=5, targets=TARGETS["gpt2"]))
    for path, layer in by_hand.lora_layers(model).items():
        adapter = ours.get_submodule(path).adapters["default"]
        adapter.lora_A.data, adapter.lora_B.data = layer.lora_A.data.clone(), layer.lora_B.data.clone()
    for each in (model, ours):
        logits(each.train(), grad=True).square().mean().backward()
    for path, layer in by_hand.lora_layers(model).items():
        adapter = ours.get_submodule(path).adapters["default"]
        for name in ("lora_A", "lora_B"):
            close(getattr(layer, name).grad, getattr(adapter, name).grad)


def test_a_batch_is_the_labs():
    (_, tokenizer), task = lk.load_base("nano"), lab.text_to_sql()
    examples = task.train[:5]
    batch = by_hand.collate([(e.prompt, e.answer) for e in examples], tokenizer)
    wanted = task.collate(task.encode(examples, tokenizer), tokenizer.eos_token_id)
    assert batch.keys() == wanted.keys() and all(torch.equal(batch[key], wanted[key]) for key in batch)


def test_training_reaches_what_fit_reaches_and_answers_are_the_labs():
    (model, tokenizer), task, steps = lk.load_base("nano"), lab.text_to_sql(), 12
    ours = lk.inject(copy.deepcopy(model), lk.LoRAConfig(r=8, alpha=16, targets=("c_attn",)))
    history = lab.fit(ours, tokenizer, task, steps=steps, batch_size=8, lr=1e-2, progress=False)
    torch.manual_seed(0)
    by_hand.inject(model, ("c_attn",))
    losses = by_hand.train(model, tokenizer, [(e.prompt, e.answer) for e in task.train], steps, batch=8)
    ends = [sum(each[-5:]) / 5 for each in (losses, history.losses)]
    assert ends[0] < losses[0] / 5 and ends[0] == pytest.approx(ends[1], rel=0.5), ends
    prompts = [example.prompt for example in task.test[:3]]
    by_one = [by_hand.answer(model, tokenizer, prompt).strip() for prompt in prompts]
    assert by_one == [text.strip() for text in lab.generate_answers(model, tokenizer, prompts, 48)]
    assert any(text.startswith("SELECT") for text in by_one)


def test_it_knows_nothing_of_the_package():
    source = Path(by_hand.__file__).read_text()
    nodes = list(ast.walk(ast.parse(source)))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in imported} == {"json", "math", "pathlib", "torch", "safetensors"}
