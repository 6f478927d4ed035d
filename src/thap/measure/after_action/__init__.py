"""After-action reports: one incident from its opening to its end, as PDF, with timeline, map and evidence.

The parts: `gather` (an incident's records as plain values), `drawing` (the map), `writing` (the PDF).
"""
