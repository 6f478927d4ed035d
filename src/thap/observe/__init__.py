"""The five record kinds, things and datastreams, and the doors records come in through."""
