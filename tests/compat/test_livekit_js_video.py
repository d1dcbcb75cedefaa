"""livekit-client's video: layers, sizes, codecs and encryption."""

from __future__ import annotations

import json

import pytest
from livekit import rtc

from tests.compat.livekit_client import Picture, Tone, clients, hears, sees
from tests.compat.livekit_js import JsClient, js_clients
from tests.support.server import Server

ROOM = "lobby"
MODES = {"single": True, "dual": False}

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def sent(heights: list[int]) -> str:
    """Whether exactly these heights of the camera are being sent."""
    return f"""(async () => {{
      const streams = (await client.sent('camera')).filter((item) => item.active && item.height);
      return streams.map((item) => item.height).join() === '{",".join(map(str, heights))}';
    }})()"""


def arrives(height: int, codec: str) -> str:
    """Whether alice's camera comes in that height and codec. Encoders of layers make odd heights even."""
    return f"""(async () => {{
      const it = await client.received('alice', 'camera');
      return Math.abs(it?.height - {height}) <= 1 && it.codec === 'video/{codec}';
    }})()"""


async def shown_at(client: JsClient, height: int) -> None:
    """Give alice's picture that much room."""
    await client.do(f"client.resize('alice', {height * 16 // 9}, {height})")


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_three_layers_follow_the_size_of_the_element(server: Server, single: bool) -> None:
    async with js_clients(server, "alice", "bob") as (alice, bob):
        await alice.join(ROOM, singlePeerConnection=single, dynacast=True)
        await bob.join(ROOM, singlePeerConnection=single, adaptiveStream=True)
        await alice.me("setCameraEnabled(true, { resolution: { width: 1280, height: 720 } })")
        await bob.until("client.publication('alice', 'camera')?.track")
        for height in (720, 360, 180):
            await shown_at(bob, height)
            await bob.until(arrives(height, "vp8"))
        await alice.until(sent([180]))  # dynacast: nobody takes the others
        await bob.do("client.publication('alice', 'camera').track.attachedElements[0].style.display = 'none'")
        await alice.until(sent([]))
        await bob.do("client.publication('alice', 'camera').track.attachedElements[0].style.display = ''")
        await shown_at(bob, 720)
        await bob.until(arrives(720, "vp8"))
        await alice.until(sent([180, 360, 720]))
        await bob.sees("alice")
        await bob.until("client.seen(livekit.RoomEvent.ConnectionQualityChanged).length")


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
@pytest.mark.parametrize("codec", ["vp9", "av1"])
async def test_layers_in_one_stream(server: Server, codec: str, single: bool) -> None:
    async with js_clients(server, "alice", "bob") as (alice, bob):
        await alice.join(ROOM, singlePeerConnection=single)
        await bob.join(ROOM, singlePeerConnection=single, adaptiveStream=True)
        options = {"videoCodec": codec, "scalabilityMode": "L3T3_KEY", "backupCodec": False}
        await alice.do(f"client.publishCanvas(960, 540, {json.dumps(options)})")
        await bob.until("client.publication('alice', 'camera')?.track")
        for height in (540, 135, 270, 540):
            await shown_at(bob, height)
            await bob.until(arrives(height, codec))
        await bob.sees("alice")
        streams = await alice.do("client.sent('camera')")
        assert [item["mode"] for item in streams] == ["L3T3_KEY"]
        layers = await bob.do(
            "client.publication('alice', 'camera').trackInfo.layers.map((layer) => layer.height)"
        )
        assert layers == [135, 270, 540]


ACTIVE_CODECS = "(await client.sent('camera')).filter((item) => item.active).map((item) => item.codec)"


def sends_only(codec: str) -> str:
    """Whether one codec of the camera is being sent, and the other is not."""
    active = f"({ACTIVE_CODECS})"
    return (
        f"(async () => {{ const it = {active}; return it.length && it.every((one) => one === '{codec}') }})()"
    )


@pytest.mark.parametrize(
    ("policy", "codec"),
    [(None, "vp9"), ("REGRESSION", "av1")],
    ids=["prefer_regression", "regression"],
)
async def test_everybody_gets_the_backup_once_somebody_needs_it(
    server: Server, policy: str | None, codec: str
) -> None:
    async with js_clients(server, "alice", "bob", "eve") as (alice, bob, eve):
        await bob.do(f"client.forgetCodec('{codec}')")
        await alice.join(ROOM, dynacast=True)
        await eve.join(ROOM)
        chosen = f", backupCodecPolicy: livekit.BackupCodecPolicy.{policy}" if policy else ""
        await alice.do(f"client.publishCanvas(640, 360, {{ videoCodec: '{codec}'{chosen} }})")
        await eve.sees("alice")
        assert (await eve.do("client.received('alice', 'camera')"))["codec"] == f"video/{codec}"
        await bob.join(ROOM)
        await bob.sees("alice")
        for client in (bob, eve):
            await client.until(
                "(async () => (await client.received('alice', 'camera'))?.codec === 'video/vp8')()"
            )
        await alice.until(sends_only("video/vp8"))
        await eve.sees("alice")
        await bob.do("client.room.disconnect()")
        await eve.sees("alice")
        assert await alice.do(sends_only("video/vp8")), "there is no way back while the second is sent"


async def test_who_lacks_the_codec_gets_the_backup_beside_it(server: Server) -> None:
    async with js_clients(server, "alice", "bob", "eve") as (alice, bob, eve):
        await bob.do("client.forgetCodec('vp9')")
        await alice.join(ROOM, dynacast=True)
        await eve.join(ROOM)
        options = "{ videoCodec: 'vp9', backupCodecPolicy: livekit.BackupCodecPolicy.SIMULCAST }"
        await alice.do(f"client.publishCanvas(640, 360, {options})")
        await eve.sees("alice")
        await bob.join(ROOM)
        await bob.sees("alice")
        assert (await bob.do("client.received('alice', 'camera')"))["codec"] == "video/vp8"
        assert (await eve.do("client.received('alice', 'camera')"))["codec"] == "video/vp9"
        assert set(await alice.do(f"(async () => {ACTIVE_CODECS})()")) == {"video/vp9", "video/vp8"}
        await bob.do("client.room.disconnect()")
        await alice.until(sends_only("video/vp9"))
        await eve.sees("alice")


async def test_encrypted_frames_pass_untouched(server: Server) -> None:
    async with (
        js_clients(server, "alice", "bob", "eve") as (alice, bob, eve),
        clients(server, "carol", single=True) as (carol,),
    ):
        for client, passphrase in ((alice, "ours"), (bob, "ours"), (eve, "hers")):
            await client.join(ROOM, e2eePassphrase=passphrase)
        await alice.me("enableCameraAndMicrophone()")
        await bob.sees("alice")
        await bob.hears("alice")
        await alice.me("publishData(new TextEncoder().encode('between us'), { reliable: true })")
        await bob.seen("DataReceived", ["between us", "alice", 0, ""])
        assert (await bob.do("client.publication('alice', 'camera').trackInfo.encryption")) == 1
        await eve.until("client.seen(livekit.RoomEvent.EncryptionError).length")
        assert (await eve.do("client.received('alice', 'camera')"))["frames"] == 0
        assert not await eve.do("client.seen(livekit.RoomEvent.DataReceived).length")
        # The same key in LiveKit's Python client: what one writes the other reads.
        await carol.connect(ROOM, e2ee_key=b"ours")
        tone, picture = Tone(), Picture(320, 180)
        await tone.publish(carol)
        await picture.publish(carol)
        assert await hears(await carol.track_of("alice"), loud_frames=5)
        assert await sees(await carol.track_of("alice", rtc.TrackKind.KIND_VIDEO))
        await bob.hears("carol")
        await bob.until("(async () => (await client.received('carol', 'camera'))?.frames > 10)()")
        await tone.stop()
        await picture.stop()
