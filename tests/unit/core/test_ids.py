import re

from sfu.core.ids import SID_ALPHABET, new_participant_sid, new_room_sid, new_session_id, new_track_sid


def test_form_that_clients_check() -> None:
    for prefix, make in (("RM_", new_room_sid), ("PA_", new_participant_sid), ("TR_", new_track_sid)):
        assert re.fullmatch(rf"{prefix}[{SID_ALPHABET}]{{12}}", make())


def test_session_id_is_longer() -> None:
    assert re.fullmatch(rf"SE_[{SID_ALPHABET}]{{24}}", new_session_id())


def test_alphabet_has_57_characters_and_none_twice() -> None:
    assert len(set(SID_ALPHABET)) == len(SID_ALPHABET) == 57


def test_no_two_are_alike_and_every_character_comes() -> None:
    made = {new_track_sid() for _ in range(2000)}
    assert len(made) == 2000
    assert set("".join(sid.removeprefix("TR_") for sid in made)) == set(SID_ALPHABET)
