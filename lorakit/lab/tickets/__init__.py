"""Support tickets that nobody ever sent, and the task of sending each to the right team with the right priority."""

from lorakit.lab.tickets.triage import read, ticket_triage
from lorakit.lab.tickets.write import make_tickets

__all__ = ["make_tickets", "read", "ticket_triage"]
