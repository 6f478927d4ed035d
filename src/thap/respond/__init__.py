"""Alarms (ISA-18.2) and what people do about them."""
