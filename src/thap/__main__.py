"""`python -m thap` is the `thap` command."""

from thap.cli import main

if __name__ == "__main__":  # a forked role loads this module again under another name
    main()
