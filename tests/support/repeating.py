"""The same work done again: `python repeating.py` prints every number of five short runs, to the last bit, as JSON."""

import hashlib
import json

import torch

import lorakit as lk
from lorakit import lab
from tests.support.tiny_models import build
from tests.support.training_runs import END, TASK, Bytes, base, fresh, run, trained

RUNS = {
    "lora": {},
    "lora, bf16": {"precision": "bf16"},
    "lora, accumulated": {"accumulate": 2},
    "lora, constant rate": {"schedule": "constant"},
    "full": {"full": True, "lr": 1e-3},
}


def digest(tensors: dict[str, torch.Tensor]) -> str:
    whole = hashlib.sha256()
    for name, tensor in tensors.items():
        whole.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def numbers(name: str) -> dict:
    """Losses, gradient norms, trained tensors, scores and answers of a run, as text that shows every bit."""
    options = dict(RUNS[name])
    model = fresh(full=options.pop("full", False))
    history = run(model, steps=4, eval_every=2, **options)
    scores = lab.evaluate(model, Bytes(), TASK, "test", loss=True)
    rows = [{key: float(value).hex() for key, value in row.items() if key != "tokens_per_s"} for row in history.rows]
    return {"rows": rows, "trained": digest(trained(model)), "scores": repr(scores)}


def wide():
    """As wide as GPT-2: at 256 the first forward pass was the same to the last bit with 1, 2 and 4 threads."""
    model = build("gpt2", vocab_size=END + 1, n_positions=64, n_embd=768, bos_token_id=END, eos_token_id=END)
    return lk.inject(model, lk.LoRAConfig(r=8, alpha=16, dropout=0.1, targets=("all-linear",)), name="a", seed=1)


def with_threads(count: int, steps: int) -> tuple[list[float], torch.Tensor, torch.Tensor]:
    """Losses of so many steps, and the logits before and after, computed by so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        assert torch.get_num_threads() == count
        model = wide()
        text = torch.arange(8 * 32).reshape(8, 32) % END
        with torch.no_grad():
            first = model(input_ids=text).logits
        losses = run(model, steps=steps, batch_size=16, lr=1e-3).losses
        with torch.no_grad():
            return losses, first, model(input_ids=text).logits
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    torch.set_num_threads(1)
    base()  # what was built before has no say
    print(json.dumps({name: numbers(name) for name in RUNS}))
