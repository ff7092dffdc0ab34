"""What goes wrong with a base model."""

from lorakit.core.errors import LoRAError


class BaseModelError(LoRAError):
    """A base model that is not here, or not of the kind asked for; the message says what was tried and what to do."""
