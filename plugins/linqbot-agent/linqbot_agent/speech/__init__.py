"""The speech of an agent: outputs as data, progress, bubbles while the model writes, and messages that come meanwhile."""
