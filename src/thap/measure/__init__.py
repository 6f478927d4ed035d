"""Indicators and reports: every number opens to the rows behind it."""
