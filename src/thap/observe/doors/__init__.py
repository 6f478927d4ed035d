"""One adapter per protocol; each decodes input into records and hands them to the intake."""
