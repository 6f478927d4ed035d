"""Warnings to the public, as CAP 1.2: composed, approved, signed, published; those of others read in as alarms.

The parts: `cap` (the document's model), `schema` (the schema's rules), `document` (reading and writing), `signing`,
`areas` (communes and outlines), `compose` (what a person fills in), `book` (states and acts), `feeds` (background).
"""
