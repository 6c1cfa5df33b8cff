"""What is hidden stays hidden, in errors and in the log."""

from __future__ import annotations

import json
import logging

import pytest

from flywheel import log
from flywheel.config import Settings, parse, secret
from flywheel.errors import ChatRejected, ConfigError, FlywheelError
from flywheel.hidden import hide, scrub


def test_an_error_masks_every_form_of_a_known_secret() -> None:
    key = 'a"b/c d-hidden-1'
    hide(key)
    error = ChatRejected("http://judge.test", "m", f"bad key {key}, quoted a%22b%2Fc%20d-hidden-1", 401)
    assert str(error).endswith("bad key ******, quoted ******")
    assert "hidden-1" not in repr(error)
    assert "hidden-1" not in scrub(json.dumps({"key": key}))


def test_a_secret_is_hidden_from_the_moment_it_is_read() -> None:
    assert secret("KEY", where="here", environment={"KEY": "read-hidden-2"}) == "read-hidden-2"
    assert str(FlywheelError("the server said read-hidden-2")) == "the server said ******"


def test_a_longer_secret_goes_first_and_short_words_stay_words() -> None:
    hide("hidden-3")
    hide("hidden-3-and-more")
    hide("cat")
    hide(None)
    assert scrub("hidden-3-and-more, hidden-3, cat") == "******, ******, cat"


@pytest.mark.parametrize(
    "text",
    [
        "{'authorization': 'Basic dXNlcjpwYXNzd29yZA=='}",
        'Authorization: Bearer abcdef.123456"',
        '{"Authorization":"ApiKey abcdef123456"}',
    ],
)
def test_credentials_of_a_header_are_masked_even_when_nobody_said_they_are_secret(text: str) -> None:
    assert "******" in scrub(text)
    assert "dXNlc" not in scrub(text)
    assert "abcdef" not in scrub(text)


def test_other_words_are_left_alone() -> None:
    text = "basic training of the bearer tokens was authorized"
    assert scrub(text) == text


@pytest.mark.parametrize("formatter", [log._Text(), log._Json()])
def test_a_line_of_the_log_masks_fields_and_tracebacks(formatter: logging.Formatter) -> None:
    hide("hidden-4-in-a-log")
    error = ValueError("refused hidden-4-in-a-log")
    record = logging.LogRecord("flywheel", 40, "", 1, "it failed", None, (ValueError, error, None))
    record.detail = "sent hidden-4-in-a-log"
    line = formatter.format(record)
    assert "hidden-4" not in line
    assert line.count("******") >= 2


@pytest.mark.parametrize(
    "block",
    [
        {"nmp_config": {"nemo_base_url": "http://user:hidden-5@nemo.test"}},
        {"llm_judge_config": {"model_name": "j", "url": "https://user:hidden-5@judge.test/v1"}},
        {"records": {"type": "elasticsearch", "url": "https://user:hidden-5@es.test"}},
        {"runs": {"type": "mongo", "url": "mongodb://user:hidden-5@db.test"}},
        {"wakeups": {"type": "celery", "broker_url": "redis://:hidden-5@redis.test/0"}},
        {"telemetry": {"otlp_endpoint": "http://user:hidden-5@otlp.test"}},
    ],
)
def test_an_address_with_a_password_in_it_is_refused_and_not_repeated(block: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="must not hold a user or a password") as caught:
        parse(Settings, block, where="config.yaml")
    assert "hidden-5" not in str(caught.value)
