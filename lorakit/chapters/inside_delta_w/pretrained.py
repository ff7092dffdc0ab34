"""What two adapters of a pretrained LLM share, and how many of their directions its task needs.

    python -m lorakit.chapters.inside_delta_w.pretrained            writes data/results/smollm2_adapters.json

It reads the adapters that `make results RESULTS=smollm2_text_to_sql` leaves in data/adapters, too large to be carried
along: on all projections, one of rank 8 and two of rank 64, from two seeds.
"""

import pandas as pd

import lorakit as lk
from lorakit.chapters.experiment import SMOLLM2_ADAPTER
from lorakit.chapters.inside_delta_w.truncation import KEPT
from lorakit.lab import records
from lorakit.lab.evaluate import mean_loss
from lorakit.lab.places import ADAPTERS, RESULTS
from lorakit.lab.record import read, write
from lorakit.lab.tasks.text_to_sql import text_to_sql
from lorakit.study.adapter_factors import adapter_updates
from lorakit.study.at_rank import adapter_at_rank
from lorakit.study.rank import rank_for_energy
from lorakit.study.subspace import floor, left_directions, similarity

RECORD = RESULTS / "smollm2_adapters.json"
PAIRS = {"r = 8 and r = 64, two seeds": ((8, 0), (64, 1), (1, 8)), "r = 64, two seeds": ((64, 0), (64, 1), (1, 64))}


def look_inside() -> dict[str, list[dict]]:
    """ "phi": of B, mean over the projections of one kind, beside chance; "directions": for 90 % of each update's
    energy at r = 64; "cut": the loss on 64 test questions with every update of seed 0 cut to rank k.
    """
    model, tokenizer = lk.load_base("smollm2", device="cpu")
    runs = records.load("smollm2_text_to_sql").query("method == 'lora' and r == 64")
    (lr,) = runs["lr"].unique()
    updates = {}
    for r, seed in ((8, 0), (64, 1), (64, 0)):  # the last one is active
        name = SMOLLM2_ADAPTER.format(r=r, lr=lr, seed=seed)
        lk.load_adapter(model, ADAPTERS / name, name=f"r{r}-seed{seed}")
        updates[r, seed] = adapter_updates(model)
    phi = []
    for label, (one, other, sizes) in PAIRS.items():
        for path, update in updates[one].items():
            table = similarity(left_directions(update.B), left_directions(updates[other][path].B))
            for k in sizes:
                found = {"pair": label, "kind": path.rpartition(".")[2], "k": k}
                phi.append(found | {"phi": float(table[k - 1, k - 1]), "chance": floor(k, k, len(update.B)).mean})
    phi = pd.DataFrame(phi).groupby(["pair", "kind", "k"]).mean().round(4).reset_index()
    directions = [
        {"path": path, "directions": rank_for_energy(update.factors().s, 0.9)}
        for path, update in updates[64, 0].items()
    ]
    cut, asked = [], text_to_sql().test[:64]
    for k in KEPT:
        with adapter_at_rank(model, k):
            cut.append({"k": k, "loss": round(mean_loss(model, tokenizer, asked), 4)})
    return {"phi": phi.to_dict("records"), "directions": directions, "cut": cut}


def recorded() -> dict[str, pd.DataFrame]:
    """What `look_inside` found, as DataFrames."""
    found = read(RECORD)
    return {name: pd.DataFrame(found[name]) for name in ("phi", "directions", "cut")}


if __name__ == "__main__":
    what = "two adapters of SmolLM2 on text-to-SQL, all projections: what B shares, and cut to k directions"
    write(RECORD, {"what": what, **look_inside()}, "python -m lorakit.chapters.inside_delta_w.pretrained")
