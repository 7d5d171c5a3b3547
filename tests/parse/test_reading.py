"""Texts that people write, in English and in other languages. The present is Friday 20 November 2026, 13:00 in Paris."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from babel.localedata import locale_identifiers
from hypothesis import given
from hypothesis import strategies as st

from linqbot import parse
from linqbot.language import CODES, written

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LARGER_NUMBERS = Path(__file__).parents[1] / "data" / "larger_numbers.toml"

# By language and meaning, the texts that have this meaning, with ` | ` between them.
MOMENTS: dict[str, dict[str, str]] = {
    "en": {
        "2026-11-20 19:30": "friday 19:30 | 19h30 | friday evening at half past seven",
        "2026-11-27 09:00": "Friday 9:00",
        "2026-11-27 19:30": "next friday 19:30",
        "2026-11-24 09:00": "on Tues at 9am",
        "2026-11-21 19:00": "tomorrow at 7pm",
        "2026-11-21 07:00": "tomorrow at 7 in the morning",
        "2026-11-22 08:00": "the day after tomorrow, 8 a.m.",
        "2026-11-20 20:00": "tonight at 8",
        "2026-11-21 09:00": "9:00",
        "2026-11-21 12:00": "noon",
        "2026-12-24 18:00": (
            "24.12. 18:00 | 24/12 18:00 | 12/24 6pm | Thursday, 24 Dec at 18:00 | 2026-12-24 18:00 | 2026-12-24T18:00"
        ),
        "2027-12-24 18:15": "24.12.2027 at 18.15",
        "2027-12-24 18:00": "December 24th 2027, 6 pm",
        "2027-05-05 10:00": "may 5 10:00",
        "2028-02-29 10:00": "29 feb 10:00",
        "2026-11-20 13:20": "in 20 min",
        "2026-11-20 14:00": "an hour from now | 20th, 14:00",
        "2026-11-21 13:00": "in 24 hours",
        "2026-12-04 20:00": "in two weeks at 8pm",
        "2026-11-22 20:00": "in 2 days at 8 in the evening",
        "2026-11-27 12:00": "a week from today at noon",
        "2026-11-27 10:30": "fri 10.30",
        "2026-11-21 10:30": "10.30",
        "2026-12-24 18:30": "24.12. 18.30",
        "2026-11-27 10:00": "friday morning at ten",
        "2026-11-20 19:45": "tonight, quarter to 8",
        "2026-11-21 09:15": "quarter past nine in the morning",
        "2026-11-21 12:45": "quarter to one in the afternoon",
        "2026-11-20 19:00": "friday 19",
        "2026-12-04 18:00": "the 4th at 18:00",
        "2026-12-20 09:00": "the 20th 9:00",
    },
    "fr": {
        "2026-12-01 20:00": "le premier décembre à 20h",
        "2026-11-21 13:00": "demain à une heure de l’après-midi",
        "2026-11-21 19:30": "demain à 19 h 30 min | samedi 19h30",
        "2026-11-23 12:00": "dans trois jours à midi",
        "2026-11-21 18:30": "demain à 18h30",
        "2026-11-27 19:30": "vendredi prochain 19h30",
        "2026-11-20 20:00": "ce soir à 8h | ce soir à 20h | vendredi soir à huit heures | aujourd'hui à 20h",
        "2026-11-22 09:00": "après-demain matin à 9h",
        "2026-12-03 18:00": "le 3 à 18h",
        "2026-12-01 19:00": "le 1er décembre à 19 heures",
        "2027-02-01 12:00": "1er fevrier 2027 à 12h",
        "2026-12-31 20:00": "31/12 20h",
        "2026-12-03 20:00": "3/12 à 20h",
        "2026-11-20 13:20": "dans 20 minutes",
        "2026-11-20 14:30": "dans une heure et demie",
        "2026-11-20 13:30": "dans une demi-heure",
        "2026-11-20 13:15": "dans un quart d'heure",
        "2026-12-04 20:00": "dans deux semaines à 20h",
        "2026-11-21 09:00": "9h",
        "2026-11-21 12:00": "demain à midi",
        "2026-11-24 19:30": "mardi à sept heures et demie du soir",
        "2026-11-26 20:15": "jeu. 26 nov. à 20 h 15",
        "2027-09-24 19:00": "24 sept. à 19h",
        "2026-11-21 07:00": "à sept heures",
        "2026-11-21 19:00": "Demain, 7h du soir",
        "2026-11-22 12:00": "DIMANCHE MIDI",
        "2026-11-21 20:00": "demain vers 20h svp | le samedi 21 à 20h",
        "2026-11-23 19:30": "lundi 23 novembre 2026 à 19:30",
        "2026-11-20 19:45": "huit heures moins le quart du soir",
        "2026-12-24 18:00": "24 dec 18h",
        "2026-11-20 15:00": "l'après-midi à 3h",
        "2026-11-21 15:00": "samedi après-midi à 3h",
        "2026-11-20 20:30": "aujourd’hui à 20h30",
    },
    "de": {
        "2026-12-01 19:00": "am ersten Dezember um 19 Uhr",
        "2026-11-21 18:00": "morgen um 18 Uhr",
        "2026-11-21 18:30": "morgen um 18.30 Uhr",
        "2026-11-27 19:30": "nächsten Freitag 19:30",
        "2026-11-20 19:30": "Freitagabend um halb acht",
        "2026-11-20 20:00": "heute Abend um acht | zwanzig Uhr | so gegen 20 Uhr",
        "2026-11-20 18:30": "halb sieben abends",
        "2026-11-22 09:00": "übermorgen um 9 Uhr früh",
        "2026-12-03 18:00": "am 3. um 18 Uhr",
        "2026-12-03 19:30": "3. Dezember, 19 Uhr 30",
        "2026-12-24 18:00": "24.12. 18 Uhr",
        "2027-12-24 18:15": "24.12.2027 um 18:15",
        "2026-11-20 14:00": "in einer Stunde",
        "2026-11-20 14:30": "in anderthalb Stunden",
        "2026-11-22 20:00": "in 2 Tagen um 20 Uhr | So 20 Uhr | am So um 20 Uhr | So, 22.11. 20 Uhr",
        "2026-11-20 13:30": "in einer halben Stunde",
        "2026-11-20 13:15": "in einer Viertelstunde",
        "2026-11-21 20:00": "Sa 20 Uhr | morgen so 20 Uhr | morgen, so um 20 Uhr",
        "2026-11-21 12:00": "Samstagmittag um 12 Uhr",
        "2026-11-21 08:00": "morgen früh um 8",
        "2026-11-23 08:00": "Montag morgen um 8",
        "2026-11-20 19:15": "Viertel nach sieben abends",
        "2026-11-20 19:45": "viertel vor 8 abends",
        "2027-03-05 19:00": "5. Maerz 19 Uhr",
        "2026-11-21 02:00": "nachts um 2",
        "2026-11-23 20:30": "20 Uhr 30 am Montag",
        "2026-12-24 09:00": "9 Uhr 24.12.",
        "2026-11-21 01:00": "morgen um ein Uhr",
        "2026-11-24 19:30": "Dienstag, 24. November 2026 um 19:30",
        "2026-11-21 09:00": "9 Uhr",
        "2027-04-03 18:00": "3/4 18 Uhr",
        "2026-11-26 15:00": "Donnerstag Nachmittag um 3",
    },
    "es": {
        "2026-11-23 12:00": "en tres días al mediodía",
        "2026-11-21 13:30": "mañana a la una y media de la tarde",
        "2026-11-21 18:30": "mañana a las 18:30",
        "2026-11-21 09:00": "mañana por la mañana a las 9",
        "2026-11-27 20:00": "el próximo viernes a las 20:00 | viernes que viene a las 20:00",
        "2026-11-20 21:00": "esta noche a las 9",
        "2026-11-22 20:00": "pasado mañana a las 8 de la tarde",
        "2026-12-03 18:00": "el 3 a las 18:00",
        "2027-05-03 19:00": "el 3 de mayo a las 7 de la tarde",
        "2027-03-24 20:00": "24 mar 20:00",
        "2026-11-24 20:00": "mar 20:00",
        "2026-12-31 20:00": "31/12 a las 20h",
        "2026-11-20 13:20": "en 20 minutos",
        "2026-11-20 14:00": "dentro de una hora",
        "2026-11-20 13:30": "en media hora",
        "2026-11-21 19:30": "sábado a las siete y media de la tarde",
        "2026-11-21 18:45": "sabado a las 7 menos cuarto de la tarde",
        "2026-11-21 12:00": "mañana al mediodía",
        "2026-11-22 19:30": "domingo 22 de noviembre de 2026 a las 19:30",
        "2026-11-25 21:00": "miércoles 21 h",
        "2026-12-01 20:00": "1 de diciembre a las 20:00",
    },
    "pt": {
        "2026-11-23 12:00": "daqui a três dias ao meio-dia",
        "2026-11-21 18:30": "amanhã às 18h30",
        "2026-11-21 09:00": "amanhã de manhã às 9",
        "2026-11-27 20:00": "próxima sexta às 20h | sexta-feira que vem às 20h",
        "2026-11-20 20:00": "hoje à noite às 8",
        "2026-11-22 20:00": "depois de amanhã às 8 da noite",
        "2026-12-03 18:00": "dia 3 às 18h",
        "2027-05-03 19:00": "3 de maio às 7 da noite",
        "2026-11-23 19:30": "segunda 19h30",
        "2026-11-24 19:00": "terça-feira às 19h",
        "2026-12-31 20:00": "31/12 às 20h",
        "2026-11-20 13:20": "em 20 minutos",
        "2026-11-20 14:00": "daqui a uma hora",
        "2026-11-20 13:30": "em meia hora",
        "2026-11-21 19:30": "sábado às sete e meia da noite",
        "2026-11-21 12:00": "amanhã ao meio-dia",
        "2026-12-24 18:00": "24 dez às 18h",
        "2026-11-26 20:00": "quinta as 20h",
        "2026-11-21 19:00": "amanha as 19 horas",
    },
    "it": {
        "2026-11-21 18:30": "domani alle 18:30",
        "2026-12-03 18:00": "il 3 ore 18 | il 3 alle 18",
        "2026-11-21 09:00": "domani mattina alle 9",
        "2026-11-27 20:00": "venerdì prossimo alle 20 | prossimo venerdì alle 20:00",
        "2026-11-20 20:00": "stasera alle 8",
        "2026-11-22 20:00": "dopodomani alle 8 di sera",
        "2026-12-08 19:00": "l'8 dicembre alle 19",
        "2027-05-03 19:30": "3 maggio ore 19.30",
        "2027-03-24 20:00": "mar 24 mar 20:00 | 24 mar ore 20",
        "2026-12-31 20:00": "31/12 alle 20",
        "2026-11-20 13:20": "tra 20 minuti",
        "2026-11-20 14:00": "fra un'ora",
        "2026-11-20 13:30": "tra mezz'ora",
        "2026-11-21 19:30": "sabato alle sette e mezza di sera",
        "2026-11-21 19:45": "sabato alle 8 meno un quarto di sera",
        "2026-11-21 12:00": "domani a mezzogiorno",
        "2026-11-24 21:00": "martedi alle 21",
        "2026-12-01 20:00": "1° dicembre alle 20",
    },
    "nl": {
        "2026-11-21 18:30": "morgen om 18:30",
        "2026-11-22 18:30": "zo 18:30",
        "2026-11-21 20:00": "morgen, zo 20 uur",
        "2026-11-21 12:30": "morgen half één ‘s middags",
        "2026-11-21 09:00": "morgenochtend om 9 uur | 9 uur",
        "2026-11-27 20:00": "volgende vrijdag om 20 uur",
        "2026-11-20 20:00": "vanavond om 8 uur",
        "2026-11-22 20:00": "overmorgen om 8 uur 's avonds",
        "2026-12-03 18:00": "de 3e om 18 uur",
        "2027-05-03 19:30": "3 mei om 19.30 uur",
        "2026-11-20 19:30": "vrijdagavond om half acht",
        "2026-11-21 20:30": "za 20u30",
        "2026-12-31 20:00": "31/12 om 20 uur",
        "2026-11-20 13:20": "over 20 minuten",
        "2026-11-20 14:00": "over een uur",
        "2026-11-20 13:30": "over een half uur",
        "2026-11-20 14:30": "over anderhalf uur",
        "2026-11-20 13:15": "over een kwartier",
        "2026-11-20 19:15": "kwart over zeven 's avonds",
        "2026-11-20 19:45": "kwart voor acht 's avonds",
        "2026-11-23 08:00": "maandag morgen om 8 uur",
        "2026-12-24 18:00": "24 dec 18:00",
    },
    "ja": {
        "2026-11-21 18:00": "明日18時",
        "2026-11-21 18:30": "明日の18時半",
        "2026-11-21 19:00": "明日午後7時 | 土曜の夜7時",
        "2026-11-20 19:30": "金曜日19:30",
        "2026-11-27 19:00": "次の金曜日の19時",
        "2026-11-20 20:00": "今夜8時 | 20時です",
        "2026-11-22 09:00": "明後日の午前9時",
        "2026-12-03 18:00": "３日の１８時",
        "2026-12-24 18:30": "12月24日18時30分",
        "2026-12-24 18:00": "１２月２４日（木）１８：００",
        "2026-12-31 20:00": "2026年12月31日午後八時 | 12/31 20時 | 2026/12/31 20:00",
        "2026-11-20 13:30": "30分後",
        "2026-11-20 15:00": "2時間後",
        "2026-11-22 19:00": "2日後の19時",
        "2026-11-27 20:00": "一週間後に20時",
        "2026-11-21 12:00": "正午 | 明日の正午 | 午後0時",
        "2026-12-03 19:00": "十二月三日の十九時",
        "2026-11-21 09:00": "9時",
        "2026-11-21 20:00": "明日の夜8時でお願いします",
    },
}

DAYS: dict[str, dict[str, str]] = {
    "en": {
        "2026-11-20": "friday | fri | Friday morning, please | today | the 20th",
        "2026-11-27": "next friday",
        "2026-11-21": "tomorrow",
        "2026-12-04": "on the 4th | in two weeks",
        "2026-12-31": "31st",
        "2026-12-24": "24.12.",
        "2027-12-24": "24 Dec 2027",
        "2028-02-29": "29 feb",
        "2026-11-23": "3 days from now",
    },
    "de": {"2026-11-22": "So | kommenden So"},
    "es": {"2026-11-21": "¡Mañana!"},
    "nl": {"2026-11-22": "zo"},
    "pt": {"2026-11-23": "seg"},
}

NUMBERS: dict[str, dict[object, str]] = {
    "en": {
        2: "2 | two | Two, please! | a couple | 2, minus the cheese",
        12: "a dozen",
        24: "two dozen",
        21: "twenty-one",
        205: "two hundred and five",
        100_000: "one hundred thousand",
        1000: "1,000",
        -5: "-5",
        -3: "minus 3 | Minus three, please",
        -1000: "it is negative 1,000 in total",
        -21: "minus twenty-one",
        -12: "minus a dozen",
        5: "we are 5 this time",
        4: "table for four",
        3: "٣",
    },
    "fr": {
        4: "nous sommes quatre",
        2: "une table pour deux",
        21: "vingt et un",
        12: "une douzaine",
        -3: "moins trois",
        1000: "1.000 | 1 000",
        90: "quatre vingt dix",
        92: "nonante-deux",
        31: "trente-et-un | trente et une personnes | TRENTE ET UN",
        80: "quatre-vingts | quatre-vingt | huitante | octante",
        71: "soixante et onze | soixante-et-onze | septante et un",
    },
    "de": {5: "fuenf", 1000: "1.000", 2: "Zwo", 30: "dreissig | DREIßIG", -3: "minus drei"},
    "es": {
        4: "somos cuatro",
        16: "dieciseis | diez y seis",
        22: "veintidos",
        21: "veintiuno | veintiun | veintiuna",
        3: "el punto 3",
        61: "sesenta y una personas | sesenta y un | sesentaiuno | sesentaiuna",
        300: "trescientas",
    },
    "pt": {
        2: "duas pessoas",
        21: "vinte e uma pessoas",
        32: "trinta e duas",
        3: "tres",
        300: "trezentas",
        14: "catorze | quatorze",
        16: "dezasseis | dezesseis",
        17: "dezassete | dezessete",
        19: "dezanove | dezenove",
    },
    "it": {4: "siamo in quattro", 23: "ventitré | ventitre", 21: "ventuno | ventun | ventuna", 41: "quarantun"},
    "nl": {4: "we zijn met vier", -3: "minus drie", 1: "één", 22: "tweeëntwintig | tweeentwintig"},
    "ja": {
        2: "２人 | 二名様です | ふたり",
        21: "二十一人",
        3: "3人でお願いします",
        1000: "1,000",
        4: "四つ",
        -3: "マイナス3",
    },
}

ANSWERS: dict[str, dict[object, str]] = {
    "en": {
        True: "yes… | yes | Yes! | yeah | sure | OK. | yes please | 👍 | 👍🏽👍🏽 | yes yes | ✔️ | oui",
        False: "no | Nope | no, thanks | 👎🏿 | No no no | Don’t | nein",
    },
    "fr": {True: "d’accord | bien sur | oui oui oui"},
    "de": {True: "natuerlich"},
    "es": {False: "No, gracias.", True: "¡Sí!"},
    "pt": {False: "nao"},
    "ja": {True: "はい、お願いします。 | ＯＫ", False: "いいえ、結構です"},
}

MINUTES: dict[str, dict[object, str]] = {
    "en": {
        20: "in 20 min",
        90: "1h30 | 1h 30m | 1.5 hours | 1,5 h | an hour and a half",
        7.5: "0.125 h",
        1000 / 60: "1000 seconds",
        30: "half an hour",
        15: "a quarter of an hour",
        120: "two hours | a couple of hours",
        21: "twenty-one minutes",
        2880: "2 days",
        13_140: "1 week, 2 days and 3 hours",
        1.5: "90 seconds",
    },
    "fr": {
        90: "1h30 | 1 heure 30",
        150: "2 heures et demie | 2,5 heures",
        30: "une demi-heure",
        15: "un quart d'heure",
        20: "dans 20 minutes",
        30_240: "trois semaines",
    },
    "de": {
        90: "1,5 Stunden | anderthalb Stunden",
        30: "eine halbe Stunde",
        15: "eine Viertelstunde",
        150: "2 Std 30 Min",
        75: "eine Stunde und 15 Minuten",
    },
    "es": {30: "media hora", 90: "una hora y media", 15: "un cuarto de hora"},
    "pt": {30: "meia hora", 90: "uma hora e meia", 2880: "dois dias"},
    "it": {30: "mezz'ora", 90: "un'ora e mezza", 120: "2 ore | due ore", 150: "due ore e mezza"},
    "nl": {30: "half uur | een half uur", 90: "anderhalf uur", 15: "kwartier", 120: "2 uur"},
    "ja": {90: "1時間半 | 1時間30分", 2880: "二日間 | 2日", 30_240: "三週間", 30: "30分間"},
}

RHYTHMS: dict[str, dict[str, str]] = {
    "en": {
        "2026-11-23 09:00": (
            "mon 09:00 | weekdays 9:00 | every Monday at 9 a.m. | 9:00 on mon and thu | mon and thu 9:00 and 17:00 | "
            "every Monday at 9am and every Thursday at 9am | mon 9:00, mon 17:00 | 0 9 * * mon | "
            "9:00 in the morning on mon and thu"
        ),
        "2026-11-23 21:00": "every Monday at 9 pm",
        "2026-11-20 17:00": "mon-fri 8:30 and 17:00",
        "2026-11-21 12:00": "Sat, Sun noon",
        "2026-11-21 07:00": "weekends 7am",
        "2026-11-21 09:00": "9 A.M. once a day | fri-mon 9:00 | daily 9:00 | 9:00",
        "2026-11-20 19:30": "every day at 19:30 | every evening at half past seven",
        "2026-11-20 14:00": "hour | hourly | every 2 hours",
        "2026-11-20 13:15": "15 min",
        "2026-11-20 13:30": "every half hour",
        "2026-11-20 13:05": "*/5 * * * *",
        "2026-11-30 09:00": "0 9 L * *",
        "2026-11-23 19:00": "every Monday at 7 in the evening",
    },
    "fr": {
        "2026-11-23 19:30": "chaque lundi à 19h30",
        "2026-11-21 11:00": "le week-end à 11h",
        "2026-11-23 09:00": "tous les lundis à 9h",
        "2026-11-20 14:00": "toutes les heures",
        "2026-11-23 19:00": "tous les lundis à 7h du soir",
    },
    "de": {
        "2026-11-23 19:30": "montags um halb acht abends",
        "2026-11-23 19:00": "jeden Montag um 19 Uhr",
        "2026-11-21 11:00": "am Wochenende 11:00",
        "2026-11-21 09:00": "täglich 9:00 | 9 Uhr",
        "2026-11-23 09:00": "montags 9 Uhr | Mo-Do 9:00",
        "2026-11-22 09:00": "jeden So um 9 Uhr | Mo und So 9 Uhr",
        "2026-11-20 14:00": "stündlich",
    },
    "es": {
        "2026-11-21 09:00": "todos los días a las 9:00",
        "2026-11-21 11:00": "fin de semana 11:00",
        "2026-11-23 19:00": "todos los lunes a las 7 de la tarde",
    },
    "pt": {"2026-11-21 11:00": "fim de semana 11h", "2026-11-23 19:00": "toda segunda às 7 da noite | seg e qui 19h"},
    "it": {"2026-11-21 11:00": "fine settimana 11:00", "2026-11-23 19:00": "ogni lunedì alle 7 di sera"},
    "nl": {
        "2026-11-21 11:00": "in het weekend 11:00",
        "2026-11-23 09:00": "ma-do 9:00",
        "2026-11-23 19:00": "elke maandag om 7 uur 's avonds",
    },
    "ja": {"2026-11-21 11:00": "週末11時", "2026-11-23 19:00": "毎週月曜日の19時 | 毎週月曜日午後7時"},
}

REFUSED: dict[str, dict[str, Mapping[str, str] | str]] = {
    "moments": {
        "en": {
            "3/4 18:00": "3/4 could be two dates. Please write the month as a word, such as 3 Apr.",
            "tomorrow at 7": "7 in the morning or in the evening?",
            "tomorrow": "At which time?",
            "today 9:00": "That time has passed.",
            "24.12.2020 18:00": "That time has passed.",
            "30.2. 10:00": "There is no such date as 30.2.",
            "25:00": "25:00 is not a time of day.",
            "13pm": "At which time?",
            "at 9": "9 in the morning or in the evening?",
            "9": "9 in the morning or in the evening?",
            "friday 10": "10 in the morning or in the evening?",
            "friday at ten": "10 in the morning or in the evening?",
            "friday at half past seven": "7:30 in the morning or in the evening?",
            "in two weeks at 8": "8 in the morning or in the evening?",
            "in two weeks": "At which time?",
            "in 1 day": "At which time?",
            "friday morning": "At which time?",
            "friday at 2 at night": "2 in the morning or in the evening?",
            "saturday night at 1:30": "1:30 in the morning or in the evening?",
            "tonight at 12": "12 in the morning or in the evening?",
            "in 20 min at 8pm": "Please give a day and a time",
            "in a while": "Please give a day and a time",
            "the 42nd at 9am": "There is no such date as the 42nd.",
            "hello at 19:30": "Please give a day and a time",
            "whenever": "Please give a day and a time",
            "": "Please give a day and a time",
        },
        "fr": "demain à 20h ou 21h | pas demain à 20h | 12-24 | à 9 | demain à 7 | demain | cette nuit à 2h",
        "de": (
            "zwischen 19 und 20 Uhr morgen | Freitag um halb acht | Maerz | um 9 | Samstag um 12 Uhr nachts | "
            "So um 20 Uhr | So morgen um 9 Uhr | in 14 Tagen 9 Uhr"
        ),
        "es": "a las 9 | mañana | hoy a mediodía | mañana a las 2 de la noche",
        "pt": "às 9",
        "it": "alle 9 | stanotte alle 2",
        "nl": ("vrijdag om half acht | 31-12 om 20 uur | om 9 | vannacht om 2 uur | zo om 20 uur | zo morgen om 9 uur"),
        "ja": "明日 | 明日の深夜2時 | 明日の夜12時",
    },
    "days": {
        "en": {
            **dict.fromkeys(
                ("next week", "this weekend", "friday 19:30", "in 20 min", "whenever", "in a while"),
                "Please give a day, such as Friday, tomorrow or 24 Dec.",
            ),
            "3/4": "3/4 could be two dates. Please write the month as a word, such as 3 Apr.",
            "19 Nov 2026": "That day has passed. Please give a later one.",
            "yesterday": "That day has passed. Please give a later one.",
            "30.2.": "There is no such date as 30.2. Please check it.",
        }
    },
    "numbers": {
        "en": dict.fromkeys(
            (
                *("", "many", "2 or 3", "one two", "twenty twenty", "two 3", "5 minus 3", "twenty minus one"),
                *("minus two minus three", "two minus", "minus", "2.5", "10am", "555-1234", "the blue one"),
                *("9" * 16, "3/4", "2 and a half", "2 adults and a child"),
            ),
            "Please give one whole number, such as 2 or twelve",
        ),
        "fr": (
            "2,5 | deux ou trois | un ou deux | un adulte et deux enfants | deux cent | cent vingt | beaucoup | "
            "2 mille | deux mille | deux et demi | un virgule cinq"
        ),
        "de": ("wir sind zu viert | hundert zwanzig | ein Komma fünf | zwei einhalb | ein oder zwei | ein bis zwei"),
        "es": "ciento veinte | dos y medio",
        "pt": "cento e vinte | dois e meio | um vírgula cinco | um ponto cinco",
        "it": "centoventi | due e mezzo",
        "nl": "twee en een half",
        "ja": "百二十 | 2か3 | 二と半分",
    },
    "answers": {
        "en": dict.fromkeys(("", "maybe", "yes but later", "yes no", "not sure", "👍👎"), "Please answer yes or no"),
        "fr": "peut-être",
        "de": "vielleicht",
        "es": "quizás",
        "pt": "talvez",
        "it": "forse",
        "nl": "misschien",
        "ja": "たぶん",
    },
    "durations": {
        "en": {
            **dict.fromkeys(
                (
                    *("", "90", "soon", "1 month", "1h90", "20 min ago", "5 apples", "and", "1 h foo 3 min"),
                    *("0 min", "999999999 weeks"),
                ),
                "Please give a length of time, such as 20 min, 1h30 or 2 days",
            ),
            "1,000 seconds": "1,000 could be 1000 or 1. Please write it like this.",
            "in 1.500 hours": "1.500 could be 1500 or 1.5. Please write it like this.",
            "2 h 10,000 s": "10,000 could be 10000 or 10. Please write it like this.",
        },
        "fr": "une heure et quart",
        "de": "eine dreiviertel Stunde",
    },
    "rhythms": {
        "en": {
            "": "Please say how often",
            "sometimes": "Please say how often",
            "every day": "At which time of day",
            "every 2 days": "At which time of day",
            "every day at 9": "9 in the morning or in the evening",
            "every night at 2": "2 in the morning or in the evening",
            "friday night at midnight": "Please say how often",
            "friday night at 1 am": "Please say how often",
            "every day at 9:00 and at 7 in the evening": "Please say how often",
            "every day at 8 in the morning and 7 in the evening": "8 in the morning or in the evening",
            "61 * * * *": "is not a cron expression: Bad minute",
            "0 0 30 2 *": "is not a cron expression: Bad day-of-month",
            "0.5 s": "how often",
            **dict.fromkeys(
                (
                    "weekdays 9:00, weekends 11:00",
                    "mon 9:00; tue 10:00",
                    "every Monday at 9am and Thursday at 5pm",
                    "9:00 on mon, 10:00 on tue",
                    "weekdays 9:00, weekends",
                    "daily 9:00 mon-fri",
                    "9:00 on mon and 17:00",
                    "mon 9:00, tue 9:00 and 10:00",
                    "mon 9:00, tue 9:00, wed 10:00",
                ),
                "It is not clear which times are on which days. Please give one rhythm for each group of days",
            ),
        },
        "fr": "tous les jours",
    },
}
"""Texts that have no meaning, or two; in English each with the sentence for the person. `tests/language` has the others."""


def moment(text: str, language: str) -> str:
    at = parse.date_time(text, timezone="Europe/Paris", now=NOW, language=language)
    return at.isoformat(" ", "minutes")[:16]


def which_day(text: str, language: str) -> str:
    return parse.day(text, timezone="Europe/Paris", now=NOW, language=language).isoformat()


def minutes(text: str, language: str) -> float:
    return parse.duration(text, language=language) / timedelta(minutes=1)


def first(text: str, language: str) -> str:
    rhythm = parse.recurrence(text, timezone="Europe/Paris", language=language)
    return rhythm.next_after(NOW).isoformat(" ", "minutes")[:16]


READERS: dict[str, tuple[Callable[[str, str], object], Mapping[str, Mapping[Any, str]]]] = {
    "moments": (moment, MOMENTS),
    "days": (which_day, DAYS),
    "numbers": (lambda text, language: parse.number(text, language=language), NUMBERS),
    "answers": (lambda text, language: parse.yes_no(text, language=language), ANSWERS),
    "durations": (minutes, MINUTES),
    "rhythms": (first, RHYTHMS),
}


@pytest.mark.parametrize("name", READERS)
def test_what_people_write_is_read(name: str, subtests: pytest.Subtests) -> None:
    read, table = READERS[name]
    for language, meanings in table.items():
        for value, text in ((value, text) for value, texts in meanings.items() for text in texts.split(" | ")):
            with subtests.test(language=language, text=text):
                assert read(text, language) == value
    for language, texts in REFUSED[name].items():
        for text in texts if isinstance(texts, Mapping) else texts.split(" | "):
            why = re.escape(texts[text]) if isinstance(texts, Mapping) else "."
            with subtests.test(language=language, text=text), pytest.raises(ValueError, match=why):
                read(text, language)


def test_a_range_of_days_has_the_days_between() -> None:
    rows = [
        ("fr", "du lundi au mercredi à 9h"),
        ("de", "Montag bis Mittwoch 9 Uhr"),
        ("de", "Mo-Mi 9:00"),
        ("es", "de lunes a miércoles a las 9:00"),
        ("es", "del lunes al miércoles a las 9:00"),
        ("pt", "de segunda a quarta às 9h"),
        ("it", "dal lunedì al mercoledì alle 9:00"),
        ("nl", "maandag t/m woensdag 9:00"),
        ("ja", "月曜から水曜9時"),
    ]
    for language, text in rows:
        rhythm = parse.recurrence(text, timezone="Europe/Paris", language=language)
        assert [at.weekday() for at in islice(rhythm.after(NOW), 4)] == [0, 1, 2, 0], text


def test_a_day_is_that_of_the_time_zone() -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    assert parse.day("today", timezone="Europe/Paris", now=late).isoformat() == "2026-11-21"
    assert parse.day("the 20th", timezone="Europe/Paris", now=late).isoformat() == "2026-12-20"


def test_a_time_that_the_clocks_skip_or_show_twice_is_the_next_moment_that_there_is() -> None:
    for text, now, at in (
        ("28 mar 2027 2:30", NOW, "2027-03-28 03:00+02:00"),
        ("25 oct 2:30", datetime(2026, 10, 24, 12, tzinfo=UTC), "2026-10-25 02:30+02:00"),
        ("2:30", datetime(2026, 10, 25, 0, 45, tzinfo=UTC), "2026-10-26 02:30+01:00"),  # 02:45 for the first time
    ):
        assert parse.date_time(text, timezone="Europe/Paris", now=now).isoformat(" ", "minutes") == at


def test_an_unknown_time_zone_and_a_present_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="There is no time zone 'Mars/Base'"):
        parse.date_time("noon", timezone="Mars/Base", now=NOW)
    with pytest.raises(ValueError, match="now= has no time zone"):
        parse.date_time("noon", timezone="Europe/Paris", now=datetime(2026, 1, 1))  # noqa: DTZ001


@given(st.sampled_from(CODES), st.integers(-1_000_000, 1_000_000) | st.integers(0, 100))
def test_a_number_that_is_written_in_a_language_is_read_back(language: str, value: int) -> None:
    assert parse.number(written(value, language=language), language=language) == value


def test_a_larger_number_in_words_is_read_as_itself_or_refused(subtests: pytest.Subtests) -> None:
    for language, rows in tomllib.loads(LARGER_NUMBERS.read_text("utf-8")).items():
        for text, value in rows["read"].items():
            with subtests.test(language=language, text=text):
                assert parse.number(text, language=language) == value
        for text in rows["refused"]:
            with subtests.test(language=language, text=text), pytest.raises(ValueError):  # noqa: PT011 - any sentence
                parse.number(text, language=language)


def test_what_is_written_in_a_language_of_any_country_is_read_back(subtests: pytest.Subtests) -> None:
    """CLDR has other words and forms for many countries: `Jänner`, `19 h 30`, `7:30 p. m.`."""
    languages = [name.replace("_", "-") for name in locale_identifiers() if name.partition("_")[0] in CODES]
    clock = [time(), time(0, 30), time(1, 10), time(9), time(10, 12), time(12), time(12, 30), time(19, 5), time(23, 59)]
    for language in languages:
        with subtests.test(language=language):
            for month in range(1, 13):
                day, at = date(2027, month, month * 2), clock[month % len(clock)]
                text = written(datetime.combine(day, at), language=language)
                assert text.isprintable()  # U+202F, which CLDR has before PM, is not
                found = parse.date_time(text, timezone="UTC", now=NOW, language=language)
                assert found == datetime.combine(day, at, UTC)
                assert parse.day(written(day, language=language), timezone="UTC", now=NOW, language=language) == day
            for at in clock:
                text = written(at, language=language)
                assert parse.date_time(text, timezone="UTC", now=NOW, language=language).time() == at
            for number in range(101):
                assert parse.number(written(number, language=language), language=language) == number


@given(st.sampled_from(CODES), st.dates(NOW.date(), date(2040, 12, 31)))
def test_a_day_that_is_written_in_a_language_is_read_back(language: str, value: date) -> None:
    text = written(value, language=language)
    assert parse.day(text, timezone="UTC", now=NOW, language=language) == value


@given(st.sampled_from(CODES), st.datetimes(datetime(2026, 11, 20, 12, 1), datetime(2040, 12, 31)))  # noqa: DTZ001 - of UTC
def test_a_moment_that_is_written_in_a_language_is_read_back(language: str, value: datetime) -> None:
    value = value.replace(second=0, microsecond=0, tzinfo=UTC)
    text = written(value, language=language)
    assert parse.date_time(text, timezone="UTC", now=NOW, language=language) == value


@given(st.sampled_from(CODES), st.times())
def test_a_time_that_is_written_in_a_language_is_read_back(language: str, value: time) -> None:
    value = value.replace(second=0, microsecond=0)
    text = written(value, language=language)
    assert parse.date_time(text, timezone="UTC", now=NOW, language=language).time() == value


@given(st.integers(0, 999_999))
def test_every_number_in_words_is_read_back(value: int) -> None:
    def in_words(number: int) -> str:
        for each, name in ((1000, "thousand"), (100, "hundred")):
            if number >= each:
                rest = f" and {in_words(number % each)}" if number % each else ""
                return f"{in_words(number // each)} {name}{rest}"
        return written(number, language="en")

    assert parse.number(in_words(value)) == value


WORDS = (  # noqa: SIM905 - a list of 43 strings is harder to read
    "at on in every the a an half next this tomorrow today tonight noon midnight day days week hour min fri mon-thu dec "
    "24 7 19:30 7pm 24.12. 3/4 24/12 2026-12-24 30.2. 2 two dozen hundred and of , - * */5 1-5 31 0"
).split()


@given(st.just("en") | st.sampled_from(CODES), st.text() | st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join))
def test_any_text_has_a_value_or_a_sentence_for_the_person(language: str, text: str) -> None:
    for read, _ in READERS.values():
        try:
            read(text, language)
        except ValueError as error:
            sentence = str(error)
        else:
            continue
        assert sentence[0].isalnum() or sentence[0] in "'¿「"
        assert sentence.endswith((".", "?", "。"))
