"""The command line: flags that are settings, tokens, and errors that name the key."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sfu import __version__
from sfu.cli import main
from sfu.cli.flags import parse_flags
from sfu.settings.sources import SettingsError
from signaling.auth import Authenticator

RUNNER = CliRunner()


def test_flags_are_read_in_every_spelling() -> None:
    words = [
        "--rtc.port",
        "1",
        "--http.port=2",
        "--rtc.port_per_worker",
        "--tls-cert",
        "a.pem",
        "--log.level=",
    ]
    assert parse_flags(words) == {
        "rtc.port": "1",
        "http.port": "2",
        "rtc.port_per_worker": True,
        "http.tls_cert": "a.pem",
        "log.level": "",
    }


@pytest.mark.parametrize("words", [["7882"], ["-p", "1"], ["--rtc.port", "1", "--rtc.port", "2"], ["--"]])
def test_what_is_no_flag_is_refused(words: list[str]) -> None:
    with pytest.raises(SettingsError):
        parse_flags(words)


def test_version_is_printed() -> None:
    assert RUNNER.invoke(main.app, ["version"]).output.strip() == __version__


def test_a_token_joins_with_the_grants_it_was_given() -> None:
    words = ["token", "create", "--room", "r", "--identity", "ada", "--no-publish", "--attribute", "a=b"]
    result = RUNNER.invoke(main.app, [*words, "--valid-for", "10m"])
    assert result.exit_code == 0, result.output
    token = Authenticator({"devkey": "secret"}).verify(result.output.strip(), time.time())
    assert (token.identity, token.grant.room, token.attributes) == ("ada", "r", {"a": "b"})
    assert not token.grant.permissions().can_publish
    assert not token.grant.room_admin
    assert 500 < token.expires_at - time.time() <= 600


def test_a_token_is_signed_by_the_first_key_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sfu.yaml"
    file.write_text("keys: {mine: " + "x" * 40 + "}\n")
    result = RUNNER.invoke(main.app, ["token", "create", "--list", "--config", str(file)])
    token = Authenticator({"mine": "x" * 40}).verify(result.output.strip(), time.time())
    assert token.grant.room_list
    assert not token.grant.room_join


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["token", "create"], "--identity"),
        (["token", "create", "--identity", "a"], "--room"),
        (["token", "create", "--list", "--valid-for", "soon"], "duration"),
        (["token", "create", "--list", "--attribute", "x"], "key=value"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(words: list[str], text: str) -> None:
    result = RUNNER.invoke(main.app, words)
    assert result.exit_code == 2
    assert text in result.output


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["serve", "--check"], "keys: at least one API key is needed"),
        (["dev", "--check", "--rtc.prot", "1"], "did you mean rtc.port"),
        (["dev", "--check", "--rtc.port", "99999"], "rtc.port: "),
        (["dev", "--check", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["token", "create", "--list", "--api-key", "other"], "no secret for other"),
        (["room", "list", "--url", "http://127.0.0.1:1"], "no answer"),
    ],
)
def test_errors_are_one_line_that_names_the_key(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["airside", *words])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error


def test_check_reads_and_ends() -> None:
    result = RUNNER.invoke(main.app, ["dev", "--check", "--rtc.port", "0"])
    assert (result.exit_code, result.output) == (0, "the settings are good\n")
