"""The same work done again: `python repeating.py` prints every number of five short runs, to the last bit, as JSON."""

import hashlib
import json

import torch

from lorakit import lab
from tests.support.training_runs import TASK, TOKENIZER, base, fresh, run, trained

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
    scores = lab.evaluate(model, TOKENIZER, TASK, "test", loss=True)
    rows = [{key: float(value).hex() for key, value in row.items() if key != "tokens_per_s"} for row in history.rows]
    return {"rows": rows, "trained": digest(trained(model)), "scores": repr(scores)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    base()  # what was built before has no say
    print(json.dumps({name: numbers(name) for name in RUNS}))
