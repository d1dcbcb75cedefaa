"""Logs: nothing secret in a line, one line per record."""

import json
import logging

import pytest

from sfu.telemetry import logs

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _restored() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("as_json", [False, True])
def test_tokens_never_reach_a_line(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", as_json=as_json)
    logging.getLogger("signaling.app").warning("bad token %s in %s", TOKEN, {"t": TOKEN})
    logging.getLogger("uvicorn.error").info(
        '%s - "WebSocket %s" [accepted]', "x", f"/signal?access_token={TOKEN}"
    )
    output = capsys.readouterr().err
    assert len(output.splitlines()) == 2
    assert "eyJ" not in output
    assert "access_token" not in output
    assert "/signal" in output


def test_json_lines_hold_level_logger_and_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=True)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("sfu.x").exception("failed at %d", 3)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("error", "sfu.x", "failed at 3")
    assert "ValueError: broken" in line["error"]


def test_uvicorn_is_quiet_at_info(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=False)
    logging.getLogger("uvicorn.error").info("connection open")
    logging.getLogger("sfu").debug("detail")
    logging.getLogger("sfu").info("news")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == ["news"]
