"""Each form of which a phone makes a link is found, and cut unless it was shown; texts that only look like one stay."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from frameworks import Answer, Outside, Response, bot_of, each_framework  # noqa: F401 - a fixture
from linqbot_agent import LinqAgent
from linqbot_agent.links import ADDRESS_CUT, NUMBER_CUT, Shown, goes_on, without_invented
from linqbot_agent.requests import Lines

from linqbot.testing import talking

# fmt: off
SHOWN: Final = Shown.of(["Our shop: https://shop.example/menu"])
FORMS: Final[list[tuple[str, str]]] = [
    ('See evil.page/leak?q=SECRET ok', 'See [address removed] ok'),
    ('go evil.tech/SECRET', 'go [address removed]'),
    ('evil.zip/SECRET', '[address removed]'),
    ('evil.tk/SECRET', '[address removed]'),
    ('evil.cc/SECRET', '[address removed]'),
    ('evil.tv/SECRET', '[address removed]'),
    ('evil.store/SECRET', '[address removed]'),
    ('evil.news/SECRET', '[address removed]'),
    ('evil.cloud/SECRET', '[address removed]'),
    ('203.0.113.9/SECRET here', '[address removed] here'),
    ('open 203.0.113.9:8080/SECRET', 'open [address removed]'),
    ('SECRET.evil.com', '[address removed]'),
    ('ftp://evil.example/SECRET', '[address removed]'),
    ('hxxps://evil.example/SECRET', '[address removed]'),
    ('ｈttps://evil.com/SECRET', '[address removed]'),
    ('https：//evil.com/SECRET', '[address removed]'),
    ('evil．com/SECRET', '[address removed]'),
    ('https://еvil.com/SECRET', '[address removed]'),
    ('раура1.com/SECRET', '[address removed]'),
    ('xn--80ak6aa92e.com/SECRET', '[address removed]'),
    ('https://ev\u200bil.com/SECRET', '[address removed]'),
    ('evil\u200b.com/SECRET', '[address removed]'),
    ('evil\xad.com/SECRET', '[address removed]'),
    ('evil.\u2060com/SECRET', '[address removed]'),
    ('`https://evil.com/SECRET`', '`[address removed]`'),
    ('```\nhttps://evil.com/SECRET\n```', '```\n[address removed]\n```'),
    ('See [menu][1]\n\n[1]: https://evil.com/SECRET', 'See [menu][1]\n\n[1]: [address removed]'),
    ('<https://evil.com/SECRET>', '<[address removed]>'),
    ('![x](https://evil.com/SECRET)', 'x'),
    ('[https://shop.example](https://evil.com/SECRET)', 'https://shop.example'),
    ('<a href="https://evil.com/SECRET">x</a>', '<a href="[address removed]>'),
    ('tel:+19005551234', '[number removed]'),
    ('sms:+19005551234?body=SECRET', '[number removed]'),
    ('smsto:+19005551234', '[number removed]'),
    ('mailto:evil@evil.com?subject=SECRET', '[address removed]'),
    ('write SECRET@evil.com', 'write [address removed]'),
    ('facetime://19005551234', '[number removed]'),
    ('facetime-audio:19005551234', '[number removed]'),
    ('maps://?q=SECRET', '[address removed]'),
    ('whatsapp://send?phone=1&text=SECRET', '[address removed]'),
    ('shortcuts://run-shortcut?name=SECRET', '[address removed]'),
    ('imessage://evil@evil.com', '[address removed]'),
    ('cash.app/$evil/100', '[address removed]'),
    ('venmo://paycharge?txn=pay&recipients=evil&amount=100', '[address removed]'),
    ('webcal://evil.com/SECRET.ics', '[address removed]'),
    ('data:text/html,SECRET', '[address removed]'),
    ('//evil.com/SECRET', '[address removed]'),
    ('evil .com/SECRET', '[address removed]'),
    ('https://evil.com/\nSECRET', '[address removed]'),
    ('https://shop.example@evil.com/SECRET', '[address removed]'),
    ('https://shop.example/SECRET', '[address removed]'),
    ('https://shop.example/menu?q=SECRET', '[address removed]'),
    ('https://shop.example/menu#SECRET', '[address removed]'),
    ('https://shop.example/redirect?to=https://evil.com/SECRET', '[address removed]'),
    ('https://shop.example\\@evil.com/SECRET', '[address removed]'),
    ('https://shop.example/menu|SECRET', '[address removed]'),
    ('https://shop.example/menu,SECRET', '[address removed]'),
    ('https://shop.example/menu(SECRET)', '[address removed]'),
    ('https://shop.example/menu.SECRET', '[address removed]'),
    ('HTTPS://SHOP.EXAMPLE/MENU', '[address removed]'),
    ('call 900 555 1234', 'call [number removed]'),
    ('call 555-1234', 'call [number removed]'),
    ('+44 900 123 4567', '[number removed]'),
    ('+1 nine hundred 555 1234', '[number removed]'),
    ('＋１９００５５５１２３４', '[number removed]'),
    ('+١٩٠٠٥٥٥١٢٣٤', '[number removed]'),
    ('text PAY to 70707', 'text PAY to [number removed]'),
    ('dial *21*19005551234#', 'dial [number removed]'),
    ('evil[.]com/SECRET', '[address removed]'),
    ('evil.com', '[address removed]'),
    ('SECRET.evil.io', '[address removed]'),
    ('evil.com\\SECRET', '[address removed]'),
    ('evil.xyz/SECRET', '[address removed]'),
    ('evil.co.uk/SECRET', '[address removed]'),
]
"""Forms in which models were made to say what they knew, and what is left of them."""

MORE_SHOWN: Final = Shown.of(["Our shop: https://shop.example/menu", "Call 415 555 0142 or write to ann@gmail.com", "sms 70701"])
MORE_FORMS: Final[list[tuple[str, str]]] = [
    ('**evil**.com/SECRET', '**[address removed]'),
    ('_evil.com_/SECRET', '[address removed]'),
    ('*evil*.*com*/SECRET', '*[address removed]'),
    ('evil\\.com/SECRET', '[address removed]'),
    ('evil&#46;com/SECRET', '[address removed]'),
    ('evil&period;com/SECRET', '[address removed]'),
    ('&#104;ttps://evil.com/SECRET', '[address removed]'),
    ('[evil](x).com/SECRET', '[address removed]'),
    ('evil.c`om`/SECRET', '[address removed]'),
    ('ev~~il~~.com/SECRET', '[address removed]'),
    ('evil․com/SECRET', '[address removed]'),
    ('evil｡com/SECRET', '[address removed]'),
    ('evil。com/SECRET', '[address removed]'),
    ('ⓔⓥⓘⓛ.com/SECRET', '[address removed]'),
    ('𝐞𝐯𝐢𝐥.𝐜𝐨𝐦/SECRET', '[address removed]'),
    ('evil.ＣＯＭ/SECRET', '[address removed]'),
    ('evil.com／SECRET', '[address removed]'),
    ('evil.com∕SECRET', '[address removed]'),
    ('evil.com⁄SECRET', '[address removed]'),
    ('HTTP:\\\\evil.com\\SECRET', '[address removed]'),
    ('https:/evil.com/SECRET', '[address removed]'),
    ('https:evil.com/SECRET', 'https:[address removed]'),
    ('http:///evil.com/SECRET', '[address removed]'),
    ('gopher://evil/SECRET', '[address removed]'),
    ('intent://SECRET#Intent;end', '[address removed]'),
    ('x-callback://evil/SECRET', '[address removed]'),
    ('cashapp:pay?to=evil', '[address removed]'),
    ('app:pay?to=evil&n=SECRET', '[address removed]'),
    ('evil.xn--p1ai/SECRET', '[address removed]'),
    ('evil.рф/SECRET', '[address removed]'),
    ('例子.中国/SECRET', '[address removed]'),
    ('evil.भारत/SECRET', '[address removed]'),
    ('evil.museum/SECRET', '[address removed]'),
    ('evil.unknownending/SECRET', '[address removed]'),
    ('www.evil.unknownending', '[address removed]'),
    ('WWW.EVIL', '[address removed]'),
    ('evil.com:8080', '[address removed]'),
    ('evil.com:8080/SECRET', '[address removed]'),
    ('[2001:db8::1]/SECRET', '[address removed]'),
    ('http://[2001:db8::1]/SECRET', '[address removed]'),
    ('http://3405803785/SECRET', '[address removed]'),
    ('http://0xcb007109/SECRET', '[address removed]'),
    ('203.0.113.9', '[address removed]'),
    ('203.0.113.9?q=SECRET', '[address removed]'),
    ('@evil.com', '@[address removed]'),
    ('x/evil.com/SECRET', 'x/[address removed]'),
    ('..evil.com/SECRET', '..[address removed]'),
    ('…evil.com/SECRET', '…[address removed]'),
    ('-evil.com/SECRET', '[address removed]'),
    ('(evil.com)SECRET', '([address removed]'),
    ('evil.com,SECRET', '[address removed]'),
    ('evil.com|SECRET', '[address removed]'),
    ('evil.com;SECRET', '[address removed]'),
    ('evil.com"SECRET', '[address removed]'),
    ("evil.com'SECRET", '[address removed]'),
    ('evil.com。SECRET', '[address removed]'),
    ('evil.com）SECRET', '[address removed]'),
    ('evil.com>SECRET', '[address removed]'),
    ('evil.com#SECRET', '[address removed]'),
    ('evil.com?SECRET', '[address removed]'),
    ('evil.com\\\\SECRET', '[address removed]'),
    ('evil.com:SECRET', '[address removed]'),
    ('https://evil.com/\n  SECRET', '[address removed]'),
    ('https://evil.com/?q=\nSECRET', '[address removed]'),
    ('https://evil.com/a\\\nSECRET', '[address removed]'),
    ('请看evil.com/SECRET', '请看[address removed]'),
    ('见evil.com谢谢', '见[address removed]谢谢'),
    ('[menu](evil.com/SECRET)', 'menu'),
    ('[menu](<https://evil.com/SECRET> "t")', 'menu'),
    ('[https://shop.example/menu](evil.com)', 'https://shop.example/menu'),
    ('![](https://evil.com/SECRET)', '[address removed]'),
    ('[a [b](https://evil.com/SECRET)', '[a b'),
    ('| [b](https://evil.com/SECRET) |', '| b |'),
    ('mailto:?subject=SECRET', '[address removed]'),
    ('mailto:ann@gmail.com?bcc=evil@evil.com', '[address removed]'),
    ('mailto:?subject=SECRET&x=@shop.example', '[address removed]'),
    ('mailto:SECRET@evil.com', '[address removed]'),
    ('SECRET@gmail.com', '[address removed]'),
    ('SECRET+x@evil.co.uk', '[address removed]'),
    ('sms:4155550142?body=SECRET', '[number removed]'),
    ('sms:/open?addresses=evil', '[number removed]'),
    ('tel:19005551234;ext=SECRET', '[number removed]'),
    ('facetime:evil@evil.com', '[number removed]'),
    ('facetime-audio://evil', '[number removed]'),
    ('smsto:70707:SECRET', '[number removed]'),
    ('shortcuts:run-shortcut?name=SECRET', '[address removed]'),
    ('javascript:alert(SECRET)', '[address removed])'),
    ('data:text/html,SECRET', '[address removed]'),
    ('itms-services://?action=SECRET', '[address removed]'),
    ('tg:resolve?domain=evil', '[address removed]'),
    ('https://shop.example/menu\u2063SECRET', '[address removed]'),
    ('https://shop.example/men\u200bu\u2063', '[address removed]\u2063'),
    ('https://shop.example/ｍenu', '[address removed]'),
    ('https://shop.example/menu%00SECRET', '[address removed]'),
    ('shop.example.evil.com', '[address removed]'),
    ('evilshop.example', '[address removed]'),
    ('好shop.example', '好[address removed]'),
    ('https://evil@shop.example/menu', '[address removed]'),
    ('ftp://shop.example/menu', '[address removed]'),
    ('evilapp://shop.example/menu', '[address removed]'),
    ('SMS PAY an 70707', 'SMS PAY an [number removed]'),
    ('SMS an 70707', 'SMS an [number removed]'),
    ('envoyez OUI au 81234', 'envoyez OUI au [number removed]'),
    ('appelez 81234', 'appelez [number removed]'),
    ('envía SI al 70707', 'envía SI al [number removed]'),
    ('invia SI al 48484', 'invia SI al [number removed]'),
    ('envie SIM para 27272', 'envie SIM para [number removed]'),
    ('stuur JA naar 44999', 'stuur JA naar [number removed]'),
    ('70707に「PAY」と送信', '[number removed]に「PAY」と送信'),
    ('call 70707', 'call [number removed]'),
    ('dial 555-1234', 'dial [number removed]'),
    ('Text "PAY" to 70707', 'Text "PAY" to [number removed]'),
    ('*67*19005551234#', '[number removed]'),
    ('**21*19005551234#', '*[number removed]'),
    ('+1 (900) 555-1234', '[number removed]'),
    ('1-900-555-1234', '[number removed]'),
    ('900.555.1234', '[number removed]'),
    ('00441900555123', '[number removed]'),
    ('+1\xa0900\xa0555\xa01234', '[number removed]'),
    ('+1 **900** 555 1234', '[number removed]'),
    ('+1 nine oh oh five five five one two three four', '[number removed]'),
    ('call us at 555.1234', 'call us at [number removed]'),
]

HARMLESS: Final = (
    '3.5', 'e.g. this', 'i.e. that', 'etc.', 'Node.js', 'Vue.js/React', 'Next.js?', '12:30', '12:30-14:00', '10.000,50 €', '1.234.567,89 €',
    '1.000.000.000', '$1,234.56', 'St. Gallen', 'z.B. so', 'z. B.', 'd.h. ja', 'u.a.', 'usw.', 'bzw.', 'ca. 20', 'Nr. 5', 'Abs. 2',
    'Art. 5/6', 'M.Sc. Physik', 'B.Sc.', 'Ph.D.', 'Dr. Ok', 'S.p.A.', 'S.A. de C.V.', 'Inc.', 'Ltd.', 'a.m.', 'p.m.', '8 a.m.-9 p.m.',
    'U.S.A.', 'U.K.', 'p.ex.', 'c.-à-d.', 'S.V.P.', 'Mme. Dupont', 'Sr. García', 'pág. 5', 'n.º 3', 'p. 12', 'cap. 3', "l'e-mail",
    "d'abord...", 'Wait...what', 'Hello...ok?', 'Really?!', 'Yes/no', 'and/or', '24/7', '1/2', '3/4 cup', '10/12/2026', '2026-11-20',
    '20.11.2026', '2026/11/20', 'v1.2.3', 'version 2.10', '1.2.3', 'Python 3.11.2', 'iOS 18.1', 'report.pdf', 'notes.txt', 'photo.jpeg',
    'index.html', 'data.json/xml', 'archive.tar.gz', 'IMG_1234.heic', 'C:\\Users\\ann', 'Note: this', 'Note:this', 'Preis:10€',
    'Uhrzeit:20:30', 'Re:Zero', 'key:value', 'std::vector', 'a::b', 'Genesis 1:3', 'Mt 5,3-7', '3:2', '16:9', 'a=b', 'x==y', '50%', '100%',
    '50% off', '#1', 'C#', 'F#', '@ann', '@here', '#hashtag', 'code 123456', 'Code: 482913', 'order 70707', 'Order no. 123-4567',
    'Your table is number 12345', 'PLZ 80331', '80331 München', 'Room 101', 'call 911', 'call 112', 'ruf 110 an', 'dial 988',
    'text HOME to 988', 'call us at 18:30', 'call before 2027', 'Call me at 8', 'text us in 2026', '500-1000 people', '800-1700',
    'costs 12000 €', 'send 12000 to Ann', 'send the 20000 to Ann', 'I call 30000% bluff', '❤️.', '👍🏽!', '😀:)', ':-)', ';)', '(ok)',
    '[x] done', '- [ ] task', '**bold**', '`code`', '*a* _b_ ~~c~~', '| a | b |', '|---|---|', '1. One\n2. Two', '> quote', '# Title',
    '2*3*4', '5 * 6', 'a_b_c', 'snake_case.', 'AT&T', 'R&D', '&amp;', 'Tom & Jerry', 'e.V.', 'GmbH & Co. KG', '今天8点。', '请看菜单。好的',
    '价格：10.5元', '时间：12:30', 'お店は8時.です', '電話してください', '番号は12345です', '12345に決めました', '안녕하세요.감사합니다', '가격은 3.5만원', 'С.-Петербург', 'т.е. так',
    'и т.д.', 'ул. Ленина, д.5', '10 тыс. руб.', '٣٫٥', 'مرحبا.شكرا', 'नमस्ते।', 'दि. 5', '…', '....', 'a..b', '...and', 'π≈3.14159',
    '2.5.', 'x.y', 'R2D2', 'ratio 3:4:5', '00:00:00', '[10:30:00] log', '{"a": 1}', 'f(x)=y', 'if a:b', 'TODO:fix', 'Wi-Fi:ABC123', 'URL:',
    'http:', 'www.', '//', '// comment', 'a//b', '/etc/passwd', '/menu', '~/x', '\\n', '100.000 km', 'kl. 8', 'f.eks.', 'bl.a.', 'm.fl.',
    'o.s.v.', 'np. to', 'tzn.', 'm.in.', 'itd.', 'Sp. z o.o.', 'j.w.', 'ж.д.', 'St.-Martin', 'rue St.Martin', 'J.R.R. Tolkien', 'W.H.O.',
    'A.I.', 'Mr.Smith', 'Yes.Then we go',
)
"""Texts of several languages of which a phone makes no link."""

AS_PHONES_DO: Final = ("See README.md", "run main.py", "setup.sh", "a movie.mov", "backup.zip", "the end.It was", "Version 1.2.3.4")
"""Texts that are no addresses, although a phone makes a link of them."""

KNOWN_SHOWN: Final = Shown.of(["Our shop: https://shop.example/menu_a", "Call 415 555 0142 or write to ann@gmail.com", "sms 70701"])
KNOWN: Final = (
    'https://shop.example/menu_a', 'See **https://shop.example/menu_a**.', '[Menu](https://shop.example/menu_a)',
    'https://shop.example/menu\\_a', 'shop.example', 'www.shop.example', '(shop.example/menu_a)', 'https://shop.example',
    'HTTPS://Shop.Example/menu_a', '`https://shop.example/menu_a`', '请看https://shop.example/menu_a。谢谢', '请看 shop.example 谢谢',
    'shop.example谢谢', 'ann@gmail.com', 'Ann@Gmail.com.', 'mailto:ann@gmail.com', '[ann](mailto:ann@gmail.com)', 'info@shop.example',
    '+1 (415) 555-0142', 'tel:+14155550142', 'sms:4155550142', 'SMS an 70701', 'https://shop.example/menu_a, https://shop.example/menu_a.',
    'https://shop.example/\nThanks', '<https://shop.example/menu_a>', 'https://shop.example/menu_a!',
)
# fmt: on


def test_each_form_of_what_was_not_shown_is_cut(subtests: pytest.Subtests) -> None:
    assert len(FORMS) == 74
    assert len(MORE_FORMS) > 100
    for forms, shown in ((FORMS, SHOWN), (MORE_FORMS, MORE_SHOWN)):
        for text, expected in forms:
            with subtests.test(text):
                left = without_invented(text, shown)
                assert left == expected
                assert ADDRESS_CUT in left or NUMBER_CUT in left or not {"SECRET", "evil"} & {*left.split()}
                assert "SECRET" not in left
                assert "evil" not in left


def test_a_text_of_which_a_phone_makes_no_link_stays(subtests: pytest.Subtests) -> None:
    assert len(HARMLESS) > 200
    for text in (*HARMLESS, " ".join(HARMLESS[:40])):
        with subtests.test(text):
            assert without_invented(text, SHOWN) == text


def test_a_name_that_a_phone_would_link_is_cut_also_if_it_is_that_of_a_file(subtests: pytest.Subtests) -> None:
    for text in AS_PHONES_DO:
        with subtests.test(text):
            assert ADDRESS_CUT in without_invented(text, SHOWN)


def test_what_was_shown_stays_in_the_forms_in_which_it_is_written(subtests: pytest.Subtests) -> None:
    for text in KNOWN:
        with subtests.test(text):
            assert without_invented(text, KNOWN_SHOWN) == text


def test_what_a_person_wrote_in_full_width_letters_is_known() -> None:
    shown = Shown.of(["見て：ｈｔｔｐｓ：／／ｓｈｏｐ．ｅｘａｍｐｌｅ／ａ", "電話 ＋１４１５５５５０１４２"])
    text = "https://shop.example/a +1 415 555 0142"
    assert without_invented(text, shown) == text


def test_an_address_of_a_mail_makes_no_other_of_its_host_known() -> None:
    shown = Shown.of(["ann@gmail.com"])
    assert (
        without_invented("ann@gmail.com bob@gmail.com gmail.com", shown) == f"ann@gmail.com {ADDRESS_CUT} {ADDRESS_CUT}"
    )


def test_a_text_that_comes_in_pieces_is_cut_as_a_whole_one() -> None:
    dice = random.Random(1)
    texts = [text for text, _ in (*FORMS, *MORE_FORMS)]
    for _ in range(200):
        text = "\n".join(dice.choices(texts, k=5))
        said, at = list[str](), 0
        lines = Lines(lambda part: without_invented(part, SHOWN), said.append)
        while at < len(text):
            size = dice.randint(1, 9)
            lines.take(text[at : at + size])
            at += size
        lines.end()
        whole = list[str]()
        once = Lines(lambda part: without_invented(part, SHOWN), whole.append)
        once.take(text)
        once.end()
        assert "".join(said) == "".join(whole)
        assert "SECRET" not in "".join(said)
    assert goes_on("See https://evil.com/ ")
    assert not goes_on("See the menu.")


# Said by a bot


class Saying(Outside):
    """A model that says one text after another, each until it has said it to the end of a message of a person."""

    text = ""

    def response(self, messages: list[tuple[str, str]], results: int, files: list[bytes]) -> Response:
        return Response([self.text])


@pytest.mark.slow
@pytest.mark.parametrize(
    "framework", ["anthropic", "pydantic-ai"], indirect=True
)  # one for each code that cleans texts
@pytest.mark.parametrize("stream", [False, True])
async def test_no_form_is_said_by_a_bot(framework: Answer, stream: bool) -> None:
    outside = Saying(instructions="Our shop: https://shop.example/menu")
    plugin = LinqAgent(known_links=True, history=2)
    async with talking(bot_of(outside, framework(outside, stream=stream), plugin)) as phone:
        for outside.text, _ in FORMS:
            await phone.text("Which one?")
            said = "\n".join(map(str, await phone.replies()))
            assert said, outside.text
            assert not [each for each in ("SECRET", "19005551234", "evil") if each in said], (outside.text, said)
            assert {part.type for each in phone.messages if each.from_bot for part in each.parts} == {"text"}, (
                outside.text
            )
            await phone.advance(60)


# Long texts

UNITS: Final = (
    *(
        "a",
        "1",
        ".",
        " ",
        "-",
        "@",
        "/",
        "_",
        "\n",
        "=",
        '"',
        "é",
        ":",
        "\\",
        "*",
        "`",
        "&",
        "[",
        "](",
        "(",
        "%",
        "~",
        "。",
        "\u200b",
        "中",
    ),
    *(
        "a.",
        "a@",
        "@.",
        "1 ",
        "1-",
        "(1-",
        "a-",
        "?a",
        "a:",
        "ab:",
        "ab:a",
        "a.com ",
        "a.com/\n",
        "a.com",
        "www.",
        "+1 (",
        "[a](b)",
        "[a](b.c)d.e",
    ),
    *(
        "&#46;",
        "a&#46;",
        "[.]",
        "a .b/c",
        "tel:",
        "tel:1",
        "call to ",
        "call a 12345 ",
        "*1#",
        "https://",
        "https://a ",
        "mailto:a@",
        "data:a",
    ),
    *("a.b。", "中a.com", "a\u0301.", "1.000", "+1 nine ", "１", "ａ．"),
)


def cpu_s(run: Callable[[str], object], text: str) -> float:
    gc.disable()
    began = time.thread_time()
    run(text)
    took = time.thread_time() - began
    gc.enable()
    return took


@pytest.mark.slow
@pytest.mark.parametrize(
    "run", [lambda text: without_invented(text, SHOWN), lambda text: Shown.of([text])], ids=["cut", "shown"]
)
def test_a_text_is_read_in_time_that_grows_with_its_length(run: Any, subtests: pytest.Subtests) -> None:
    """For four times the length, four times as long is linear, and sixteen times is quadratic."""
    for unit in UNITS:
        with subtests.test(unit):
            few, many = ((unit * size)[:size] for size in (1 << 12, 1 << 14))
            for _ in range(10):
                times = [min(cpu_s(run, text) for _ in range(2)) for text in (few, many)]
                if times[1] <= 10 * max(times[0], 1e-3):
                    break
            else:
                pytest.fail(f"{unit!r}: {times}")
