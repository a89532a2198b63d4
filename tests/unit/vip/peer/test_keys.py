"""Keys from the files of a Secret."""

import hashlib
import hmac
from base64 import b64encode

import pytest

from outgate.vip.peer.errors import KeysBad
from outgate.vip.peer.keys import Key, parse

RAW = bytes(range(200, 232))


def test_a_proof_is_the_first_half_of_the_hmac() -> None:
    for secret in (RAW, RAW * 4):
        expected = hmac.digest(secret, b"message", hashlib.sha256)[:16]
        assert Key("k", secret).prove(b"message") == expected


def test_the_proof_of_rfc_4231_case_2_in_its_first_16_bytes() -> None:
    proof = Key("k", b"Jefe").prove(b"what do ya want for nothing?")
    assert proof.hex() == "5bdcc146bf60754e6a042426089575c7"


def test_raw_bytes_and_their_base64_are_the_same_key() -> None:
    keys = parse({"raw": RAW, "text": b64encode(RAW) + b"\n", "active": b"raw\n"})
    raw, text = (key.prove(b"m") for key in keys.by_label.values())
    assert raw == text
    assert keys.names == ("raw", "text")


def test_what_is_sent_with_is_named() -> None:
    keys = parse({"a": RAW, "b": RAW + b"b", "active": b"b a"})
    assert [key.name for key in keys.active] == ["b", "a"]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no file active"),
        ({"a": RAW}, "no file active"),
        ({"a": RAW, "active": b""}, "has 0 ids"),
        ({"a": RAW, "active": b"a a"}, "has 2 ids"),
        ({"a": RAW, "b": RAW, "c": RAW, "active": b"a b c"}, "has 3 ids"),
        ({"a": RAW, "active": b"b"}, "no key 'b'; the keys are: a"),
        ({"active": b"b"}, "the keys are: none"),
        ({"a": RAW, "active": b"\xff"}, "not text"),
        ({"a": b"short", "active": b"a"}, "a: a key has at least 16 bytes"),
        ({"a": b64encode(b"short"), "active": b"a"}, "a: a key has at least 16 bytes"),
        ({"a": bytes(5000), "active": b"a"}, "a: 5000 bytes"),
        ({"a" * 17: RAW, "active": b"a"}, "1 to 16 letters"),
        ({"ä": RAW, "active": b"a"}, "1 to 16 letters"),
    ],
)
def test_what_is_wrong_is_said(files: dict[str, bytes], why: str) -> None:
    with pytest.raises(KeysBad, match=why):
        parse(files)
