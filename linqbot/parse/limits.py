"""The longest text that a parser reads, so that no text of a stranger keeps it busy."""

from typing import Final

LONGEST_TEXT: Final = 300
"""Characters. What the parsers understand is far shorter."""


def check_length(text: str) -> None:
    """Refuse a text that is too long to be an answer.

    Raises:
        ValueError: the text has more than `LONGEST_TEXT` characters.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError("Please write less, so that I understand it.")
