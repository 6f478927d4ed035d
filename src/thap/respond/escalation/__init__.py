"""Escalation: whom an incident that nobody takes up is told to, and when the next one is."""
