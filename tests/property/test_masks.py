"""No secret leaks, in any encoding, wherever it is cut, however hostile it is."""

import base64
import html
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from daemon.masks import LEAST, MASK, PIECE, Masks

HOSTILE = st.text(alphabet="aA1*.+?^$()[]{}|\\/%&<>\"' #;=-_~ü文😀u0x5c", min_size=LEAST, max_size=40)
WORDS = st.text(alphabet="QRS ,:", max_size=20)


def of(*secrets: str) -> Masks:
    masks = Masks()
    masks.add(secrets)
    return masks


def lower_hex(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), text)


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda secret: quote(secret, safe=""),
    "percent, lower": lambda secret: lower_hex(quote(secret, safe="")),
    "percent in a path": quote,
    "percent, wholly": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "percent, twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "form": quote_plus,
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON, not ASCII": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON with slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "repr": lambda secret: repr(secret)[1:-1],
    "ascii": lambda secret: ascii(secret)[1:-1],
    "repr of JSON": lambda secret: repr(json.dumps(secret)),
    "HTML": html.escape,
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
}


@pytest.mark.parametrize("form", FORMS)
@given(secret=HOSTILE, before=WORDS, after=WORDS)
@example(secret="\\\\\\\\\\\\", before="", after="")
@example(secret="******", before="", after="")
@example(secret="%41%42%43", before="", after="")
@example(secret="\\u0041bcdef", before="", after="")
@example(secret="&amp;&lt;", before="", after="")
def test_each_form_is_masked_wherever_it_stands(form: str, secret: str, before: str, after: str) -> None:
    written = FORMS[form](secret)
    shown = of(secret).apply(f"{before}{written}{after}")
    assert written not in shown or set(secret) == {"*"}
    assert secret not in shown
    assert MASK in shown


@given(secret=HOSTILE, before=st.binary(max_size=4), after=st.binary(max_size=4), safe=st.booleans())
def test_base64_is_masked_in_each_alignment(secret: str, before: bytes, after: bytes, safe: bool) -> None:
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    raw = secret.encode()
    written = encode(before + raw + after).decode()
    for text in (written, written.rstrip("=")):
        shown = of(secret).apply(f'"Basic {text}"')
        assert MASK in shown
        assert len(shown) < len(f'"Basic {text}"') - len(raw) + 2 * len(before + after) + 8


PACKINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 in lines in JSON": lambda text: json.dumps(base64.encodebytes(text.encode()).decode())[1:-1],
    "hex": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("packing", PACKINGS)
@settings(max_examples=30)  # each with all forms, some 80 pairs
@given(secret=HOSTILE, before=WORDS, after=st.sampled_from(["", " and more", "-" * 200]))
def test_each_form_is_masked_in_a_packed_text(packing: str, secret: str, before: str, after: str) -> None:
    pack, masks = PACKINGS[packing], of(secret)
    for form, write in FORMS.items():
        inside = f'{{"{before}": "{write(secret)}{after}"}}'
        for written in (pack(inside), pack(pack(inside))):
            shown = masks.apply(f"the header was {written.strip()}.")
            assert MASK in shown, form
            assert len(shown) < len("the header was .") + 10, form


def test_looking_into_packed_texts_is_soon_done() -> None:
    masks, began = of("s3cr3t-v4lue-of-a-key"), time.process_time()
    for text in ("A" * 200_000, "a1" * 100_000, ("b" * 76 + "\n") * 2_000, "QUFB" * 50_000, "26f06524-" * 20_000):
        masks.apply(text)
    assert time.process_time() - began < 4


@given(secrets=st.lists(HOSTILE, min_size=2, max_size=6), order=st.randoms(use_true_random=False))
def test_secrets_that_overlap_are_all_masked(secrets: list[str], order: object) -> None:
    first, second, *_ = secrets
    lengths = range(1, min(len(first), len(second)))
    secrets += [first + second[shared:] for shared in lengths if first.endswith(second[:shared])]
    text = "".join(secrets) + " " + first + second[1:]
    shown = of(*secrets).apply(text)
    for secret in secrets:
        assert secret not in shown


@given(secret=HOSTILE, more=st.data(), before=WORDS)
def test_a_piece_at_a_cut_is_masked(secret: str, more: st.DataObject, before: str) -> None:
    assume(len(secret) >= PIECE and "://" not in secret)
    left = more.draw(st.integers(PIECE, len(secret)))
    head, tail = secret[:left], secret[-left:]
    for mark in ("", "…", "...", "'", '"', ")", '…"'):
        assert head not in of(secret).apply(f"{before} {head}{mark}")
        assert tail not in of(secret).apply(f"{mark[:1] if mark else ''}{tail} {before}")


def test_the_public_part_of_an_address_is_told() -> None:
    masks = of("https://hooks.example.com/services/T000/B000/abcdefghijklmnop", "tgram://123456789:AAAA-bbbb/chat")
    assert masks.apply("no answer from https://hooks.example.com") == "no answer from https://hooks.example.com"
    assert masks.apply("https://hooks.example.com/services/T0…") == f"{MASK}…"
    assert masks.apply("tgram://123456789:A…") == f"{MASK}…"
    assert masks.apply("the scheme is tgram://") == "the scheme is tgram://"


@pytest.mark.parametrize("secret", ["a", "12345", "ok"])
def test_short_texts_are_not_masked(secret: str) -> None:
    assert of(secret).apply(f"it is {secret} here") == f"it is {secret} here"


def test_nothing_else_is_masked() -> None:
    masks = of("s3cr3t-v4lue", "p@ss/w+rd 100%")
    for text in (
        "plain words, 100 % of them",
        "https://example.com/a%20b/c?x",
        'C:\\new\\folder "quoted" &amp; so on',
        "s3cr3t",
        "v4lue",
    ):
        assert masks.apply(text) == text.replace("?x", "?***")


def test_a_long_token_is_masked_escaped_too() -> None:
    token = "MII" + "A/b+" * 2000 + "=="
    for form in (
        token,
        quote(token, safe=""),
        json.dumps(token).replace("/", "\\/"),
        base64.b64encode(token.encode()),
    ):
        assert len(of(token).apply(f"X-Auth-Token: {form!s} end")) < 60


def test_secrets_may_come_one_after_the_other() -> None:
    masks = of("first-secret")
    masks.add(["second-secret"])
    masks.add(["first-secret"])
    assert masks.apply("first-secret second-secret") == f"{MASK} {MASK}"
