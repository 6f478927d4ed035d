"""`python -m thap` is the `thap` command."""

from thap.cli import main

main()
