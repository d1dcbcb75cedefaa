"""A GStreamer webrtcbin peer, run by the system's Python (which has `gi`), driven by JSON lines.

stdin:  {"type": "answer", "sdp": ...} | {"type": "stop"}
stdout: {"type": "offer", "sdp": ...}, then once a second
        {"type": "report", "audio": buffers, "video": buffers, "connection": state, "flaps": count}

Publishes a tone (Opus) and a moving picture (VP8, or H265 if that is the argument), receives one audio
and one video section.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ENCODERS = {
    "VP8": "vp8enc deadline=1 target-bitrate=300000 keyframe-max-dist=60 ! rtpvp8pay picture-id-mode=15-bit",
    # Parameter sets with each keyframe, or who missed the first could start from none.
    "H265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=300 key-int-max=30 "
    "option-string=open-gop=0:repeat-headers=1 ! h265parse ! "
    "rtph265pay config-interval=-1 aggregate-mode=zero-latency",
}
VIDEO = sys.argv[1] if len(sys.argv) > 1 else "VP8"
PUBLISH = f"""
webrtcbin name=peer bundle-policy=max-bundle
audiotestsrc is-live=true wave=sine freq=440 ! audioconvert ! opusenc ! rtpopuspay !
  application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! peer.
videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 !
  {ENCODERS[VIDEO]} !
  application/x-rtp,media=video,encoding-name={VIDEO},payload=96 ! peer.
"""
READ_H265 = "rtph265depay ! h265parse ! capsfilter caps=video/x-h265,alignment=au,stream-format=byte-stream"
"""Whole pictures, from the first with its parameter sets on."""
RECEIVE = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
    f"application/x-rtp,media=video,encoding-name={VIDEO},payload=96,clock-rate=90000",
)


def say(**message):
    print(json.dumps(message), flush=True)


class Peer:
    def __init__(self):
        self.loop = GLib.MainLoop()
        self.buffers = {"audio": 0, "video": 0}
        self.connected = False
        self.flaps = 0
        self.replies = []  # a reply that is not referenced frees the offer inside it
        self.pipeline = Gst.parse_launch(PUBLISH)
        self.peer = self.pipeline.get_by_name("peer")
        # The binding drops one reference too many when its wrapper goes.
        self.agent = self.peer.get_property("ice-agent")
        self.agent.ref()
        self.agent.emit("add-local-ip-address", "127.0.0.1")
        self.peer.connect("on-negotiation-needed", self.on_negotiation_needed)
        self.peer.connect("pad-added", self.on_pad)
        for index in range(2):
            transceiver = self.peer.emit("get-transceiver", index)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        for caps in RECEIVE:
            self.peer.emit(
                "add-transceiver",
                GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY,
                Gst.Caps.from_string(caps),
            )
        self.pipeline.set_state(Gst.State.PLAYING)
        # Asked, not told: a handler of webrtcbin's own thread waits for Python while Python waits for
        # webrtcbin's lock.
        GLib.timeout_add(50, self.look)
        GLib.timeout_add_seconds(1, self.report)
        threading.Thread(target=self.read, daemon=True).start()

    def on_negotiation_needed(self, peer):
        promise = Gst.Promise.new_with_change_func(self.on_offer, None)
        peer.emit("create-offer", None, promise)

    def on_offer(self, promise, _):
        reply = promise.get_reply()
        self.replies.append(reply)
        offer = reply["offer"]
        self.peer.emit("set-local-description", offer, Gst.Promise.new())
        say(type="offer", sdp=offer.sdp.as_text())

    def on_pad(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        caps = pad.get_current_caps() or pad.query_caps(None)
        kind = caps.get_structure(0).get_string("media")
        if caps.get_structure(0).get_string("encoding-name") == "H265":
            # Debian's libde265 fails on what Debian's x265 makes, without any network between them.
            read = Gst.parse_bin_from_description(READ_H265, True)
            self.pipeline.add(read)
            read.sync_state_with_parent()
            pad.link(read.get_static_pad("sink"))
            self.on_decoded(None, read.get_static_pad("src"), kind)
            return
        decode = Gst.ElementFactory.make("decodebin")
        decode.connect("pad-added", self.on_decoded, kind)
        self.pipeline.add(decode)
        decode.sync_state_with_parent()
        pad.link(decode.get_static_pad("sink"))

    def on_decoded(self, _, pad, kind):
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("signal-handoffs", True)
        sink.connect("handoff", self.on_buffer, kind)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def on_buffer(self, _sink, _buffer, _pad, kind):
        self.buffers[kind] += 1

    def look(self):
        state = self.peer.get_property("ice-connection-state")
        up = state in (
            GstWebRTC.WebRTCICEConnectionState.CONNECTED,
            GstWebRTC.WebRTCICEConnectionState.COMPLETED,
        )
        self.flaps += self.connected and not up
        self.connected = up
        return True

    def report(self):
        state = self.peer.get_property("ice-connection-state").value_nick
        say(type="report", connection=state, flaps=self.flaps, **self.buffers)
        return True

    def read(self):
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] == "answer":
                GLib.idle_add(self.on_answer, message["sdp"])
            else:
                break
        GLib.idle_add(self.loop.quit)

    def on_answer(self, text):
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.peer.emit("set-remote-description", answer, Gst.Promise.new())


Gst.init(None)
peer = Peer()
peer.loop.run()
peer.pipeline.set_state(Gst.State.NULL)
