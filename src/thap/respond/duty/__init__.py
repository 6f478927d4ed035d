"""Duty: shifts, rosters, hand-over, and who is on duty at a time."""
