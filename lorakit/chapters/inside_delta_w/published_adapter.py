"""The adapter that LoRA's authors trained and published: RoBERTa-base, MNLI, r = 8 on query and value of 12 layers.

    python -m lorakit.chapters.inside_delta_w.published_adapter    writes data/results/roberta_mnli_spectra.json

The weights (microsoft/LoRA, MIT licence) are read where they lie or over the network, and never copied: only their
singular values, small numbers, are recorded. The file holds no alpha, so ΔW is B A here, without the
scale alpha / r: a factor common to all of its singular values, which no ratio and no direction depends on.
"""

import tempfile
from pathlib import Path

import torch
from torch.hub import download_url_to_file

from lorakit.core.errors import LoRAError
from lorakit.lab.places import RESULTS, data_folder
from lorakit.lab.record import read, write
from lorakit.study.adapter_factors import Update

RECORD = RESULTS / "roberta_mnli_spectra.json"
FOLDER, FILE = "roberta-mnli-lora", "roberta_base_lora_mnli.bin"
URL = f"https://github.com/microsoft/LoRA/releases/download/RoBERTa-base/{FILE}"
SHA256 = "343c48c79db5dd6190696e5fcbd547f58862a3e162b6cdc12337b41acc894116"
PROJECTIONS = {"q": "query", "v": "value"}


def read_published(*, download: bool = False) -> dict[str, Update]:
    """The adapter's updates by layer and projection, "0.q" to "11.v": A (8, 768), B (768, 8), of scale 1.

    From roberta-mnli-lora/ under LORAKIT_DATA, or with `download` from microsoft/LoRA (3.6 MB, held against its
    SHA-256). Raises LoRAError where it is not there and is not to be fetched.
    """
    folder = data_folder(FOLDER)
    if folder is None and not download:
        raise LoRAError(f"LORAKIT_DATA has no {FOLDER}/{FILE}: give download=True, or see its spectra, `recorded()`")
    with tempfile.TemporaryDirectory() as fetched:
        if folder is None:
            folder = Path(fetched)
            download_url_to_file(URL, str(folder / FILE), hash_prefix=SHA256, progress=False)
        state = torch.load(folder / FILE, map_location="cpu", weights_only=True)
    updates = {}
    for layer in range(12):
        for short, name in PROJECTIONS.items():
            key = f"roberta.encoder.layer.{layer}.attention.self.{name}"
            updates[f"{layer}.{short}"] = Update(state[f"{key}.lora_A"].float(), state[f"{key}.lora_B"].float())
    return updates


def summarise(updates: dict[str, Update]) -> dict:
    """What is recorded: the spectra of ΔW = B A and of A, by layer and projection."""
    layers = [
        {
            "layer": int(name.split(".")[0]),
            "projection": name.split(".")[1],
            "delta": _short(update.factors().s),
            "A": _short(torch.linalg.svdvals(update.A.double())),
        }
        for name, update in updates.items()
    ]
    return {"layers": layers}


def _short(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def recorded() -> dict:
    """What `summarise` found in the published file, from data/results."""
    return read(RECORD)


if __name__ == "__main__":
    about = {
        "what": "RoBERTa-base, MNLI, LoRA r = 8 on query and value: singular values of B A (no alpha / r) and of A, "
        "largest first",
        "source": URL,
        "licence": "MIT (microsoft/LoRA); the weights are not included",
        "sha256": SHA256,
    }
    found = summarise(read_published(download=True))
    write(RECORD, about | found, "python -m lorakit.chapters.inside_delta_w.published_adapter")
