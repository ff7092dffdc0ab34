"""The one family of errors that lorakit raises on purpose."""

LONGEST = 2000  # characters of a message


class LoRAError(Exception):
    """Something asked of lorakit cannot be done; the message says what was wrong and what to do.

    The model, and any folder, are exactly as they were before the call that raised it.
    """

    def __init__(self, message: str = ""):
        super().__init__(_fit_to_print(str(message)))


def shown(value, limit: int = 100) -> str:
    """A value as a message quotes it: its repr, cut short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of many thousand digits; lists in lists in lists
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= limit else f"{text[: limit - 20]} … ({len(text)} characters)"


def _fit_to_print(message: str) -> str:
    """Messages quote files that nobody vouches for: no megabytes, and no control characters for a terminal to obey."""
    if len(message) <= LONGEST and message.isprintable():
        return message
    message = _cut(message)
    return _cut("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in message))


def _cut(message: str) -> str:
    """Without its middle, if it is too long: what is wrong stands at the start, and what to do at the end."""
    half = LONGEST // 2 - 2
    return message if len(message) <= LONGEST else f"{message[:half]} … {message[-half:]}"
