"""The HTTP application: assembly, sign-in, live stream, errors."""
