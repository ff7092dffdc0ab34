"""A training run on disk: enough to go on as if it had never stopped.

<folder>/checkpoint.safetensors holds the trained tensors ("trained|<parameter>"), AdamW's moments ("exp_avg|…") and, as
metadata, the run's settings and rows, samples of the base, and a checksum over all of it. Random
numbers, the place in the data and the learning rate are functions of the seed and the step, so no state of theirs is
stored. The file is replaced as a whole: killed at any instant, the folder holds the old state or the new one.
"""

import json
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from lorakit.core.errors import LoRAError
from lorakit.core.targets import base_modules, is_projection
from lorakit.files.folder import locked, replace_files
from lorakit.files.note import check_base, checksum_of, sample_of
from lorakit.lab.history import History
from lorakit.lab.many.processes import this_process
from lorakit.lab.step import Step

FILE = "checkpoint.safetensors"


class CheckpointNotSaved(LoRAError):
    """A checkpoint could not be written. What lay in its folder before is untouched, and so is the model.

    `history` holds the run, where `fit` raised this at its end.
    """

    history = None


class Checkpoints:
    """The folder that a run is kept in (None: nowhere), what is written there and when. The main process writes."""

    def __init__(self, folder, every: int | None, model: nn.Module, step: Step, history: History) -> None:
        self.folder, self.every = Path(folder) if folder is not None else None, every
        self.step, self.history = step, history
        frozen = {p: m for p, m in base_modules(model) if is_projection(m) and not m.weight.requires_grad}
        self.base = frozen if self.folder is not None else {}

    def begin(self, resume: bool) -> int:
        """The step to go on from, 0 for none.

        Raises LoRAError where what lies there cannot be gone on from (see `load`); CheckpointNotSaved where nothing can
        be written: better found out now than after hours of training.
        """
        if self.folder is None:
            return 0
        if resume:
            self.load()
        first = len(self.history.rows)
        if this_process().is_main_process and first < self.history.settings["steps"]:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=self.folder).close()
            except OSError as error:
                raise CheckpointNotSaved(
                    f"no checkpoint can be written to {self.folder}: {error}; choose another folder"
                ) from error
        return first

    def save_if_due(self, number: int) -> None:
        """After a step; a full disk must not cost the run, so a failure is a warning."""
        if self.every and number % self.every == 0 and number < self.history.settings["steps"]:
            try:
                self.save()
            except CheckpointNotSaved as error:
                warnings.warn(f"{error}. Training goes on and will try again", stacklevel=3)

    def save(self) -> None:
        """Write the run as it stands in place of what lay there.

        Raises CheckpointNotSaved, what lay there untouched, where the disk is full or cannot be written.
        """
        if self.folder is None or not this_process().is_main_process:
            return
        from safetensors.torch import save

        tensors = {}
        for name, parameter in self.step.parameters.items():
            kinds = {"trained": parameter, **self.step.optimizer.state.get(parameter, {})}
            for kind, value in kinds.items():
                tensors[f"{kind}|{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
        rows, base = self.history.rows, {path: sample_of(module) for path, module in self.base.items()}
        state = {"settings": self.history.settings, "rows": rows, "seconds": self.history.seconds, "base": base}
        text = json.dumps(state)
        metadata = {"format": "pt", "state": text, "sha256": checksum_of(tensors, text)}
        try:
            with locked(self.folder):  # one saver at a time
                replace_files(self.folder, {FILE: save(tensors, metadata)})
        except OSError as error:
            raise CheckpointNotSaved(
                f"the checkpoint of step {len(rows)} cannot be written to {self.folder}: {error}. What lay there is "
                "untouched, and the model keeps what it learnt (lk.save_adapter saves it elsewhere)"
            ) from error

    def load(self) -> None:
        """Put the run back as it lies in the folder; nothing where none lies there.

        Everything is checked first: that the file is as it was written, and its settings, its samples of the base and
        its trained tensors those that are here. Else raises LoRAError, and nothing has changed.
        """
        path = self.folder / FILE
        if not path.is_file():
            return
        state, tensors = read_whole(path)
        settings, then = self.history.settings, state["settings"]
        # A constant learning rate is the same however long the run.
        may_differ = {"eval_every", "eval_limit"} | ({"steps"} if settings["schedule"] == "constant" else set())
        different = [name for name in settings.keys() - may_differ if then.get(name) != settings[name]]
        if different:
            said = ", ".join(f"{k} was {then.get(k)!r} and is now {settings[k]!r}" for k in sorted(different))
            raise LoRAError(
                f"cannot resume from {path}: {said}. Use the same settings, or resume=False to start again."
            )
        check_base(self.base, state["base"])
        parameters, optimizer = self.step.parameters, self.step.optimizer
        there = {key.partition("|")[2]: tensor for key, tensor in tensors.items() if key.startswith("trained|")}
        kinds = {name: (p.shape, p.dtype) for name, p in parameters.items()}
        wrong = [n for n in kinds | there if n not in there or kinds.get(n) != (there[n].shape, there[n].dtype)]
        if wrong:
            raise LoRAError(f"cannot resume from {path}: these trained tensors differ: {', '.join(sorted(wrong)[:5])}")
        with torch.no_grad():
            for key, tensor in tensors.items():
                kind, _, name = key.partition("|")
                parameter = parameters[name]
                if kind == "trained":
                    parameter.copy_(tensor)
                else:  # AdamW keeps "step" on the CPU; the moments lie beside their parameter
                    optimizer.state[parameter][kind] = tensor if kind == "step" else tensor.to(parameter.device)
        self.history.rows, self.history.seconds = state["rows"], state["seconds"]


def read_whole(path: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """A checkpoint's state and its tensors. Raises LoRAError where the file is not as it was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata, tensors = file.metadata() or {}, {key: file.get_tensor(key) for key in list(file.keys())}
        if metadata["sha256"] != checksum_of(tensors, metadata["state"]):
            raise ValueError("its checksum does not fit")
        return json.loads(metadata["state"]), tensors
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise LoRAError(f"the checkpoint {path} is damaged ({error}); delete it to start again") from error
