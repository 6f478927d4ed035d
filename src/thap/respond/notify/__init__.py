"""Notices: an outbox written with what it tells of, and a part that sends what is in it."""

from thap.respond.notify.model import Address, Duty, Notice, Person, Recipient
from thap.respond.notify.outbox import enqueue

__all__ = ["Address", "Duty", "Notice", "Person", "Recipient", "enqueue"]
