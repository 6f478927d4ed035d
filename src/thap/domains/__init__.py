"""What a province watches, one folder each."""
