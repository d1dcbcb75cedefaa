from pathlib import Path

import pytest

from sfu.settings.load import load, paths
from sfu.settings.models import RoomPreset, Settings
from sfu.settings.sources import SettingsError


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "sfu.yaml"
    file.write_text(text)
    return file


def problems(excinfo: pytest.ExceptionInfo[SettingsError]) -> str:
    return excinfo.value.text


def test_nothing_given_is_all_defaults() -> None:
    assert load() == Settings()


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    file = write(tmp_path, "rtc: {port: 1, workers: 2}\nhttp:\n  port: 3\n")
    settings = load(file, {"AIRSIDE_RTC__PORT": "10", "AIRSIDE_HTTP__PORT": "30"}, {"rtc.port": "100"})
    assert (settings.rtc.port, settings.rtc.workers, settings.http.port) == (100, 2, 30)


def test_lists_keys_and_truth_values_from_text() -> None:
    environment = {
        "AIRSIDE_RTC__ANNOUNCE": "10.0.0.1, fe80::1",
        "AIRSIDE_KEYS": "devkey: secret, other: a:b",
        "AIRSIDE_KEYS__Third": "0123",
        "AIRSIDE_RTC__PORT_PER_WORKER": "true",
        "AIRSIDE_HTTP__METRICS_PORT": "",
    }
    settings = load(environment=environment)
    assert settings.rtc.announce == ("10.0.0.1", "fe80::1")
    assert settings.keys == {"devkey": "secret", "other": "a:b", "Third": "0123"}
    assert settings.rtc.port_per_worker
    assert settings.http.metrics_port is None


def test_keys_of_file_and_environment_are_joined_one_by_one(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "keys: {a: one, b: two}"), {"AIRSIDE_KEYS__b": "three"})
    assert settings.keys == {"a": "one", "b": "three"}


def test_empty_file_and_empty_section(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")) == Settings()
    assert load(write(tmp_path, "rtc:\n  # port: 1\n")) == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtc: {prot: 1}", "rtc.prot: no such setting; did you mean rtc.port? (from sfu.yaml line 1)"),
        (
            "rtc:\n  port: 70000",
            "rtc.port: input should be less than or equal to 65535 (from sfu.yaml line 2)",
        ),
        ("rtc: 5", "rtc: is a section, not a setting (from sfu.yaml line 1)"),
        ("rtc: {port: 1, port: 2}", "rtc.port: given twice (from sfu.yaml line 1)"),
        ("rtc: {port: {deep: 1}}", "rtc.port.deep: no such setting; did you mean rtc.port?"),
        ("rtc:\n  announce: [example.org]", "rtc.announce.0: must be an IP address"),
        ("rtc: {bind: []}", "rtc.bind: "),
        ("keys: {a: ''}", "keys.a: string should have at least 1 character"),
        ("keys: {a: 5}", "keys.a: input should be a valid string"),
        ("http: {tls_cert: x.pem}", "http: tls_cert and tls_key are needed together"),
        ("[1, 2]", "sfu.yaml: the top level must be a mapping"),
        ("rtc: {port: 1", "sfu.yaml: not YAML"),
        ("rtc: {port: !!python/object:os.system 1}", "not YAML"),
        ("nonsense: 1", "nonsense: no such setting (from sfu.yaml line 1)"),
    ],
)
def test_file_problem_names_key_and_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as excinfo:
        load(write(tmp_path, text))
    assert expected in problems(excinfo)


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as excinfo:
        load(write(tmp_path, "rtc: {port: -1}"), {"AIRSIDE_HTTP__PROT": "1"}, {"log.level": "loud"})
    assert len(excinfo.value.problems) == 3
    assert "(from AIRSIDE_HTTP__PROT)" in problems(excinfo)
    assert "(from --log.level)" in problems(excinfo)


def test_single_underscore_is_pointed_out() -> None:
    with pytest.raises(SettingsError, match="AIRSIDE_RTC__PORT"):
        load(environment={"AIRSIDE_RTC_PORT": "1"})


def test_foreign_variables_are_left_alone() -> None:
    environment = {"AIRSIDE_PORT": "tcp://10.0.0.1:80", "AIRSIDE_SERVICE_HOST": "10.0.0.1", "HOME": "/"}
    assert load(environment=environment) == Settings()


def test_missing_file() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load(Path("nowhere.yaml"))


def test_a_secret_is_never_in_an_error() -> None:
    with pytest.raises(SettingsError) as excinfo:
        load(environment={"AIRSIDE_KEYS": "hunter2"})
    assert "hunter2" not in problems(excinfo)


def test_room_presets(tmp_path: Path) -> None:
    file = tmp_path / "sfu.yaml"
    file.write_text("room:\n  presets:\n    small:\n      max_participants: 2\n      sync_streams: true\n")
    small = RoomPreset(max_participants=2, sync_streams=True)
    assert load(file).room.presets == {"small": small}
    text = "{small: {max_participants: 2, sync_streams: true}}"
    assert load(environment={"AIRSIDE_ROOM__PRESETS": text}).room.presets == {"small": small}
    assert (
        load(flags={"room.presets.small.max_participants": "2"}).room.presets["small"].max_participants == 2
    )
    for wrong in ("[1]", "{small: {size: 2}}", "{small: 3}", "{{"):
        with pytest.raises(SettingsError):
            load(environment={"AIRSIDE_ROOM__PRESETS": wrong})


def test_every_setting_can_be_given_by_environment() -> None:
    for path in paths():
        name = "AIRSIDE_" + "__".join(path).upper()
        value: object = Settings()
        for part in path:
            value = getattr(value, part)
        text = ",".join(value) if isinstance(value, tuple) else "" if value in (None, {}) else str(value)
        assert load(environment={name: text}) == Settings(), name
