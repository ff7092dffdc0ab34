"""How much an adapter learns by heart: random strings, so nothing but memory helps.

`python -m lorakit.chapters.rank_and_alpha.capacity` writes data/results/capacity.json: half an hour on two cores.
"""

import itertools
import math
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
import torch
from torch.nn.functional import cross_entropy, linear
from tqdm import tqdm

from lorakit import by_hand
from lorakit.lab import record
from lorakit.lab.bases.load import load_base
from lorakit.lab.places import RESULTS

FILE = RESULTS / "capacity.json"
KEY, VALUE, SYMBOLS, BITS = 4, 16, 16, 4  # tokens of a key and its value, and the symbols of values: 4 bits each
STRINGS, RANKS, RATES, STEPS, BATCH = (16, 64, 256), (1, 4), (3e-3, 1e-2), 2000, 32


def strings(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids (n, KEY + VALUE - 1) to read, which symbol comes next (n, VALUE), and the symbols' tokens."""
    draw = torch.Generator().manual_seed(0)
    symbols = 100 + torch.randperm(3900, generator=draw)[:SYMBOLS]
    keys = torch.randint(100, 4000, (n, KEY), generator=draw)
    values = torch.randint(SYMBOLS, (n, VALUE), generator=draw)
    return torch.cat([keys, symbols[values[:, :-1]]], dim=1), values, symbols


def learn(n: int, r: int, lr: float, steps: int = STEPS) -> dict:
    """Bits that LoRA on c_attn of nano knows of n strings (of 64 each) after `steps` steps of BATCH strings."""
    torch.set_num_threads(1)
    model, _ = load_base("nano", device="cpu")
    torch.manual_seed(0)
    by_hand.inject(model.eval(), ("c_attn",), r=r)
    trained = [p for p in model.parameters() if p.requires_grad]
    ids, values, symbols = strings(n)
    head = model.lm_head.weight[symbols]

    def loss(rows: torch.Tensor) -> torch.Tensor:  # nats a symbol
        hidden = model.transformer(ids[rows]).last_hidden_state[:, KEY - 1 :]
        return cross_entropy(linear(hidden, head).flatten(0, 1), values[rows].flatten())

    adam = torch.optim.Adam(trained, lr=lr)
    rate = torch.optim.lr_scheduler.LambdaLR(adam, lambda i: min(1, (i + 1) / 50) * (1 - i / steps))
    order = itertools.chain.from_iterable(torch.randperm(n).split(BATCH) for _ in itertools.count())
    for rows in itertools.islice(order, steps):
        adam.zero_grad()
        loss(rows).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        adam.step()
        rate.step()
    with torch.no_grad():
        left = sum(loss(rows).item() * len(rows) for rows in torch.arange(n).split(BATCH)) / n
    learnt = n * VALUE * (BITS - left / math.log(2))
    return {"strings": n, "r": r, "lr": lr, "bits": n * VALUE * BITS, "learnt": learnt,
            "numbers": sum(p.numel() for p in trained)}  # fmt: skip


def recorded() -> pd.DataFrame:
    """For each rank and number of strings the run at the better of the rates."""
    runs = pd.DataFrame(record.read(FILE)["runs"])
    return runs.loc[runs.groupby(["r", "strings"])["learnt"].idxmax()].reset_index(drop=True)


def main() -> None:
    cases = list(itertools.product(STRINGS, RANKS, RATES))[::-1]  # the long ones first
    with ProcessPoolExecutor(2) as pool:
        runs = list(tqdm(pool.map(learn, *zip(*cases, strict=True)), total=len(cases)))
    found = {"runs": runs, "steps": STEPS, "batch": BATCH}
    record.write(FILE, found, "python -m lorakit.chapters.rank_and_alpha.capacity")


if __name__ == "__main__":
    main()
