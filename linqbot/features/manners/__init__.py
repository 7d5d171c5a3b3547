"""Manners: what a bot does not send, and when it waits. `options.py` has what an author chooses, `gate.py` decides."""
