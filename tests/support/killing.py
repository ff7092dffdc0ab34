"""Kill a process that saves, and look at what it left: `python killing.py <folder> <kills>` prints figures as JSON.

A process of its own, started without a GPU and with one thread: its children are forked, so that a trial costs
milliseconds instead of an import, and only a process without threads can be forked safely.
"""

import functools
import json
import mmap
import os
import random
import shutil
import signal
import statistics
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open

from tests.support.disk_steps import At, watched

PATIENCE = 60  # seconds for a child that should have ended long ago


class Progress:
    """Two numbers that a killed child leaves behind: how many saves it has begun, and how many it has ended."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 16)  # shared with forked children

    def put(self, begun: int, ended: int) -> None:
        self.memory[:16] = struct.pack("qq", begun, ended)

    def get(self) -> tuple[int, int]:
        return struct.unpack("qq", self.memory[:16])

    def newer_than(self, number: int) -> Callable[[], bool]:
        return lambda: self.get()[0] > number

    def around(self, save: Callable[[], object], number: int) -> None:
        self.put(number, number - 1)
        save()
        self.put(number, number)


def fork(work: Callable[[], None]) -> int:
    """The process id of a child that does this work and then ends, without any of its parent's clean-up."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def kill_after(work: Callable[[], None], begun: Callable[[], bool], delay: float) -> None:
    """Do the work in a child; kill it `delay` seconds after `begun()`."""
    child = fork(work)
    patience = time.monotonic() + PATIENCE
    while not begun():
        if time.monotonic() > patience or os.waitpid(child, os.WNOHANG)[0]:
            raise AssertionError("the child never began to save")
        time.sleep(1e-4)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended before it was killed"


def kill_at_each_step(folder: Path, prepare: Callable[[], None], save: Callable[[], object]):
    """Yield (n, what was about to be done) after a kill before the n-th change to the folder, for every n."""
    steps = mmap.mmap(-1, 64)
    for n in range(1, 1000):
        prepare()

        def work(n=n):
            def die():
                steps[:64] = at.done[-1].encode().ljust(64)
                os.kill(os.getpid(), signal.SIGKILL)

            at = At(n, die)
            with watched(folder, at):
                save()

        _, status = os.waitpid(fork(work), 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, "the save itself failed"
            return
        yield n, steps[:64].decode().strip()
    raise AssertionError("a save with a thousand steps?")


def temporaries(folder: Path) -> int:
    return sum(path.name.endswith(".tmp") or path.name == ".making" for path in folder.iterdir())


# --- an adapter -------------------------------------------------------------------------------------------------


class Adapters:
    """Two adapters that differ in everything, the files of each, and a fresh base to load what is found into."""

    def __init__(self, home: Path) -> None:
        import lorakit as lk
        from tests.support.tiny_models import build, fill

        self.lk, self.home = lk, home
        self.source = build("gpt2")
        configs = {
            "old": lk.LoRAConfig(r=2, alpha=4, targets=("q", "v")),
            "new": lk.LoRAConfig(r=3, alpha=9, targets=("c_attn", "mlp"), modules_to_save=("ln_f",)),
        }
        for seed, (name, config) in enumerate(configs.items()):
            lk.inject(self.source, config, name=name)
            fill(self.source, name, seed=seed)
        self.fresh = build("gpt2")
        self.wanted, self.settings_with = {}, {}
        for name in configs:
            lk.save_adapter(self.source, home / name, name=name)
            self.wanted[name] = self.contents(home / name)
            with safe_open(home / name / "adapter_model.safetensors", framework="pt") as file:
                self.settings_with[frozenset(file.keys())] = (home / name / "adapter_config.json").read_bytes()

    def save(self, folder: Path, name: str) -> None:
        self.lk.save_adapter(self.source, folder, name=name)

    def contents(self, folder: Path) -> dict:
        """All that loading the folder gives: every tensor and setting of the adapter."""
        self.lk.load_adapter(self.fresh, folder, name="x")
        found = {path: p.detach().clone() for path, p in self.fresh.named_parameters() if "x.lora_" in path}
        found |= {f"saved {path}": p.clone() for path, p in self.fresh.transformer.ln_f.state_dict().items()}
        layers = self.fresh._lorakit.layers
        found["settings"] = {path: (a.r, a.alpha, a.scaling, a.slices) for path, layer in layers.items()
                             for a in layer.adapters.values()}  # fmt: skip
        self.lk.eject(self.fresh)
        return found

    def which(self, folder: Path) -> str:
        """ "old" or "new", whichever the folder holds in every bit; an AssertionError for anything else."""
        found = self.contents(folder)
        same = [name for name, wanted in self.wanted.items() if equal(found, wanted)]
        assert len(same) == 1, "the folder holds neither adapter"
        return same[0]

    def between_renames(self, folder: Path) -> bool:
        """Are the weights of one adapter there with the settings of the other?"""
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            keys = file.keys()
        return self.settings_with[frozenset(keys)] != (folder / "adapter_config.json").read_bytes()


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def adapter(home: Path, kills: int) -> dict:
    """`save_adapter` in a loop, killed at random instants; and killed before each change it makes to the folder."""
    adapters, folder, progress = Adapters(home), home / "adapter", Progress()
    names = ("old", "new")
    times = []
    for number in range(11):
        started = time.perf_counter()
        adapters.save(folder, names[number % 2])
        times.append(time.perf_counter() - started)
    number, found = 10, Counter()
    for _ in range(kills):
        progress.put(number, number)

        def work(number=number) -> None:
            while True:
                number += 1
                progress.around(functools.partial(adapters.save, folder, names[number % 2]), number)

        kill_after(work, progress.newer_than(number), random.uniform(0, 3 * statistics.median(times)))
        begun, ended = progress.get()
        found["inside"] += begun != ended
        found["between renames"] += adapters.between_renames(folder)
        name = adapters.which(folder)
        number = next(n for n in (ended, begun) if names[n % 2] == name)  # fails if it is neither
        found["old" if number < begun else "new"] += begun != ended
    left = temporaries(folder)
    adapters.save(folder, "old")
    found |= {"left": left, "left after one more save": temporaries(folder)}

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "old", folder)

    steps, states = [], Counter()
    for _, what in kill_at_each_step(folder, prepare, lambda: adapters.save(folder, "new")):
        steps.append(what)
        states["between renames"] += adapters.between_renames(folder)
        states[adapters.which(folder)] += 1
    return {"random": found, "milliseconds": 1e3 * statistics.median(times), "steps": steps, "states": states}


def first_adapter(home: Path, kills: int) -> dict:
    """The first save into a folder that is not there yet: afterwards nothing, or the whole."""
    adapters, folder, progress = Adapters(home), home / "deep" / "adapter", Progress()
    started = time.perf_counter()
    adapters.save(folder, "new")
    duration, found, steps = time.perf_counter() - started, Counter(), Counter()

    def prepare() -> None:
        shutil.rmtree(folder.parent, ignore_errors=True)

    def state() -> str:
        try:
            return adapters.which(folder)
        except adapters.lk.LoRAError as error:
            assert "no adapter in" in str(error), error
            return "nothing"

    for _ in range(kills):
        prepare()
        progress.put(0, 0)
        kill_after(
            lambda: (progress.around(lambda: adapters.save(folder, "new"), 1), signal.pause()),
            progress.newer_than(0),
            random.uniform(0, 1.5 * duration),
        )
        found["inside"] += progress.get() == (1, 0)
        found[state()] += 1
    for _ in kill_at_each_step(folder.parent, prepare, lambda: adapters.save(folder, "new")):
        steps[state()] += 1
    return {"random": found, "steps": steps}


# --- a training run ---------------------------------------------------------------------------------------------


def checkpoint(home: Path, kills: int) -> dict:
    """A real `fit` that writes a checkpoint after each step, killed at random instants and resumed."""
    import lorakit.lab.checkpoint as files
    from tests.support.training_runs import fit_module, fresh, run, tensors_of

    folder, progress, saves, real = home / "run", Progress(), {}, fit_module.save_checkpoint
    options = {"checkpoint": folder, "checkpoint_every": 1, "schedule": "constant", "steps": 16, "resume": True}

    def kept(folder, parameters, optimizer, state) -> None:
        step = len(state["rows"])
        saves[step] = tensors_of(parameters, optimizer)
        real(folder, parameters, optimizer, state)
        if step == 2:
            shutil.copytree(folder, home / "start")

    fit_module.save_checkpoint = kept
    whole = run(fresh(), **options)
    began, times = time.perf_counter(), []

    def marked(folder, parameters, optimizer, state) -> None:
        progress.around(lambda: real(folder, parameters, optimizer, state), len(state["rows"]))

    def look() -> int:
        """The step that lies in the folder, all of it checked."""
        model, optimizer = fresh(), None
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(parameters.values())
        state = files.load_checkpoint(folder, parameters, optimizer, whole.settings, {})
        step = len(state["rows"])
        assert equal(tensors_of(parameters, optimizer), saves[step]), f"the tensors are not those of step {step}"
        assert [row["loss"] for row in state["rows"]] == whole.losses[:step]
        return step

    def reset() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "start", folder)

    fit_module.save_checkpoint = marked
    reset()
    run(fresh(), **options)
    times.append((time.perf_counter() - began) / 14)
    found, step = Counter(), 16
    for _ in range(kills):
        if step > 9:
            reset()
            step = 2
        progress.put(step, step)
        pause = random.uniform(0, 3 * times[0])
        kill_after(lambda: (run(fresh(), **options), signal.pause()), progress.newer_than(step), pause)
        begun, ended = progress.get()
        step = look()
        assert step in (begun, ended), (step, begun, ended)
        found["inside"] += begun != ended
        found["between saves" if begun == ended else "old" if step < begun else "new"] += 1
    left = sorted(path.name for path in folder.iterdir())
    fit_module.save_checkpoint = real
    assert run(fresh(), **options).losses == whole.losses, "the run that was killed so often ends elsewhere"
    after = [path.name for path in folder.iterdir()]
    return {"random": found, "left": left, "after": after, "milliseconds": 1e3 * times[0]}


def restart(home: Path, kills: int) -> dict:
    """A run is started afresh where another one's checkpoint lies, at a lower, the same and a higher step."""
    import lorakit.lab.checkpoint as files
    from tests.support.training_runs import fresh, run, state_of, tensors_of

    folder, states, steps = home / "run", {}, {}
    for name, lr in (("old", 1e-2), ("new", 2e-2)):
        model = fresh()
        history = run(model, steps=3, lr=lr, checkpoint=home / name)
        states[name] = state_of(model, home / name, history)
    for step in (2, 3, 4):
        found = steps[step] = Counter()

        def prepare() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(home / "old", folder)

        def save(step=step) -> None:
            parameters, optimizer, state = states["new"]
            rows = [{**state["rows"][0], "step": number} for number in range(1, 1 + step)]
            files.save_checkpoint(folder, parameters, optimizer, {**state, "rows": rows})

        for _, what in kill_at_each_step(folder, prepare, save):
            matches = []
            for name, (parameters, optimizer, state) in states.items():
                empty = {key: torch.nn.Parameter(torch.zeros_like(value)) for key, value in parameters.items()}
                moments = torch.optim.AdamW(empty.values())
                try:
                    files.load_checkpoint(folder, empty, moments, state["settings"], {})
                except files.LoRAError as error:
                    assert "lr was" in str(error), f"before {what}: {error}"
                    continue
                assert equal(tensors_of(empty, moments), tensors_of(parameters, optimizer))
                matches.append(name)
            assert len(matches) == 1, f"before {what}: {matches}"
            found[matches[0]] += 1
        save()  # what the last kill left is no obstacle, and goes
        assert len(list(folder.iterdir())) == 1
    return {"steps": steps}


def records(home: Path, kills: int) -> dict:
    """A history and a sweep's file, killed before each change."""
    from lorakit.lab.history import History
    from lorakit.lab.json_lines import append, read

    old, new = History(rows=[{"step": 1, "loss": 0.5}]), History(rows=[{"step": n, "loss": 0.25} for n in range(999)])
    found = {"history": Counter(), "sweep": Counter()}
    file = home / "history.json"
    for _ in kill_at_each_step(home, lambda: old.to_json(file), lambda: new.to_json(file)):
        read_back = History.from_json(file)
        assert read_back in (old, new)
        found["history"]["old" if read_back == old else "new"] += 1
    lines = home / "rows.jsonl"
    whole = [{"run": number} for number in range(3)]

    def torn() -> None:
        lines.write_text("".join(json.dumps(row) + "\n" for row in whole) + '{"run": 3, "met')

    for _ in kill_at_each_step(home, torn, lambda: append(lines, {"run": 4})):
        rows = read(lines)
        assert rows in (whole, [*whole, {"run": 4}])
        found["sweep"]["old" if rows == whole else "new"] += 1
    return found


if __name__ == "__main__":
    home, kills = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    random.seed(0)
    found = {}
    for trial in (adapter, first_adapter, checkpoint, restart, records):
        started = time.perf_counter()
        (home / trial.__name__).mkdir(parents=True)
        found[trial.__name__] = trial(home / trial.__name__, kills)
        print(trial.__name__, f"{time.perf_counter() - started:.1f} s", file=sys.stderr)
    print(json.dumps(found))
