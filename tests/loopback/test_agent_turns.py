"""Turns as the server measures them, beside the clock of who speaks: every one, from both sides."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfu.agents import PcmSource, Room
from sfu.agents.backends import MediaBackend, media_factory
from sfu.agents.loading import load_worker
from sfu.agents.media_aiortc import AiortcMedia
from tests.loopback.signals import speech
from tests.loopback.speech_clock import SpeechClock, Voice, starved_s
from tests.loopback.test_agent_sdk import agent_token
from tests.loopback.test_agent_workers import EXAMPLES, serving
from tests.loopback.waiting import until
from tests.support.needs import need_espeak
from tests.support.server import Server, running_server

RATE = 48_000
TONE_HZ = 440.0
WAIT_S = 20.0
TURNS = 2
NEAR_S = 0.03
"""Between both measurements of a turn; what the machine kept a reader waiting comes on top."""
PAUSE_S = 0.7  # after a question, for the server to know that it is over; and of the agent, to think
SPEECH_S = 1.0
REACTION_S = 0.3  # of an agent that is interrupted
FLUSH_S = 0.04
"""From `flush` to the last loud packet at the server."""
PACKET_S = 0.02
LONG_SENTENCE = "Please tell me everything that you know about airports and planes and the sea"
SENTENCES = ("Good morning.", "How are you today?", "What is your name?")


def tone(seconds: float) -> Any:
    at = np.arange(int(RATE * seconds)) / RATE
    return (12_000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)


async def turns(server: Server) -> list[dict[str, Any]]:
    """What the server has measured."""
    found = await server.api("GET", "/events?limit=1000")
    return [event["details"] for event in found["events"] if event["event"] == "agent_turn"]


async def until_turns(server: Server, kind: str, count: int, clock: SpeechClock) -> float:
    """The newest of so many."""
    deadline = time.monotonic() + WAIT_S
    while len(found := [one for one in await turns(server) if one["kind"] == kind]) < count:
        if time.monotonic() > deadline:
            # In whole: what was measured is on the wall's clock, what is known on the other.
            pytest.fail(f"no {kind}: {await turns(server)} {time.time() - time.monotonic():.3f} {clock}")
        await asyncio.sleep(0.05)
    assert len(found) == count, found
    return float(found[-1]["seconds"])


async def until_ended(voice: Voice, count: int) -> None:
    """Silence after so many times of speech."""
    await until(lambda: len(voice.ends) >= count, WAIT_S)


def worker_starved_s(server: Server) -> float:
    """How long the server's packet worker had no core."""
    waited = 0.0
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        if (task / "comm").read_text().startswith("airside-"):
            waited += int((task / "schedstat").read_text().split()[1]) / 1e9
    return waited


@pytest.mark.parametrize("backend", ["aiortc", "plane"])
async def test_answers_and_interruptions_as_the_speaker_knows_them(
    tmp_path: Path, backend: MediaBackend
) -> None:
    async with (
        running_server(tmp_path) as server,
        Room.connect(server.ws_url, server.token("talk", "alice"), media=AiortcMedia) as alice,
        Room.connect(server.ws_url, agent_token("talk"), media=media_factory(backend)) as helper,
    ):
        question, answer = PcmSource(buffer_s=5.0), PcmSource(buffer_s=5.0)
        await alice.publish_audio(question)
        await helper.publish_audio(answer)
        await asyncio.gather(alice.connected(), helper.connected())
        clock = SpeechClock(alice)
        asked, told = clock.mine, clock.theirs
        for turn in range(1, TURNS + 1):
            machine_s = worker_starved_s(server)
            await question.write(tone(SPEECH_S))
            await until_ended(asked, turn)
            await answer.write(tone(SPEECH_S))
            await until_ended(told, turn)
            measured = await until_turns(server, "answer", turn, clock)
            known = told.began[-1].at - asked.ends[-1].at
            allowed = NEAR_S + told.began[-1].starved_s + asked.ends[-1].starved_s
            allowed += worker_starved_s(server) - machine_s
            assert abs(measured - known) < allowed, (turn, measured, known, allowed)
        assert [one["kind"] for one in await turns(server)].count("first_audio") == 1
        shown = alice.participants["helper"].attributes["airside.turn_s"]
        assert float(shown) == pytest.approx(measured, abs=0.001), "everybody sees it"

        for turn in range(1, TURNS + 1):
            await answer.write(tone(4.0))
            await until(lambda count=TURNS + turn: len(told.began) >= count)  # type: ignore[misc]
            await asyncio.sleep(PAUSE_S)
            await question.write(tone(SPEECH_S))
            await until(lambda count=TURNS + turn: len(asked.began) >= count)  # type: ignore[misc]
            await asyncio.sleep(REACTION_S)
            machine_s = worker_starved_s(server) + starved_s()
            flushed = time.monotonic()
            answer.flush()
            measured = await until_turns(server, "interruption", turn, clock)
            silent = asked.began[-1].at + measured - flushed
            allowed = asked.began[-1].starved_s + worker_starved_s(server) + starved_s() - machine_s
            # Later than `flush` by a packet at most that was on its way; earlier by the time since the last.
            assert -PACKET_S - NEAR_S - allowed < silent < FLUSH_S + allowed, (turn, silent, allowed)
            await until_ended(asked, TURNS + turn)
            await until_ended(told, TURNS + turn)
        text = await server.metrics()
        assert f'airside_agent_turn_seconds_count{{kind="interruption"}} {TURNS}.0' in text


class Judge:
    """Compares every turn that the server measured with what a speaker knows of it.

    A busy machine may cut a sentence in two; then both sides know of two.
    """

    def __init__(self, server: Server, clock: SpeechClock) -> None:
        self.judged = {"answer": 0, "interruption": 0}
        self._server = server
        self._clock = clock
        self._machine_s = worker_starved_s(server)

    async def judge(self, kind: str, at_least: int) -> bool:
        """Look at what is new, once the agent is silent; whether there were as many yet."""
        theirs = self._clock.theirs
        await until(lambda: len(theirs.ends) == len(theirs.began), WAIT_S)
        found = [one for one in await turns(self._server) if one["kind"] == kind]
        known = self._clock.answers() if kind == "answer" else self._clock.interruptions()
        machine_s = worker_starved_s(self._server)
        for one in found[self.judged[kind] :]:
            at = one["at"] - time.time() + time.monotonic()
            near = [each for each in known if abs(each.at - at) < PAUSE_S]
            best = min(near, key=lambda each: abs(each.seconds - one["seconds"]), default=None)
            assert best is not None, f"{one} at {at}, and of that nobody knows: {self._clock}"
            allowed = NEAR_S + best.starved_s + machine_s - self._machine_s
            assert abs(one["seconds"] - best.seconds) < allowed, f"{one} {best} {allowed}: {self._clock}"
        self.judged[kind], self._machine_s = len(found), machine_s
        return len(found) >= at_least


async def test_a_conversation_with_a_parrot(tmp_path: Path) -> None:
    """espeak-ng asks; the agent is the example. Its answers, and its silence when it is interrupted."""
    need_espeak()
    worker = load_worker(EXAMPLES / "parrot.py")
    async with (
        running_server(tmp_path) as server,
        serving(server, worker),
        Room.connect(server.ws_url, server.token("parrot", "alice"), media=AiortcMedia) as alice,
    ):
        voice = PcmSource(buffer_s=10.0)
        await alice.publish_audio(voice)
        await until(lambda: any(track.subscribed for track in alice.tracks.values()), WAIT_S)
        await alice.connected()
        clock = SpeechClock(alice)
        judge = Judge(server, clock)
        for turn, sentence in enumerate(SENTENCES, 1):
            await voice.write(speech(sentence))
            async with asyncio.timeout(WAIT_S):
                while not await judge.judge("answer", turn):
                    await asyncio.sleep(0.1)
        assert all(one.seconds > 0.4 for one in clock.answers()), "it waits for the end of a sentence"

        # It answers something long, and is interrupted; again, if a pause within kept that from being one.
        async with asyncio.timeout(3 * WAIT_S):
            while not await judge.judge("interruption", 1):
                before = len(clock.theirs.began)
                await voice.write(speech(LONG_SENTENCE))
                await until(lambda count=before: len(clock.theirs.began) > count, WAIT_S)  # type: ignore[misc]
                await asyncio.sleep(REACTION_S)
                await voice.write(speech("Stop it now please"))
                await voice.drained()
        assert min(one.seconds for one in clock.interruptions()) < 1.5, "it falls silent"
        await judge.judge("answer", len(SENTENCES))
        who = next(one for one in alice.participants.values() if one.kind == "agent")
        await until(lambda: who.attributes.get("lk.agent.state") == "speaking", WAIT_S)


@pytest.mark.parametrize("level", [0, 90])
def test_the_clock_itself(level: int) -> None:
    """Quiet is no speech, loud is; so that the comparison above compares something."""
    voice = Voice()
    for _ in range(3):
        voice.packet(level)
    assert len(voice.began) == (1 if level == 0 else 0)
