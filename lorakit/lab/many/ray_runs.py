"""A sweep's runs as Ray tasks: on all cores of this machine, or on every machine of a cluster.

The workers only fine-tune and hand back records; the process that called `sweep` alone writes them to the file.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from lorakit.core.errors import LoRAError

# What a run depends on besides its fields (and every LORAKIT_...): a worker has to see the same data and models. No
# token: Ray shows a task's environment to everyone on the cluster.
ENVIRONMENT = ("HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM")
LOCAL = "local"
# Records are a few kilobytes, so the store for objects, by default a third of the memory, can be small.
STORE_BYTES = 100_000_000


def ray_results(runs: list, work: Callable, *, cluster: str, processes: int, keep: Callable, device) -> Iterator[tuple]:
    """(run, record) as they finish; each is `work(run, keep=folder, device=device, progress=False)` in a Ray worker.

    cluster    "local": a Ray of this machine alone, started here and stopped afterwards, with `processes` runs at a
               time (1: one for each core). Else what ray.init takes: "auto" (the cluster this machine belongs to),
               "host:6379", "ray://host:10001". A Ray that runs in this process already is used as it is.
    Each run takes one core, and one GPU where the cluster has any, unless `device` is "cpu". On other machines lorakit
    has to be installed, and the folders of keep, LORAKIT_DATA, LORAKIT_MODELS and the like to be reachable.

    A worker that dies is replaced and its run done again, up to three times. Raises the LoRAError of a run, or Ray's
    error; runs that have not finished are then cancelled, as they are on Ctrl-C or when the caller stops asking.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would ask the network
    try:
        import ray
    except ImportError as error:
        raise LoRAError("a sweep on a cluster needs Ray: `pip install ray`") from error
    started = not ray.is_initialized()
    if started:
        start(ray, cluster, processes)
    waiting = {}
    try:
        device = None if device is None else str(device).partition(":")[0]  # Ray shows a worker one GPU, number 0
        gpus = int(device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        seen = {"env_vars": environment(cluster)}
        task = ray.remote(_one).options(num_cpus=1, num_gpus=gpus, max_retries=3, runtime_env=seen)
        for run in runs:
            folder = keep(run)
            folder = None if folder is None else Path(folder).absolute()  # a worker may run in another folder
            waiting[task.remote(work, run, folder, device)] = run
        while waiting:
            (finished,), _ = ray.wait(list(waiting), num_returns=1)
            try:
                row = ray.get(finished)
            except ray.exceptions.RayTaskError as failed:
                raise failed.cause if isinstance(failed.cause, LoRAError) else failed from None
            yield waiting.pop(finished), row
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished, force=True)  # kills it: half a run is worth nothing
        if started:
            ray.shutdown()


def _one(work: Callable, run, folder: Path | None, device: str | None) -> dict:
    """In the worker: one thread, as Ray counts on one core."""
    torch.set_num_threads(1)
    return work(run, keep=folder, device=device, progress=False)


def start(ray, cluster: str, processes: int) -> None:
    """Start a Ray here, or join the one at an address. Raises LoRAError, with what to do, where that fails."""
    options = {"log_to_driver": False, "logging_level": "warning"}
    advice = "start one with `ray start --head`, or leave the address out to use this machine alone"
    if cluster == LOCAL:
        cores = processes if processes > 1 else None
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        # It gives its helper processes 15 seconds to start, whatever else the machine does (ray issue 65983).
        advice = "on a busy machine try again, or use processes=2 without Ray"
    try:
        ray.init(address=cluster, **options)
    except Exception as error:  # a node that does not come up in time is a bare Exception
        raise LoRAError(f"no Ray cluster at {cluster!r} ({error}): {advice}") from error


def environment(cluster: str) -> dict[str, str]:
    """What a worker sees of this process's environment."""
    passed = {name: value for name, value in os.environ.items() if name.startswith("LORAKIT_") or name in ENVIRONMENT}
    if cluster == LOCAL:  # the same files: a checkout serves without being installed
        here = str(Path(__file__).resolve().parents[3])
        passed["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return passed
