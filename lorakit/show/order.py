"""For a cell that goes on from another one: say which to run, rather than go on from the wrong place."""

from lorakit.core.errors import LoRAError


def run_first(heading: str, *, ready: bool) -> None:
    """Nothing where `ready`; otherwise a LoRAError that names the heading whose cells to run before this one."""
    if not ready:
        raise LoRAError(f"Run the cells under '{heading}' first, from the top, then this one: it goes on from there.")
