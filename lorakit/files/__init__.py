"""Adapters on disk: PEFT's two files, and loralib's."""
