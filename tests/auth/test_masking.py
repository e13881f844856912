"""Masking of a credential that an answer repeats."""

from __future__ import annotations

from mitm_ai_proxy.auth.masking import MaskedStream, mask_of
from tests.tables import table

KEY = b"sk-0123/456+789="
STARS = b"*" * len(KEY)


@table(
    ("data", "masked"),
    [
        (KEY, STARS),
        (b'{"message":"no such key: ' + KEY + b'"}', b'{"message":"no such key: ' + STARS + b'"}'),
        (KEY + KEY + b"-" + KEY, STARS + STARS + b"-" + STARS),
        (KEY[:-1], KEY[:-1]),
        (KEY.upper(), KEY.upper()),
        (b"sk-0123%2F456%2B789%3D.", b"*" * 22 + b"."),
        (rb"sk-0123\/456+789=.", b"*" * 17 + b"."),
        (b"Bearer [sent to the provider]", b"Bearer [sent to the provider]"),
        (b"", b""),
    ],
)
def test_a_repeated_credential_becomes_as_many_stars(data: bytes, masked: bytes) -> None:
    mask = mask_of((b"Bearer " + KEY,))
    assert mask
    assert mask.mask(data) == masked
    assert mask.text(data.decode()) == masked.decode()


@table("cut", range(1, 60))
def test_a_stream_is_masked_wherever_it_is_cut(cut: int) -> None:
    data = b"sk-" + KEY[:9] + KEY + b"sk-0" + KEY + KEY[:-2] + b"s"
    mask = mask_of((KEY,))
    assert mask
    stream = MaskedStream(mask)

    pieces = [stream.feed(data[start : start + cut]) for start in range(0, len(data), cut)]

    assert b"".join([*pieces, stream.end()]) == mask.mask(data) == data.replace(KEY, STARS)


def test_a_stream_keeps_nothing_back_that_cannot_begin_the_credential() -> None:
    mask = mask_of((KEY,))
    assert mask
    stream = MaskedStream(mask)
    assert [stream.feed(piece) for piece in (b"data: 1\n\n", b"data: s", b"k\n\n")] == [
        b"data: 1\n\n",
        b"data: ",
        b"sk\n\n",
    ]


def test_the_encoded_value_of_a_query_is_found_as_the_text_that_it_stands_for() -> None:
    mask = mask_of((b"a%20longer%20key",))
    assert mask
    assert mask.mask(b"key=a%20longer%20key, a longer key") == b"key=****************, ************"


def test_header_fields_are_masked_and_others_are_not_copied() -> None:
    mask = mask_of((KEY,))
    assert mask
    clean = ((b"a", b"b"),)
    assert mask.fields(clean) is clean
    assert mask.fields(((b"a", b"b"), (b"WWW-Authenticate", b"Bearer " + KEY))) == (
        (b"a", b"b"),
        (b"WWW-Authenticate", b"Bearer " + STARS),
    )


@table("credential", [(), (b"",), (b"Bearer ",), (b"Bearer short",), (b"a", b"b")])
def test_what_may_be_any_word_is_not_masked(credential: tuple[bytes, ...]) -> None:
    assert mask_of(credential) is None


@table(
    ("credential", "data", "masked"),
    [
        (b"12345678", b"a 12345678", b"a ********"),
        (b"1234567", b"a 1234567", None),
        (b"Bearer 1234567", b"a 1234567", None),
        (b"Token a/b/c/d/", rb"a\/b\/c\/d\/", b"*" * 12),
        (b"a%2Fb%2Fc", b"a%2Fb%2Fc", b"*" * 9),
    ],
)
def test_a_credential_of_eight_bytes_is_masked(credential: bytes, data: bytes, masked: bytes | None) -> None:
    mask = mask_of((credential,))
    assert (mask and mask.mask(data)) == masked


def test_what_holds_no_credential_is_the_same_object() -> None:
    mask = mask_of((KEY,))
    assert mask
    data, fields = bytes(bytearray(b"nothing of it")), ((b"a", b"nothing of it"),)
    assert mask.mask(data) is data
    assert mask.fields(fields) is fields


def test_of_two_credentials_the_longer_one_is_masked_first() -> None:
    mask = mask_of((b"12345678", b"12345678-90"))
    assert mask
    assert mask.mask(b"12345678-90 12345678") == b"*********** ********"
    stream = MaskedStream(mask)
    assert [stream.feed(b"x1234567"), stream.feed(b"1234567"), stream.end()] == [b"x", b"1234567", b"1234567"]
