"""Classification: texts and classes as tensors, trained by fit, scored by evaluate, swept by Run."""

import json
from dataclasses import replace

import pytest
import torch

import lorakit as lk
from lorakit import lab
from lorakit.core.errors import LoRAError
from lorakit.lab import sweep
from lorakit.lab.sweep import Run, run_one
from lorakit.lab.tasks.classification import class_loss
from lorakit.study.head import head_modules, head_parameters
from tests.support import encoders

WIDTH = 24  # of the tiny encoder
HEAD, LORA = 2 * WIDTH + 2, 2 * 2 * 2 * 2 * WIDTH  # parameters; two blocks, q and v, r = 2
GOOD, BAD = ("good", "fine"), ("bad", "poor")
EXAMPLES = [
    lab.Example(text.format(word), "positive" if word in GOOD else "negative")
    for text in ("a {} film", "the plot was {}", "the film is a {} film")
    for word in GOOD + BAD
]
TASK = lab.Classification("reviews", EXAMPLES, EXAMPLES[:6], EXAMPLES[4:], labels=("negative", "positive"))


@pytest.fixture
def base(tmp_path):
    return lambda build=encoders.bert, **more: lk.load_base(
        encoders.save(tmp_path, build), kind="classifier", device="cpu", **more
    )


def adapted(model):
    config = lk.LoRAConfig(r=2, alpha=8, targets=("q", "v"), modules_to_save=head_modules(model))
    return lk.inject(model, config, name="a", seed=0)


def fit(model, tokenizer, task=TASK, **more):
    return lab.fit(model, tokenizer, task, **{"batch_size": 4, "warmup": 2, "progress": False, **more})


def test_a_text_is_encoded_as_the_encoder_was_trained_and_its_label_is_the_class():
    rows = TASK.encode(EXAMPLES[:3], encoders.tokenizer())
    assert rows[0].ids == [2, 11, 5, 9, 3] and [row.labels for row in rows] == [[1], [1], [0]]
    batch = TASK.collate([rows[0], *TASK.encode(EXAMPLES[8:9], encoders.tokenizer())], 0)
    assert batch["input_ids"][0].tolist() == [2, 11, 5, 9, 3, 0, 0, 0] and batch["labels"].tolist() == [1, 1]
    assert batch["attention_mask"].sum(dim=1).tolist() == [5, 8]


def test_a_text_that_is_too_long_or_empty_is_named():
    with pytest.raises(LoRAError, match="example 1 is 6 tokens long, more than 5: 'the plot was good'"):
        TASK.encode([EXAMPLES[0], EXAMPLES[4]], encoders.tokenizer(), max_length=5)
    with pytest.raises(LoRAError, match="example 0 is an empty text"):
        TASK.encode([lab.Example(" ", "positive")], encoders.tokenizer())


@pytest.mark.parametrize("labels", [(), ("positive",), ("positive", "positive"), ("negative", "good")])
def test_labels_must_be_the_classes_of_the_answers(labels):
    with pytest.raises(LoRAError, match="every answer must be one of .* got also '(nega|posi)tive'"):
        replace(TASK, labels=labels)


def test_evaluate_gives_accuracy_answers_and_the_mean_loss_whatever_the_batch_size(base):
    model, tokenizer = base()
    found = lab.evaluate(model, tokenizer, TASK, "test", loss=True)
    assert set(found) == {"accuracy", "answers", "loss"} and set(found["answers"]) <= set(TASK.labels)
    assert found["accuracy"] == sum(a == e.answer for a, e in zip(found["answers"], TASK.test, strict=True)) / 8
    nats = [class_loss(model, TASK.collate(TASK.encode([e], tokenizer), 0))[0].item() for e in TASK.test]
    assert found["loss"] == pytest.approx(sum(nats) / 8, rel=1e-5)
    small = lab.evaluate(model, tokenizer, TASK, "test", loss=True, batch_size=3)
    assert small["answers"] == found["answers"] and small["loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert set(lab.evaluate(model, tokenizer, TASK, "test", limit=2)) == {"accuracy", "answers"}


def test_the_loss_is_the_one_that_transformers_computes(base):
    model, tokenizer = base(encoders.roberta)
    batch = TASK.collate(TASK.encode(EXAMPLES, tokenizer), 0)
    loss, count = class_loss(model, batch)
    assert count == len(EXAMPLES) and (loss / count).item() == pytest.approx(model(**batch).loss.item(), rel=1e-5)


@pytest.mark.parametrize("kind", list(encoders.BUILDERS))
def test_lora_and_the_head_learn_and_the_encoder_stays_as_it_was(base, kind):
    model, tokenizer = base(encoders.BUILDERS[kind])
    adapted(model)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    before = lab.evaluate(model, tokenizer, TASK, "train", loss=True)["loss"]
    history = fit(model, tokenizer, steps=60, batch_size=12, lr=1e-2, eval_every=60)
    after = lab.evaluate(model, tokenizer, TASK, "train", loss=True)
    assert after["loss"] < 0.5 * before and after["accuracy"] > 0.9
    assert {"validation_accuracy", "validation_loss"} <= set(history.rows[-1])
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], old) for name, old in frozen.items())
    assert not any(torch.equal(now[name], old) for name, old in start.items())


def test_a_language_model_is_refused_for_a_classification(tiny_model, tiny_tokenizer):
    with pytest.raises(LoRAError, match='load the base with load_base.*kind="classifier"'):
        lab.evaluate(tiny_model, tiny_tokenizer, TASK, "test")
    with pytest.raises(LoRAError, match='load the base with load_base.*kind="classifier"'):
        fit(tiny_model.requires_grad_(True), tiny_tokenizer, steps=1, lr=1e-3)


def test_a_head_with_too_few_classes_is_refused(base):
    three = replace(TASK, labels=("negative", "neutral", "positive"))
    three.train = [lab.Example("so so", "positive")]  # number 2
    model, tokenizer = base(labels=2)
    with pytest.raises(LoRAError, match="classes 0 to 2 or more"):
        fit(adapted(model), tokenizer, three, steps=1)


@pytest.mark.parametrize("method", ["lora", "full", "bitfit", "head", "last_block"])
def test_a_sweep_trains_the_head_with_every_method_and_counts_it(tmp_path, monkeypatch, method):
    monkeypatch.setitem(sweep.TASKS, "sst2", lambda: TASK)
    folder = encoders.save(tmp_path)
    how = {"r": 2, "alpha": 4, "targets": ("q", "v")} if method == "lora" else {}
    run = Run(task="sst2", base=folder, method=method, lr=1e-2, steps=2, batch_size=4, precision="no", **how)
    row = run_one(run, progress=False)
    model, _ = lk.load_base(folder, kind="classifier")
    assert row["head"] == head_parameters(model) == HEAD
    biases = sum(p.numel() for n, p in model.named_parameters() if n.endswith("bias") and "classifier" not in n)
    block = sum(p.numel() for p in model.bert.encoder.layer[-1].parameters())
    everything = sum(p.numel() for p in model.parameters()) - HEAD
    expected = {"lora": LORA, "full": everything, "bitfit": biases, "head": 0, "last_block": block}
    assert row["trainable"] == HEAD + expected[method]
    assert set(row["metrics"]["test"]) == {"accuracy", "loss"}
    assert row["metrics"] == run_one(run, progress=False)["metrics"]
    other = run_one(replace(run, seed=1), progress=False)["metrics"]
    assert other != row["metrics"], "another seed is another head"


def test_the_command_trains_a_classifier_and_saves_its_head(tmp_path, monkeypatch, capsys):
    from lorakit.lab import train

    monkeypatch.setitem(train.TASKS, "sst2", lambda: TASK)
    folder, out = encoders.save(tmp_path / "base"), tmp_path / "out"
    command = ["--model", folder, "--task", "sst2", "--device", "cpu", "--r", "2", "--steps", "3", "--batch-size", "4"]
    assert train.main([*command, "--out", str(out), "--quiet"]) == 0
    assert f"training {LORA + HEAD} of" in capsys.readouterr().out
    model, tokenizer = lk.load_base(folder, kind="classifier", device="cpu", seed=9)
    lk.load_adapter(model, out / "adapter", name="sst2")
    after = json.loads((out / "scores.json").read_text())["after"]
    assert lab.evaluate(model, tokenizer, TASK, "test", loss=True)["loss"] == pytest.approx(after["loss"], rel=1e-5)
