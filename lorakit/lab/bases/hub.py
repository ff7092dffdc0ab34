"""Whether the Hugging Face Hub can be asked at all, found out in a moment."""

import os
import socket
import urllib.parse
import urllib.request

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def why_no_hub(timeout: float = 4.0) -> str:
    """One sentence on why the Hub cannot be reached; "" where it can.

    At most `timeout` seconds, where its client would retry for most of a minute.
    """
    for key in OFFLINE:
        if os.environ.get(key, "").lower() in ("1", "true", "yes", "on"):
            return f"The Hugging Face Hub was not asked, because {key} is set."
    if urllib.request.getproxies():
        return ""  # the proxy decides; a direct connection proves nothing
    address = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        with socket.create_connection((address.hostname, address.port or 443), timeout=timeout):
            return ""
    except OSError:
        return "The Hugging Face Hub does not answer: there is no network."
