"""URLs that are accepted or refused, and addresses that count as public."""

from __future__ import annotations

import pytest

from linqbot.client.http.addresses import UnsafeURL, is_public, target

CLOSED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1"),
    *("127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1"),
    *("192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7"),
    *("203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1"),
    *("::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::10.1.2.3", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8"),
    *("100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:808:808::", "3fff::1", "4000::1", "5f00::1", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "2606:4700::1%eth0"),
]
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1"),
    *("168.63.129.17", "172.15.255.255", "172.32.0.1", "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
    *("2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
]
REFUSED = [
    *("file:///etc/passwd", "ftp://cdn.example/a", "gopher://cdn.example:70/_x", "data:text/plain,hi"),
    *("//cdn.example/a", "cdn.example/a", "", "https:", "https://", "https:///a", "https:cdn.example"),
    *("javascript:alert(1)", "unix:/run/x", "https://user@cdn.example/", "https://user:word@cdn.example/"),
    *("https://@cdn.example/", "https://a@b@cdn.example/", "https://cdn.example\\@127.0.0.1/"),
    *("https://cdn.example\r\nHost: x/", "https://cdn\t.example/", "https://a\x00b/", "https://2130706433/"),
    *("https://0x7f000001/", "https://017700000001/", "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://127.1/"),
    *("https://127.0.1/", "https://127.0.0.1./", "https://127.0.0.01/", "https://1.2.3.4.5/", "https://256.0.0.1/"),
    *("https://0x/", "https://cdn.0xa/", "https://１２７.0.0.1/", "https://①②⑦.⓪.⓪.①/", "https://127。0。0。1/"),
    *("https://[::1/", "https://::1/", "https://[]/", "https://[cdn.example]/", "https://[127.0.0.1]/"),
    *("https://[fe80::1%25eth0]/", "https://[::1]x/", "https://cdn.example:x/", "https://cdn.example:70000/"),
    *("https://.../", "https://cdn..example/", "https://-cdn.example/", "https://cdn-.example/"),
    *("https://cdn%2eexample/", "https://c d/", "https://cdn.example%00.evil/", "https://*.example/"),
    *("https://cdn.example,evil/", "https://bücher.example/"),
]


ODD_PATH, ODD_QUERY = "/a/../b/./c//d%2Fe%7e~;x=,()'/%20", "q=%2B+a%26&sig=a/b?c=d==&e=[f]|"


def test_only_an_address_of_a_single_receiver_on_the_internet_is_public(subtests: pytest.Subtests) -> None:
    no_addresses = ["", "localhost", "1", "127.1", "0x7f000001", "1.1.1.1/32", "[::1]", " 1.1.1.1"]
    for address in [*CLOSED, *no_addresses, *PUBLIC]:
        with subtests.test(address=address):
            assert is_public(address) is (address in PUBLIC)


def test_an_ambiguous_url_is_refused_without_being_quoted(subtests: pytest.Subtests) -> None:
    for url in REFUSED:
        with subtests.test(url=url):
            with pytest.raises(UnsafeURL) as refused:
                target(url)
            for word in ("cdn", "127", "user", "word", "passwd"):
                assert word not in str(refused.value)


def test_a_plain_url_is_taken_apart_and_its_path_and_query_stay_as_they_were_signed(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, str, str, str]] = [
        ("https://CDN.Example", "https://cdn.example", "/", ""),
        ("https://cdn.example:443/a%2Fb?sig=a%2Bb/c+d==", "https://cdn.example", "/a%2Fb", "sig=a%2Bb/c+d=="),
        ("https://cdn.example/my photo é.jpg#part", "https://cdn.example", "/my%20photo%20%C3%A9.jpg", ""),
        ("http://127.0.0.1:4010/attachments/x", "http://127.0.0.1:4010", "/attachments/x", ""),
        ("https://[2606:4700:0::1111]:8443/", "https://[2606:4700::1111]:8443", "/", ""),
        ("https://my_bucket.s3.example./a;b=1", "https://my_bucket.s3.example.", "/a;b=1", ""),
        ("https://xn--bcher-kva.example/%7Euser/", "https://xn--bcher-kva.example", "/%7Euser/", ""),
        (f"https://cdn.example{ODD_PATH}?{ODD_QUERY}#fragment", "https://cdn.example", ODD_PATH, ODD_QUERY),
    ]
    for url, origin, path, query in rows:
        with subtests.test(url=url, origin=origin):
            found = target(url)
            assert (str(found.origin), found.path, found.query) == (origin, path, query)
            assert "sig" not in repr(found)


def test_the_names_of_this_machine_are_one_origin_and_no_others_are() -> None:
    here = target("http://localhost:4010").origin
    assert here.is_same(target("http://127.0.0.1:4010/x").origin)
    assert here.is_same(target("http://[::1]:4010/x").origin)
    for other in ("https://localhost:4010", "http://localhost:4011", "http://127.0.0.2:4010", "http://cdn.test:4010"):
        assert not here.is_same(target(other).origin)
