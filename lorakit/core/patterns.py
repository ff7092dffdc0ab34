"""Regular expressions out of files: what PEFT takes them to mean, in bounded time."""

import functools
import re
import time

from lorakit.core.errors import LoRAError, shown

REPEATS = set("(*+?{")  # without these a match cannot backtrack for long
LONGEST = {True: 500_000, False: 20_000}  # characters: plain (a list of paths, joined by "|"), with repeats
# In re these are literal characters, which no module's path holds; in regex they mean something, and may in re one day.
DIALECT = re.compile(r"\{(?!\d*,?\d*\})|\[\[")


class Patience:
    """The seconds that all the patterns of one file may take together."""

    def __init__(self, seconds: float = 1.0):
        self.until = time.monotonic() + seconds

    def fits(self, pattern: str, path: str) -> bool:
        """Is the whole path what the pattern says?"""
        return self.find(pattern, path, pattern, whole=True) is not None

    def fits_end(self, pattern: str, path: str) -> bool:
        """PEFT's rule for rank_pattern: does the pattern fit the path, or the end of it after a dot?"""
        return self.find(rf"(.*\.)?({pattern})$", path, pattern) is not None

    def find(self, expression: str, path: str, said: str, whole: bool = False):
        """The match of an expression made from what a file said, or None; LoRAError when it takes too long to say."""
        plain, compiled = _compiled(expression, said)
        match = compiled.fullmatch if whole else compiled.match
        left = self.until - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            return match(path) if plain else match(path, timeout=left)
        except TimeoutError:
            raise LoRAError(
                f"matching the pattern {shown(said)} (or those before it) to this model's module names takes too "
                "long: write simpler patterns, or list the names"
            ) from None


def check_patterns(patterns, patience: Patience | None = None) -> None:
    """Raise LoRAError unless each is a regular expression that PEFT can put to use."""
    patience = patience or Patience()
    for pattern in patterns:
        patience.fits_end(pattern, "")


@functools.lru_cache(maxsize=1024)
def _compiled(expression: str, said: str):
    """(plain?, the compiled expression). Plain ones go to re, as in PEFT, the others to regex, which has a clock."""
    try:
        plain = not REPEATS & set(said)
        if len(said) > LONGEST[plain]:
            raise ValueError(f"it has {len(said)} characters, more than {LONGEST[plain]}")
        if DIALECT.search(said):
            raise ValueError("no module's name holds { or [[")
        compiled = re.compile(expression)
        if plain:
            return True, compiled
        return False, _with_a_clock().compile(expression)
    except ImportError:
        raise
    except Exception as error:  # re.error, regex.error, OverflowError, RecursionError, … by the way it is malformed
        raise LoRAError(f"pattern {shown(said)} is not a regular expression: {error}") from None


def _with_a_clock():
    import regex  # only here: most adapters need it never, and importing lorakit shall cost little

    return regex
