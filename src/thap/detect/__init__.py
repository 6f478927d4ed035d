"""The engine, the detector protocol, the general detectors, rules and backtests."""
