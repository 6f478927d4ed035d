"""Procedures to follow: what is to be done about an incident, by whom, until when."""
