"""Tháp: an open operations centre for a province."""
