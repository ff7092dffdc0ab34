"""What a sweep can measure on a trained model beyond the task's scores, by name.

Each is a function `(model, before, tokenizer, task) -> plain data`; `before` has the base's parameters by name.
"""

import json

import torch
from torch.nn.functional import cross_entropy

from lorakit.lab.evaluate import evaluate, mean_loss
from lorakit.lab.places import DATA
from lorakit.study.at_rank import replaced, update_at_rank, update_factors
from lorakit.study.rank import rank_for_energy, singular_values

RANKS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)


def by_rank(model, before, factors, score) -> list[dict]:
    """What `score()` finds with the ΔW of every matrix replaced by its best rank-k part, for each k.

    Biases and norms are put back to the base's in all of these, so that k = 0 is the base and nothing but matrices of
    rank k has moved; in a last row, k = None, the model has everything it learnt.
    """
    rows = []
    with replaced({p: before[name] for name, p in model.named_parameters() if p.ndim == 1}):
        for k in RANKS:
            with update_at_rank(model, before, factors, k):
                rows.append({"k": k, **score()})
    return [*rows, {"k": None, **score()}]


def truncation(model, before, tokenizer, task) -> list[dict]:
    """The test scores with every ΔW cut to rank k: see `by_rank`."""

    def scores() -> dict[str, float]:
        return {name: value for name, value in evaluate(model, tokenizer, task).items() if name != "answers"}

    return by_rank(model, before, update_factors(before, dict(model.named_parameters())), scores)


def spectra(model, before, tokenizer, task) -> dict[str, dict[str, list[float]]]:
    """Singular values of the base's W and of ΔW for every matrix that has changed, largest first, three digits."""
    found = {}
    for name, factor in update_factors(before, dict(model.named_parameters())).items():
        both = {"W": singular_values(before[name]), "delta": factor.s}
        found[name] = {kind: [float(f"{s:.3g}") for s in values.tolist()] for kind, values in both.items()}
    return found


def low_rank(model, before, tokenizer, task) -> dict[str, list]:
    """Of a large model: "cut", the loss on 64 test examples with every ΔW cut to rank k (see `by_rank`); "rank90", for
    every matrix its name and how many directions hold 90 % of the energy of W and of ΔW.
    """
    factors = update_factors(before, dict(model.named_parameters()))
    cut = by_rank(model, before, factors, lambda: {"loss": mean_loss(model, tokenizer, task.test[:64])})
    ranks = [
        [name, rank_for_energy(torch.linalg.svdvals(before[name]), 0.9), rank_for_energy(factor.s, 0.9)]
        for name, factor in factors.items()
    ]
    return {"cut": cut, "rank90": ranks}


@torch.no_grad()
def old_text(model, tokenizer, limit: int | None = None) -> dict[str, float]:
    """Nats per token on held-out text of what nano was pretrained on, by kind: english, unpaired, paired.

    data/nano/held_out.json has 32 rows of 128 tokens of each; `limit` takes the first so many. What an adaptation
    forgets is what these rise by.
    """
    found = {}
    for kind, texts in json.loads((DATA / "nano" / "held_out.json").read_text(encoding="utf-8")).items():
        ids = tokenizer(texts[:limit], return_tensors="pt", padding=True).input_ids[:, :128].to(model.device)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, :-1]
        found[kind] = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()
    return found


MEASURES = {"truncation": truncation, "spectra": spectra, "low_rank": low_rank}
