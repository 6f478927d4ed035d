"""What everything stands on: settings, records, history, stream, clock, places, errors."""
