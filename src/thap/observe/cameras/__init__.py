"""Cameras as doors: where their pictures come from, how they fare, and what of them is kept.

A camera is a thing of the registry (kind `camera`) with a row in `cameras`: its address, its encrypted credentials,
what is drawn on its picture. One `Reader` a camera takes packets; viewers get them remuxed, never transcoded, an
analysis gets decoded pictures at the rate planned for the camera, and a ring of packets becomes a clip when something
happens. PyAV is imported where it is used, so that no other role pays for it at its start.
"""
