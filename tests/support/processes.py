"""Start a script in several processes, as a reader would, and collect what each of them wrote."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# --multi_gpu: without it, `accelerate launch` on a machine without a GPU starts one process, or asks for MPI.
LAUNCHER = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines=1", "--num_processes"]


def environment_of_children(**more: str) -> dict[str, str]:
    """One thread, no GPU, the modules that tests share; what guards this process guards its children too."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more, "CUDA_VISIBLE_DEVICES": ""}


def run_command(command: list[str], timeout: float = 300, **environment: str) -> str:
    """Run it in the checkout, with that environment; returns its output. An exit code but 0 fails the test."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment_of_children(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def at_once(work: Callable, processes: int, *arguments) -> None:
    """Call `work(number, *arguments)` in several processes at once; one that fails fails the test.

    Forked where that is possible: a fresh one imports torch for ten seconds, to write to a file for one.
    """
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    started = [context.Process(target=work, args=(number, *arguments)) for number in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0


def figures_of(script: Path, *arguments, **environment: str) -> dict:
    """Run a script that prints a line of JSON; returns what that says."""
    said = run_command([str(script), *map(str, arguments)], **environment)
    return json.loads(said[said.index("{") :].splitlines()[0])


def launch(folder: Path, script: str, processes: int) -> list[dict]:
    """Run a script that writes `<folder>/<processes>-<its number>.json`; returns those, in order."""
    (folder / "work.py").write_text(script)
    run_command([*LAUNCHER, str(processes), str(folder / "work.py"), str(folder), str(processes)])
    return [json.loads((folder / f"{processes}-{index}.json").read_text()) for index in range(processes)]
