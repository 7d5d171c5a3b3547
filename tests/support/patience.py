"""The longest wait of a test for what is sure to come: a machine at work on other things may need minutes for a second's work."""

PATIENCE_S = 180.0
