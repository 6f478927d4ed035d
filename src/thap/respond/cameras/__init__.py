"""The vision worker: what runs in the role `vision`. Readers of all cameras of this machine, one analysis for all of
them, what that says as records and alarms, clips as evidence, and the streams that the console shows."""
