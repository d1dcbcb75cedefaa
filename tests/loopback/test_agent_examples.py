"""Every example does what its first lines say, and `airside agent` runs it. The parrot: test_agent_turns."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import wave
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sfu.agents import (
    DataReceived,
    PcmSource,
    RemoteTrack,
    Room,
    TrackSubscribed,
    TranscriptionReceived,
    VideoSource,
)
from sfu.agents.loading import load_worker
from tests.loopback.signals import correlation, picture, speech
from tests.loopback.test_agent_workers import EXAMPLES, serving
from tests.loopback.waiting import until
from tests.support.needs import need_espeak
from tests.support.server import API_KEY, API_SECRET, ROOT, Server, free_port, running_server

WAIT_S = 30.0
CODED_TWICE = 0.8  # by Opus there and back; once gives 0.96
CODED_ONCE = 0.9
RATE = 48_000
LOUD = 2000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("server")
    async with running_server(folder) as running:
        yield running
    log = running.log.read_text()
    assert "Traceback" not in log, log


@asynccontextmanager
async def saying(room: Room, said: np.ndarray) -> AsyncIterator[None]:
    """Say the same again and again: on a busy machine a piece may be lost."""
    voice = PcmSource(buffer_s=10.0)
    await room.publish_audio(voice)

    async def speak() -> None:
        while True:
            await voice.write(said)

    task = asyncio.create_task(speak())
    try:
        yield
    finally:
        task.cancel()


async def agents_track(room: Room) -> RemoteTrack:
    """The agent's voice, now or soon."""
    for track in room.tracks.values():
        if track.subscribed and track.participant.kind == "agent":
            return track
    found = await room.wait_for(
        TrackSubscribed, lambda event: event.track.participant.kind == "agent", timeout_s=WAIT_S
    )
    return found.track


async def until_loud(track: RemoteTrack) -> None:
    async with asyncio.timeout(WAIT_S):
        async for frame in track.audio():
            if np.abs(frame.data).max(initial=0) > LOUD:
                return


async def test_an_echo_is_heard(server: Server) -> None:
    worker, said = load_worker(EXAMPLES / "echo.py"), speech()
    # A busy machine cuts longer ones in two.
    words = said[RATE // 2 : RATE // 2 + RATE * 6 // 10]
    async with (
        serving(server, worker),
        Room.connect(server.ws_url, server.token("echo", "alice")) as me,
        saying(me, said),
    ):
        track = await agents_track(me)
        heard: deque[np.ndarray] = deque(maxlen=125)
        count = 0
        async with asyncio.timeout(WAIT_S):
            async for frame in track.audio():
                heard.append(frame.data[:, 0])
                count += 1
                if count % 50 == 0 and correlation(words, np.concatenate(heard)) > CODED_TWICE:
                    break


async def test_a_recorder_writes_each_voice(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORDINGS", str(tmp_path))
    worker = load_worker(EXAMPLES / "recorder.py")
    voices = {"alice": speech("The quick brown fox."), "bob": speech("Over the lazy dog, again and again.")}
    body = {"name": "tape", "agents": [{"agent_name": "recorder"}]}
    await server.api("POST", "/rooms", json=body)
    async with (
        serving(server, worker),
        Room.connect(server.ws_url, server.token("tape", "alice")) as alice,
        Room.connect(server.ws_url, server.token("tape", "bob")) as bob,
        saying(alice, voices["alice"]),
        saying(bob, voices["bob"]),
    ):
        longest = max(map(len, voices.values()))
        async with asyncio.timeout(WAIT_S):
            while (
                len(files := list(tmp_path.glob("*.wav"))) < 2
                or min(file.stat().st_size for file in files) < 2 * 3 * longest
            ):
                await asyncio.sleep(0.1)
        assert not any(one.kind == "agent" for one in alice.participants.values()), "it is hidden"
    for who, said in voices.items():
        (file,) = tmp_path.glob(f"tape-{who}-*.wav")
        with wave.open(str(file)) as recording:
            assert (recording.getframerate(), recording.getnchannels()) == (RATE, 1)
            taped = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
        other = voices["bob" if who == "alice" else "alice"]
        assert correlation(said, taped) > CODED_ONCE
        assert correlation(other, taped) < CODED_ONCE


async def test_vision_looks_once_a_second(server: Server) -> None:
    worker = load_worker(EXAMPLES / "vision.py")
    await server.api("POST", "/rooms", json={"name": "seen", "agents": [{"agent_name": "vision"}]})
    async with serving(server, worker), Room.connect(server.ws_url, server.token("seen", "alice")) as alice:
        camera = VideoSource()

        async def film() -> None:
            for number in range(10_000):
                camera.write(picture(number))
                await asyncio.sleep(0.05)

        filming = asyncio.create_task(film())
        with alice.events() as events:
            await alice.publish_video(camera, width=320, height=240)
            times: list[float] = []
            async with asyncio.timeout(WAIT_S):
                async for event in events:
                    if isinstance(event, DataReceived) and event.topic == "vision":
                        note = json.loads(event.payload)
                        assert note["who"] == "alice"
                        assert 0.05 < note["brightness"] < 0.5
                        times.append(asyncio.get_running_loop().time())
                        if len(times) == 4:
                            break
        filming.cancel()
    assert 0.8 < (times[-1] - times[0]) / 3 < 3.0, times


async def test_a_voice_pipeline_answers_offline(server: Server) -> None:
    need_espeak()
    worker = load_worker(EXAMPLES / "voice_pipeline.py")
    async with serving(server, worker), Room.connect(server.ws_url, server.token("offline", "alice")) as me:
        voice = PcmSource(buffer_s=10.0)
        await me.publish_audio(voice)
        track = await agents_track(me)
        await me.connected()
        await until_loud(track)  # its greeting
        with me.events() as events:
            await voice.write(speech())
            words = await words_of(events, 2)
        assert [(one.text, one.identity == "alice") for one in words] == [
            ("sentence 1", True),
            ("Hello, I am listening.", False),
        ]
        await until_loud(track)


async def words_of(events: Any, count: int) -> list[TranscriptionReceived]:
    """So many transcriptions."""
    found: list[TranscriptionReceived] = []
    async with asyncio.timeout(WAIT_S):
        async for event in events:
            if isinstance(event, TranscriptionReceived):
                found.append(event)
                if len(found) == count:
                    break
    return found


class OpenAi:
    """What the pipeline asks of a server of OpenAI's API."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.failures = 0

    async def transcribe(self, request: Request) -> Response:
        # A form is a message of several parts (RFC 7578).
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts: Any = message_from_bytes(head + await request.body()).get_payload()
        form = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in parts
        }
        with wave.open(io.BytesIO(form["file"])) as sound:
            seconds = sound.getnframes() / sound.getframerate()
        self.asked.append(("hear", (form["model"], seconds > 0.5, request.headers["authorization"])))
        return JSONResponse({"text": "what time is it"})

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(("answer", (body["model"], body["messages"][-1])))
        if self.failures:
            self.failures -= 1
            return Response("busy", 503)
        return JSONResponse({"choices": [{"message": {"content": "It is noon."}}]})

    async def speak(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(("speak", (body["model"], body["voice"], body["input"])))
        at = np.arange(16_000) / 16_000
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16_000)
            out.writeframes((9000 * np.sin(2 * np.pi * 700 * at)).astype("<i2").tobytes())
        return Response(file.getvalue(), media_type="audio/wav")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its base URL."""
        port = free_port()
        routes = [
            Route("/v1/audio/transcriptions", self.transcribe, methods=["POST"]),
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
            Route("/v1/audio/speech", self.speak, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=port, log_level="warning", lifespan="off")
        web = uvicorn.Server(config)
        task = asyncio.create_task(web.serve())
        await until(lambda: web.started)
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            web.should_exit = True
            await task


async def test_a_voice_pipeline_asks_openai_and_outlives_its_failures(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = OpenAi()
    async with api.serving() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("LLM_MODEL", "tiny")
        worker = load_worker(EXAMPLES / "voice_pipeline.py")
        token = server.token("openai", "alice")
        async with serving(server, worker), Room.connect(server.ws_url, token) as me:
            voice = PcmSource(buffer_s=10.0)
            await me.publish_audio(voice)
            track = await agents_track(me)
            await me.connected()
            await until_loud(track)
            api.failures = 1
            with me.events() as events:
                await voice.write(speech())
                (heard,) = await words_of(events, 1)
                await until(
                    lambda: ("answer", ("tiny", {"role": "user", "content": heard.text})) in api.asked
                )
                await voice.drained()
                await asyncio.sleep(1.0)  # the sentence is over before the next begins
                await voice.write(speech())
                words = await words_of(events, 2)
            assert [one.text for one in words] == ["what time is it", "It is noon."]
            await until_loud(track)
    assert ("hear", (b"whisper-1", True, "Bearer sk-test")) in api.asked
    assert api.asked[-1] == ("speak", ("tts-1", "alloy", "It is noon."))


AGENT = """
from sfu.agents import JobContext, Worker

worker = Worker("{name}")


@worker.entry
async def nothing(job: JobContext) -> None:
    await job.connect()
"""


async def names(server: Server) -> set[str]:
    """Of the workers that are connected."""
    return {each["agent_name"] for each in (await server.api("GET", "/agents/workers"))["workers"]}


async def test_dev_starts_again_when_the_code_changes(server: Server, tmp_path: Path) -> None:
    file, port = tmp_path / "mine.py", free_port()
    file.write_text(AGENT.format(name="first"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sfu", "agent", "dev", str(file), "--url", server.ws_url,
        "--health-port", str(port),
        cwd=ROOT, env={**os.environ, "AIRSIDE_API_KEY": API_KEY, "AIRSIDE_API_SECRET": API_SECRET},
    )  # fmt: skip
    try:
        async with asyncio.timeout(WAIT_S), httpx.AsyncClient() as http:
            while await names(server) != {"first"}:
                await asyncio.sleep(0.1)
            answer = await http.get(f"http://127.0.0.1:{port}/")
            assert (answer.status_code, answer.json()) == (200, {"connected": True, "jobs": 0})
            file.write_text("this is no Python")
            while await names(server):
                await asyncio.sleep(0.1)
            file.write_text(AGENT.format(name="second"))
            while await names(server) != {"second"}:
                await asyncio.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    async with asyncio.timeout(WAIT_S):
        while await names(server):
            await asyncio.sleep(0.1)


async def test_health_says_when_there_is_no_server(tmp_path: Path) -> None:
    file, port, nobody = tmp_path / "mine.py", free_port(), free_port()
    file.write_text(AGENT.format(name="lonely"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sfu", "agent", "start", str(file), "--url", f"ws://127.0.0.1:{nobody}",
        "--health-port", str(port), "--api-key", API_KEY, "--api-secret", API_SECRET,
        cwd=ROOT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WAIT_S), httpx.AsyncClient() as http:
            while True:
                try:
                    answer = await http.get(f"http://127.0.0.1:{port}/")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        assert (answer.status_code, answer.json()["connected"]) == (503, False)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
