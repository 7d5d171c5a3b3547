"""Seeded schedules of the whole: people, Linq, the bot's processes and their storage in one loop with virtual time.

A seed draws who writes what and when, and what fails. What the world saw of the bot becomes one record, and `checker` judges
the record by rules that hold for any bot.
"""
