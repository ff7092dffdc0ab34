"""Generation and loss do not depend on how the examples were batched."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab.tasks.task import encode_all

PROMPTS = ["a:", "a longer prompt than the others:", "mid one:", "abc", "zz zz zz zz:", "q"]


@pytest.fixture
def talkative(make_tiny):
    """A random model whose logits are far enough apart that rounding decides no token."""
    model = make_tiny(seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8.0)
    return model


def test_batched_answers_equal_answers_one_at_a_time(talkative, tiny_tokenizer):
    alone = [lab.generate_answers(talkative, tiny_tokenizer, [prompt], 12)[0] for prompt in PROMPTS]
    assert lab.generate_answers(talkative, tiny_tokenizer, PROMPTS, 12, batch_size=4) == alone
    assert lab.generate_answers(talkative, tiny_tokenizer, PROMPTS, 12, batch_size=64) == alone
    assert len(set(alone)) > 1, "the answers differ, so their order is tested too"


def test_an_answer_ends_at_the_end_of_text_token(tiny_model, tiny_tokenizer):
    # An output layer that always prefers one token: first a letter, then the end.
    letter = tiny_tokenizer("x")["input_ids"][0]
    calls = []

    def always(module, inputs, output):
        calls.append(1)
        output[..., :] = 0.0
        output[..., letter if len(calls) <= 3 else tiny_tokenizer.eos_token_id] = 9.0
        return output

    handle = tiny_model.lm_head.register_forward_hook(always)
    assert lab.generate_answers(tiny_model, tiny_tokenizer, ["a", "bcd"], 10) == ["xxx", "xxx"]
    handle.remove()
    assert len(calls) == 4, "generation stops once every answer has ended"


def test_a_prompt_without_room_for_its_answer_is_refused(tiny_model, tiny_tokenizer):
    with pytest.raises(LoRAError, match="120 tokens and 16 new ones exceed the model's context of 128"):
        lab.generate_answers(tiny_model, tiny_tokenizer, ["a" * 120], 16)
    with pytest.raises(LoRAError, match=r"write \[prompt\]"):
        lab.generate_answers(tiny_model, tiny_tokenizer, "one text")
    assert lab.generate_answers(tiny_model, tiny_tokenizer, []) == []


def test_evaluating_leaves_every_module_in_the_mode_it_had(tiny_model, tiny_tokenizer):
    tiny_model.train()
    tiny_model.transformer.h[0].eval()
    before = [module.training for module in tiny_model.modules()]
    lab.generate_answers(tiny_model, tiny_tokenizer, ["a"], 2)
    lab.mean_loss(tiny_model, tiny_tokenizer, [lab.Example("a:", " b")])
    assert [module.training for module in tiny_model.modules()] == before


def test_the_loss_is_the_plain_mean_over_answer_tokens_whatever_the_batch(tiny_model, tiny_tokenizer):
    examples = [lab.Example(f"{'p' * (3 * n + 1)}:", f" {'a' * (n + 1)}") for n in range(5)]
    total, count = 0.0, 0
    with torch.no_grad():
        for example in examples:  # the definition, one example at a time, from the full logits
            (encoded,) = encode_all([example], tiny_tokenizer)
            logits = tiny_model(torch.tensor([encoded.ids])).logits[0, :-1]
            losses = cross_entropy(logits, torch.tensor(encoded.labels[1:]), reduction="none")
            total, count = total + losses.sum().item(), count + len(example.answer) + 1
    for batch_size in (1, 2, 64):
        assert lab.mean_loss(tiny_model, tiny_tokenizer, examples, batch_size) == pytest.approx(total / count, rel=1e-6)


def test_evaluate_returns_metrics_answers_and_loss(tiny_model, tiny_tokenizer):
    examples = [lab.Example(f"{letter}:", f" {letter}") for letter in "abc"]
    task = lab.Task("t", [], [], examples, "filled", lambda a, e: {"filled": sum(map(bool, a)) / len(e)}, 3)
    result = lab.evaluate(tiny_model, tiny_tokenizer, task, limit=2, loss=True)
    assert set(result) == {"filled", "answers", "loss"} and len(result["answers"]) == 2
    with pytest.raises(LoRAError, match="validation split has 0 examples"):
        lab.evaluate(tiny_model, tiny_tokenizer, task, "validation")


def test_a_task_without_a_scorer_is_judged_in_bits_per_byte(talkative, tiny_tokenizer):
    examples = [lab.Example("a:", " bcé"), lab.Example("d:", " e")]  # é is two bytes
    task = lab.Task("text", [], examples, examples, "bits_per_byte", None)
    found = lab.evaluate(talkative, tiny_tokenizer, task, "test")
    nats = lab.mean_loss(talkative, tiny_tokenizer, examples) * (5 + 1 + 2 + 1)  # bytes as tokens, and two ends
    assert found == {"bits_per_byte": pytest.approx(nats / 0.693147 / 7, rel=1e-5), "loss": pytest.approx(nats / 9)}
    with pytest.raises(LoRAError, match="judged by likelihood"):
        task.score(["x", "y"], examples)
