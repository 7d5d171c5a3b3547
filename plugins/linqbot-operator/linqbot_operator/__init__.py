"""A page and tools for the operators of a bot: `linqbot serve --page` and `linqbot mcp`. `plugin.py` says what linqbot gets of it."""
