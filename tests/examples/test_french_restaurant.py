"""examples/french_restaurant.py: a guest books in French."""

from __future__ import annotations

from datetime import UTC, datetime

from answers import answers

from linqbot import Bot
from linqbot.testing import talking

TUESDAY = datetime(2030, 1, 1, 12, tzinfo=UTC)


async def test_a_guest_books_with_numbers_days_and_times_in_words_and_ends_a_question_in_french(bot: Bot) -> None:
    async with talking(bot, start=TUESDAY, service="SMS") as phone:
        assert await answers(phone, "Réserver") == ["Pour combien de personnes ?"]
        assert await answers(phone, "beaucoup") == ["Merci de donner un seul nombre entier, par exemple 2 ou douze."]
        assert await answers(phone, "Nous sommes vingt et un") == ["Quand ? Par exemple : samedi 19h30"]
        await phone.text("demain à 9")
        assert "du matin ou du soir ?" in str(await phone.next_reply())
        assert await answers(phone, "Demain soir à 9") == ["Où ?\n1. En salle\n2. En terrasse"]
        assert await answers(phone, "2") == ["Vingt et un personnes, mercredi 2 janvier 2030 à 21:00. Je réserve ?"]
        assert await answers(phone, "peut-être") == ["Oui ou non ?"]
        assert await answers(phone, "D’accord !") == [
            "Votre table est réservée : mercredi 2 janvier 2030 à 21:00, en terrasse."
        ]
        assert (await answers(phone, "reserver", "Laissez tomber !"))[-1] == "Je n’ai rien réservé. À une autre fois !"
