"""Incidents: what alarms and reports become, so that an office closes them on time."""
