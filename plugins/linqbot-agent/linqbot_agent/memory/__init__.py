"""Parts of an agent's memory: what a person and the bot said to each other, pictures, summaries, and the limit of size."""
