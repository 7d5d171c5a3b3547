"""The tools to write and test a bot with: an emulator of Linq with a phone in the browser, `linqbot.testing`, `linqbot dev` and others.

Authors import from `linqbot.testing`, which forwards to `linqbot_dev.testing`. `plugin.py` lists the commands. These tools are
released together with linqbot, so they may use its inner modules: `lint-imports` holds the list of those that they may not.
"""
