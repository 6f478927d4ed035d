"""Vision: what moves in a camera's picture, as tracks, crossings, measures and events.

A domain gives a scene (lines, zones, a ground plane) and gets numbers; nothing in here knows of roads. Heavy
libraries (openvino, scipy, av) are imported where they are used, so that no role pays for them at its start.
"""
