"""What a citizen uses."""
