"""Migrations of the records, by Alembic; `versions/` holds one file a step."""
