"""The worst errors seen by the tests that allow one, kept until the session ends."""

WORST: dict[str, float] = {}


def note(name: str, value: float) -> None:
    """Keep the largest value seen under this name."""
    WORST[name] = max(WORST.get(name, 0.0), float(value))
