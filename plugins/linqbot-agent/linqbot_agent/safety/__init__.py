"""Limits of what a model that was talked into something can do: the tools that it calls, and the addresses that it says."""
