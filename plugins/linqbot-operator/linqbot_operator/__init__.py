"""The page for the operators of a bot, which `linqbot serve --page` serves. `plugin.py` says what linqbot gets of it."""
