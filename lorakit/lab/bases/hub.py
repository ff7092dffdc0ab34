"""Whether the Hugging Face Hub can be asked at all, found out in a moment."""

import os
import socket
import urllib.parse
import urllib.request

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def hub_answers(timeout: float = 4.0) -> bool:
    """Can the Hub be reached? At most `timeout` seconds, where its client would retry for most of a minute."""
    if any(os.environ.get(key, "").lower() in ("1", "true", "yes", "on") for key in OFFLINE):
        return False
    if urllib.request.getproxies():
        return True  # the proxy decides; a direct connection proves nothing
    address = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        with socket.create_connection((address.hostname, address.port or 443), timeout=timeout):
            return True
    except OSError:
        return False


def why_not() -> str:
    """One sentence on why the Hub does not answer."""
    switched_off = [key for key in OFFLINE if os.environ.get(key)]
    if switched_off:
        return f"The Hugging Face Hub was not asked, because {switched_off[0]} is set."
    return "The Hugging Face Hub does not answer: there is no network."
