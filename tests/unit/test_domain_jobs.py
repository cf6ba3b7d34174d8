"""Job ids and the lifetime of links."""

from datetime import UTC, datetime, timedelta

import pytest

from daemon.domain.jobs import DAY, link_expiry, parse_job_id

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["a", "26f06524-4f75-4b3a-a853-b649a21aaf66", "A_b-9", "x" * 128])
def test_an_id_of_the_service_is_taken(text: str) -> None:
    assert parse_job_id(text) == text


@pytest.mark.parametrize("text", ["", "x" * 129, "../etc", "a/b", "a b", "a\n", "ä", "٣", "a?b", "%2e", "a.b"])
def test_anything_that_could_be_a_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a job id"):
        parse_job_id(text)


def test_an_absurd_id_is_not_repeated_in_full() -> None:
    with pytest.raises(ValueError, match=r"100000 characters") as caught:
        parse_job_id("/" * 100_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("url", "expiry"),
    [
        (
            "https://h/c?AccessKeyId=A&Expires=1671241457&Signature=x",
            datetime(2022, 12, 17, 1, 44, 17, tzinfo=UTC),
        ),
        ("https://{endpoint}/c.png?expires=1671241457", datetime(2022, 12, 17, 1, 44, 17, tzinfo=UTC)),
        ("https://h/c?X-Amz-Date=20260301T000000Z&X-Amz-Expires=3600", datetime(2026, 3, 1, 1, tzinfo=UTC)),
        ("https://h/c?X-Obs-Date=20260301T000000Z&X-Obs-Expires=60", datetime(2026, 3, 1, 0, 1, tzinfo=UTC)),
    ],
)
def test_a_signed_link_says_when_it_ends(url: str, expiry: datetime) -> None:
    assert link_expiry(url, fetched_at=AT) == expiry


@pytest.mark.parametrize(
    "url",
    [
        "https://h/c",
        "https://h/c?Expires=soon",
        "https://h/c?Expires=-5",
        "https://h/c?Expires=99999999999999999999",
        "https://h/c?Expires=" + "9" * 5000,
        "https://h/c?X-Amz-Date=20260301T000000Z&X-Amz-Expires=9999999999999999",
        "https://h/c?X-Amz-Date=yesterday&X-Amz-Expires=60",
        "https://[broken/c?Expires=1",
        "https://h/c?Expires=٣",
    ],
)
def test_any_other_link_is_taken_to_live_a_day(url: str) -> None:
    assert link_expiry(url, fetched_at=AT) == AT + DAY
    assert link_expiry(url, fetched_at=AT, unsigned_life=None) is None
    assert link_expiry(url, fetched_at=AT, unsigned_life=timedelta(hours=1)) == AT + timedelta(hours=1)
