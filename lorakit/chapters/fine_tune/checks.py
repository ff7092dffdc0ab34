"""Checks and quiz of chapter 05: fine-tune, and account for every byte."""

import json
import tempfile
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import lorakit as lk
from lorakit import by_hand
from lorakit.core.targets import endings
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.show.exercises import NOTHING, check, check_examples, expect, same
from lorakit.show.mistakes import mistakes
from lorakit.show.quiz import read_quiz
from lorakit.study.parameters import Decoder

QUESTIONS = [
    ("table: city (name, country)\nquestion: which cities are in Italy?\nsql:", " SELECT name FROM city"),
    ("table: city (name, country)\nquestion: how many?\nsql:", " SELECT COUNT(*) FROM city WHERE country = 'Peru'"),
    ("table: song (title)\nquestion: all titles?\nsql:", " SELECT title FROM song"),
    ("table: song (title)\nquestion: how many songs?\nsql:", " SELECT COUNT(*) FROM song"),
]


@cache
def _tokenizer():
    return lk.load_base("nano", device="cpu")[1]


def _tiny():
    """A GPT-2 of two narrow blocks with nano's vocabulary, the same one every time, in eval mode."""
    shape = Decoder(layers=2, width=16, heads=2, vocabulary=len(_tokenizer()), context=128, inner=64)
    torch.manual_seed(0)
    return random_gpt2(shape, dropout=0.0)


# 05.1 -- a batch


@check(
    "05.1",
    "a batch, its labels masked",
    right=by_hand.collate,
    wrong={
        "return a dictionary": lambda pairs, tokenizer: tuple(by_hand.collate(pairs, tokenizer).values()),
        "the end-of-text token is missing": " + [tokenizer.eos_token_id] → ",
        "the padding is on the left": (
            "ids + [pad] * (longest - len(ids)) → [pad] * (longest - len(ids)) + ids",
            "[1] * len(ids) + [0] * (longest - len(ids)) → [0] * (longest - len(ids)) + [1] * len(ids)",
            "labels + [-100] * (longest - len(labels)) → [-100] * (longest - len(labels)) + labels",
        ),
        "the padding counts as text": "[0] * → [1] *",
        "the prompt counts in the loss": "[-100] * len(prompt_ids) → prompt_ids",
        "the padding counts in the loss": "labels + [-100] → labels + [pad]",
        "the last token of each answer, end-of-text, is masked": (
            "len(prompt_ids) + answer_ids → len(prompt_ids) + answer_ids[:-1] + [-100]"
        ),
        "the labels are shifted": "len(prompt_ids) + answer_ids → (len(prompt_ids) - 1) + answer_ids + [-100]",
        "-100 is for labels": "ids + [pad] → ids + [-100]",
    },
    done="right: one row per example, a label at the answer and its end, -100 everywhere else",
)
def collate(answer):
    tokenizer = _tokenizer()
    got, wanted = answer(QUESTIONS, tokenizer), by_hand.collate(QUESTIONS, tokenizer)
    expect(got is not None, NOTHING)
    expect(isinstance(got, dict) and got.keys() == wanted.keys(), f"return a dictionary of {', '.join(wanted)}")
    ids, mask, labels = (got[name] for name in ("input_ids", "attention_mask", "labels"))
    n, t = wanted["input_ids"].shape
    expect(ids.shape != (n, t - 1), "the end-of-text token is missing behind the answers")
    for name, tensor in got.items():
        expect(tensor.shape == (n, t), f"`{name}` must be (n, t) = {(n, t)}, got {tuple(tensor.shape)}")
    padding, answers = wanted["attention_mask"] == 0, wanted["labels"] != -100
    expect(mask[:, 0].all(), "the padding is on the left: put it on the right, or every row has other positions")
    expect(torch.equal(mask, wanted["attention_mask"]), "the padding counts as text: its `attention_mask` is 0")
    expect((ids >= 0).all(), "-100 is for labels: as a token it does not exist. Pad with the end-of-text token")
    right = torch.equal(ids[~padding], wanted["input_ids"][~padding])
    expect(right, "a row is the prompt's tokens, the answer's, end-of-text")
    expect(not same(labels, wanted["labels"].roll(-1, 1)), "the labels are shifted: the model does that by itself")
    expect((labels[padding] == -100).all(), "the padding counts in the loss: its label is -100")
    expect((labels[~padding & ~answers] == -100).all(), "the prompt counts in the loss: its label is -100")
    last = answers & (wanted["labels"] == tokenizer.eos_token_id)
    words = "the last token of each answer, end-of-text, is masked: the model would never learn to stop. "
    words += "(Padding has the same number: tell the two apart by their place.)"
    expect((labels[last] != -100).all(), words)
    expect(torch.equal(labels, wanted["labels"]), "the labels of the answer are its own tokens and the end-of-text")


# 05.2 -- the loop


class _Watched:
    """A tiny model with adapters in it, and what a training loop did with it."""

    def __init__(self, train, seed=0, lr=1e-2, steps=4):
        self.model = by_hand.inject(_tiny(), ("c_attn",), r=2)
        self.before = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.rows, self.modes, self.leftover = [], [], []
        self.model.register_forward_pre_hook(self.look, with_kwargs=True)
        # A hook on a parameter runs before its new gradient is added to what is there.
        watched = self.model.transformer.h[1].attn.c_attn.lora_B
        watched.register_hook(lambda _: self.leftover.append(watched.grad is not None and watched.grad.any()))
        pairs = [(prompt.replace("?", f" {n}?"), text) for n in range(3) for prompt, text in QUESTIONS]
        self.pairs, self.optimizers = pairs, set()
        handle = register_optimizer_step_pre_hook(lambda made, *_: self.optimizers.add(type(made).__name__))
        try:
            self.losses = train(self.model, _tokenizer(), pairs, steps=steps, batch=4, lr=lr, seed=seed)
        finally:
            handle.remove()

    def look(self, model, args, kwargs):
        self.rows.append(kwargs.get("input_ids", args[0] if args else None).tolist())
        self.modes.append(model.training)

    def moved(self) -> set[str]:
        return {name for name, t in self.model.state_dict().items() if not torch.equal(t, self.before[name])}


@check(
    "05.2",
    "the training loop",
    right=by_hand.train,
    wrong={
        "return the list of losses": "return losses → return None",
        "5 losses for 4 steps": "range(steps) → range(steps + 1)",
        "a loss is a tensor": "loss.item() → loss",
        "the base has moved": "trained = [ → model.requires_grad_(True)\n    trained = [",
        "nothing has moved": "optimizer.step() → pass",
        "with AdamW": "AdamW(trained, lr=lr, weight_decay=0.0) → SGD(trained, lr=lr)",
        "gradients of earlier steps": "optimizer.zero_grad() → pass",
        "a step must see `batch` = 4 examples": "for i in chosen] → for i in chosen[:1]]",
        "every step sees the same examples": "for i in chosen] → for i in range(batch)]",
        "the prompt or the padding": (
            "model(**collate([pairs[i] for i in chosen], tokenizer)).loss → "
            "model(**(rows := collate([pairs[i] for i in chosen], tokenizer)) | {'labels': rows['input_ids']}).loss"
        ),
        "`lr` has no effect": "lr=lr → lr=1e-2",
        "repeats the first one's order": "generator=generator → generator=generator.manual_seed(seed)",
        "`seed` has no effect": "manual_seed(seed) → manual_seed(0)",
        "the same seed": "manual_seed(seed) → manual_seed(torch.seed())",
        "`model.train()`": "model.train() → pass",
        "`model.eval()`": "model.eval() → pass",
    },
    done="right. This loop trains any model: what has requires_grad trains, whether that is an adapter or everything",
)
def train(answer):
    run = _Watched(answer)
    losses, moved = run.losses, run.moved()
    base = sorted(name for name in moved if "lora_" not in name)
    expect(isinstance(losses, list), "return the list of losses, one for each step")
    expect(len(losses) == 4, f"{len(losses)} losses for 4 steps")
    held = isinstance(losses[0], torch.Tensor)
    expect(not held, "a loss is a tensor, which holds on to the whole graph of its step: keep `loss.item()`")
    expect(not base, f"the base has moved: {', '.join(base[:2])}. Train what has `requires_grad`, change none")
    expect(moved, "nothing has moved: `loss.backward()`, then `optimizer.step()`, with no `zero_grad()` in between")
    words = "train with AdamW, whose steps are as large as the rate: those of SGD are as small as the gradients"
    expect("SGD" not in run.optimizers, words)
    added = any(run.leftover)
    expect(not added, "gradients of earlier steps are added to the next one's: `optimizer.zero_grad()` before each")
    sizes = {len(ids) for ids in run.rows}
    expect(sizes == {4}, f"a step must see `batch` = 4 examples, it saw {min(sizes)}")
    expect(any(ids != run.rows[0] for ids in run.rows[1:]), "every step sees the same examples: draw new ones")
    expect(run.rows[0] != run.rows[3], "the second pass repeats the first one's order: draw it anew")
    texts = _tokenizer().batch_decode(run.rows[0])
    first = [next(pair for pair in run.pairs if text.startswith(pair[0])) for text in texts]
    wanted = _tiny()(**by_hand.collate(first, _tokenizer())).loss.item()  # untrained, LoRA changes nothing
    counted = abs(losses[0] - wanted) < 1e-3
    expect(counted, "the first loss is not the answers': do the prompt or the padding count? Take `collate`'s labels")
    expect(not _Watched(answer, lr=0.0).moved(), "`lr` has no effect: with lr = 0 nothing may move")
    expect(run.rows == _Watched(answer).rows, "the same seed gives other batches: seed a generator of your own")
    expect(run.rows != _Watched(answer, seed=1).rows, "`seed` has no effect: another seed, another order")
    expect(all(run.modes), "call `model.train()` first: dropout, where there is some, works in training alone")
    expect(not run.model.training, "call `model.eval()` at the end: dropout would spoil the answers")


# 05.3 -- decoding


class _Script(nn.Module):
    """A "model" that knows one text by heart: after `start` tokens it says the rest, if it is fed what it said."""

    def __init__(self, start: list[int], text: list[int], size: int):
        super().__init__()
        self.start, self.text, self.size = start, text, size
        self.calls, self.graphs, self.said = 0, False, []

    def forward(self, input_ids=None, attention_mask=None, **rest):
        logits = torch.zeros(*input_ids.shape, self.size)
        said = input_ids[0, len(self.start) :].tolist()
        follows = len(said) < len(self.text) and said == self.text[: len(said)]
        logits[:, :, 7] = 1.0  # at all places but the last, and for whoever leaves the text
        logits[:, -1, self.text[len(said)] if follows else 7] = 2.0
        self.calls, self.graphs, self.said = self.calls + 1, self.graphs or torch.is_grad_enabled(), said
        return SimpleNamespace(logits=logits)


@check(
    "05.3",
    "greedy decoding",
    right=by_hand.answer,
    wrong={
        "return text": "return tokenizer.decode(ids[0, start:]) → return ids[0, start:]",
        "the prompt is in the answer": "ids[0, start:] → ids[0]",
        "does not stop": "if token == tokenizer.eos_token_id → if False",
        "stop before it is added": "break → ids = torch.cat([ids, token[:, None]], dim=1); break",
        "of the *last* position": "[:, -1] → [:, 0]",
        "at most `max_new_tokens`": "range(max_new_tokens) → range(max_new_tokens + 1)",
        "the likeliest token": "argmax(-1) → softmax(-1).multinomial(1)[:, 0]",
        "`@torch.no_grad()`": "@torch.no_grad() → ",
    },
    done="right: one token a call, each fed back in, until the end-of-text token",
)
def answer(function):
    tokenizer, (prompt, text) = _tokenizer(), QUESTIONS[0]
    start, said = tokenizer(prompt)["input_ids"], tokenizer(text)["input_ids"]
    script = partial(_Script, start, size=len(tokenizer))
    model = script([*said, tokenizer.eos_token_id])
    got = function(model, tokenizer, prompt)
    expect(isinstance(got, str), "return text: `tokenizer.decode` makes it of the new tokens")
    expect(not got.startswith(prompt[:20]), "the prompt is in the answer: decode the new tokens alone")
    fed = model.said[: len(said)]
    expect(fed[:1] != [7], "take the logits of the *last* position: `[:, -1]`")
    expect(fed == said, "take the likeliest token, `argmax`, and feed it back in")
    expect(model.calls <= len(said) + 1, "it does not stop at the end-of-text token, `tokenizer.eos_token_id`")
    expect(not got.endswith(tokenizer.eos_token), "the end-of-text token is in the answer: stop before it is added")
    expect(got.strip() == text.strip(), f"the text of the new tokens is {text!r}, got {got[:40]!r}")
    endless = script(said * 10)
    function(endless, tokenizer, prompt, 5)
    expect(endless.calls <= 5, "at most `max_new_tokens` tokens: one call too many")
    expect(not model.graphs, "each call keeps a graph for a backward pass that never comes: `@torch.no_grad()` above")


# 05.4 -- the file


_SAVES = mistakes(
    by_hand.save,
    {
        "adapter_model.safetensors is not there": "adapter_model.safetensors → adapter.safetensors",
        "`base_model.model.` in front": "base_model.model. → ",
        "`.weight` at the end": ".weight → ",
        "the base is in the file": ", {} → , {'base_model.model.transformer.wte.weight': torch.zeros(3)}",
        "in the config: r": "r=first.r, → ",
        "in the config: lora_alpha": "lora_alpha=first.alpha → lora_alpha=16",
        "in the config: fan_in_fan_out": "not isinstance(first.base, nn.Linear) → False",
        "for an nn.Linear": "not isinstance(first.base, nn.Linear) → True",
        "in the config: target_modules": "target_modules=sorted(layers), → ",
        "A must be (r, k)": "layer.lora_A.data → layer.lora_A.data.T.contiguous()",
    },
)
_LOADS = mistakes(
    by_hand.load,
    {
        "return the model": "return model → return None",
        "no adapter has reached the model": ".data = tensor → .requires_grad",
        "ignores the file's lora_alpha": ', config["lora_alpha"] → ',
        "one layer, not two": (
            "if not isinstance(model.get_submodule(path), LoRALayer) → if base := model.get_submodule(path)",
            "LoRALayer(model.get_submodule(path), → LoRALayer(getattr(base, 'base', base),",
        ),
        "the base still trains": "model.requires_grad_(False) → pass",
    },
)


@check(
    "05.4",
    "save and load",
    right=(by_hand.save, by_hand.load),
    wrong={
        "pass both": by_hand.save,
        **{words: (save, by_hand.load) for words, save in _SAVES.items()},
        **{words: (by_hand.save, load) for words, load in _LOADS.items()},
    },
    done="right: what you write the reference reads, and what it writes you read, with the same logits",
)
def files(answer):
    expect(isinstance(answer, tuple) and len(answer) == 2, "pass both: `check.files((save, load))`")
    save, load = answer
    mine = getattr(save, "__globals__", {}).get("mine", by_hand)  # in a notebook the layers are the student's own
    words, twins = torch.arange(12)[None], [each.inject(_tiny(), ("c_attn",), r=2, alpha=7) for each in (mine, by_hand)]
    for name, parameter in twins[0].named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter)
    twins[1].load_state_dict(twins[0].state_dict())
    wanted = twins[0](words).logits
    with tempfile.TemporaryDirectory() as folder:
        save(twins[0], Path(folder) / "theirs")
        by_hand.save(twins[1], Path(folder) / "reference")
        _what_is_in(Path(folder) / "theirs", Path(folder) / "reference")
        got = by_hand.load(_tiny(), Path(folder) / "theirs")(words).logits
        loaded = load(_tiny(), Path(folder) / "reference")
        save(mine.inject(nn.Sequential(nn.Linear(4, 4)), ("0",)), Path(folder) / "linear")
        linear = json.loads((Path(folder) / "linear" / "adapter_config.json").read_text())
    expect(not linear["fan_in_fan_out"], "in the config: fan_in_fan_out must be False for an nn.Linear")
    expect(torch.equal(got, wanted), "the file is read, and gives another model: are A and B the layer's own?")
    _what_was_loaded(loaded, twins[1].state_dict(), words, wanted)


def _what_is_in(theirs, reference):
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        expect((theirs / name).is_file(), f"{name} is not there: PEFT looks for a file of this name in the folder")
    got, wanted = (load_file(folder / "adapter_model.safetensors") for folder in (theirs, reference))
    expect(all(k.startswith("base_model.model.") for k in got), "PEFT's names have `base_model.model.` in front")
    expect(all(key.endswith(".weight") for key in got), "PEFT's names have `.weight` at the end")
    more, missing = sorted(got.keys() - wanted.keys()), sorted(wanted.keys() - got.keys())
    expect(not more, f"the base is in the file, or more than A and B: {', '.join(more[:2])}")
    expect(not missing, f"not in the file: {', '.join(missing[:2])}")
    shapes = all(got[key].shape == wanted[key].shape for key in wanted)
    expect(shapes, "A must be (r, k) and B (d, r) in the file, whatever the layout of the base")
    config, right = (json.loads((folder / "adapter_config.json").read_text()) for folder in (theirs, reference))
    for name in ("peft_type", "task_type", "r", "lora_alpha", "fan_in_fan_out"):
        got = config.get(name)
        expect(got == right[name], f"in the config: {name} must be {right[name]!r}, got {got!r}")
    targets = set(config.get("target_modules") or [])
    fits = all(targets & set(endings(path)) for path in right["target_modules"])
    expect(fits, "in the config: target_modules must name the adapted modules, by path or by its end")


def _what_was_loaded(model, tensors, words, wanted):
    expect(model is not None, "return the model")
    found = dict(model.named_parameters())
    there = [name in found and torch.equal(found[name], tensors[name]) for name in tensors if "lora_" in name]
    expect(any(there), "no adapter has reached the model: put `LoRALayer`s in, and write the file's tensors into them")
    expect(all(there), "half of the tensors are lost: the A and the B of a path belong in one layer, not two")
    expect(same(model(words).logits, wanted, 1e-4), "other logits: perhaps `load` ignores the file's lora_alpha or r")
    trains = {name.rsplit(".", 1)[-1] for name, parameter in found.items() if parameter.requires_grad}
    expect(trains <= {"lora_A", "lora_B"}, "the base still trains: freeze the model before the layers go in")


# 05.5 -- what the MLP keeps


def _kept(d, tokens, trained):
    return 4 * tokens * (9 * d if trained else 4 * d)


mlp = check_examples(
    "05.5",
    "what the MLP keeps",
    right=_kept,
    inputs=[(256, 100, True), (256, 100, False), (768, 7, True), (768, 7, False)],
    wrong={
        "GELU is missing: its slope depends on its input, 4d wide, frozen or not": "9 * d if trained else 4 * d → "
        "5 * d if trained else 0",
        "frozen, it still keeps GELU's input": "else 4 * d → else 0",
        "a frozen product needs nothing of its input": "else 4 * d → else 9 * d",
        "`c_fc`'s input is missing: d wide, for the gradient of its weight": "9 * d → 8 * d",
        "the second product's input is missing: GELU's output, 4d wide": "9 * d → 5 * d",
        "what comes out of the block is not kept here: the sum behind it needs nothing": (
            "9 * d if trained else 4 * d → 10 * d if trained else 5 * d"
        ),
        "those are numbers, not bytes: float32 takes 4 bytes each": "4 * tokens → tokens",
    },
    done="right: 9 widths trained, 4 frozen. Freezing does not take GELU's share away",
)


quiz = read_quiz("05", __file__)
