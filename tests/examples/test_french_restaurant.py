"""examples/french_restaurant.py: a guest books in French."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from linqbot import Bot
from linqbot.testing import talking

TUESDAY = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def bot(example: Callable[[str], Bot]) -> Bot:
    return example("french_restaurant")


async def test_a_guest_books_with_numbers_days_and_times_in_words(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY, service="SMS") as phone:
        await phone.text("Réserver")
        assert await phone.next_reply() == "Pour combien de personnes ?"
        await phone.text("beaucoup")
        assert await phone.next_reply() == "Merci de donner un seul nombre entier, par exemple 2 ou douze."
        await phone.text("Nous sommes vingt et un")
        assert await phone.next_reply() == "Quand ? Par exemple : samedi 19h30"
        await phone.text("demain à 9")
        assert "du matin ou du soir ?" in str(await phone.next_reply())
        await phone.text("Demain soir à 9")
        assert await phone.next_reply() == "Où ?\n1. En salle\n2. En terrasse"
        await phone.text("2")
        assert await phone.next_reply() == "Vingt et un personnes, mercredi 2 janvier 2030 à 21:00. Je réserve ?"
        await phone.text("peut-être")
        assert await phone.next_reply() == "Oui ou non ?"
        await phone.text("D’accord !")
        assert await phone.next_reply() == "Votre table est réservée : mercredi 2 janvier 2030 à 21:00, en terrasse."


async def test_a_guest_ends_the_question_in_french(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY) as phone:
        await phone.text("reserver")
        await phone.text("Laissez tomber !")
        assert (await phone.replies())[-1] == "Je n’ai rien réservé. À une autre fois !"
