"""Routes of the HTTP API, a file per noun; each exposes `router`."""
