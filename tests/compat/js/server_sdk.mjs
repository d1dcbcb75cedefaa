// livekit-server-sdk drives the RoomService: `node server_sdk.mjs <key> <secret>`. Two participants, alice
// (who publishes a microphone) and bob, are in the room `lobby`. It also receives webhooks: it says on its first
// line where, and gives all it found out as one object on its last.
import { createServer } from 'node:http';
import { DataPacket_Kind, RoomServiceClient, WebhookReceiver } from 'livekit-server-sdk';

const [key, secret] = process.argv.slice(2);
const ROOM = 'lobby';
const found = { webhooks: [], forged: 0 };

const receiver = new WebhookReceiver(key, secret);
const hooks = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts).toString();
  const event = await receiver.receive(body, request.headers.authorization);
  found.webhooks.push([event.event, event.room?.name ?? '', event.participant?.identity ?? '']);
  await receiver.receive(`${body} `, request.headers.authorization).catch(() => { found.forged += 1; });
  response.end();
});
await new Promise((resolve) => hooks.listen(0, '127.0.0.1', resolve));
process.stdout.write(`http://127.0.0.1:${hooks.address().port}/\n`);

const line = () => new Promise((resolve) => process.stdin.once('data', (data) => resolve(data.toString().trim())));
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const url = await line();
const rooms = new RoomServiceClient(url, key, secret);
const refusal = (promise) => promise.then(() => 'done', (error) => [error.status, error.code]);

await line(); // both are there
found.made = (await rooms.createRoom({ name: 'other', emptyTimeout: 60, maxParticipants: 3, metadata: 'm' })).maxParticipants;
found.rooms = (await rooms.listRooms()).map((room) => room.name).sort();
found.named = (await rooms.listRooms(['other', 'missing'])).map((room) => room.name);
found.metadata = (await rooms.updateRoomMetadata(ROOM, 'about the room')).metadata;
found.people = (await rooms.listParticipants(ROOM)).map((person) => person.identity).sort();
const alice = await rooms.getParticipant(ROOM, 'alice');
const [track] = alice.tracks;
await rooms.updateSubscriptions(ROOM, 'bob', [track.sid], false);
await rooms.updateSubscriptions(ROOM, 'bob', [track.sid], true);
found.muted = (await rooms.mutePublishedTrack(ROOM, 'alice', track.sid, true)).muted;
found.unmuted = await refusal(rooms.mutePublishedTrack(ROOM, 'alice', track.sid, false));
tell('muted');
await line(); // bob has seen it, which he cannot once the track is gone
const changed = await rooms.updateParticipant(ROOM, 'alice', {
  name: 'Alice L.',
  metadata: 'about her',
  attributes: { role: 'guest' },
  permission: { canSubscribe: true, canPublish: false, canPublishData: true },
});
found.changed = [changed.name, changed.metadata, changed.attributes.role, changed.permission.canPublish];
await rooms.sendData(ROOM, new TextEncoder().encode('news'), DataPacket_Kind.RELIABLE, {
  topic: 't',
  destinationIdentities: ['bob'],
});
await rooms.forwardParticipant(ROOM, 'bob', 'other');
await rooms.moveParticipant(ROOM, 'alice', 'other');
found.moved = (await rooms.getParticipant('other', 'alice')).identity;
await rooms.removeParticipant('other', 'alice');
found.missing = await refusal(rooms.getParticipant('other', 'alice'));
await rooms.deleteRoom(ROOM);
found.deleted = await refusal(rooms.deleteRoom(ROOM));
found.denied = await refusal(new RoomServiceClient(url, key, 'wrong').listRooms());
while (!found.webhooks.some(([name]) => name === 'room_finished')) await new Promise((resolve) => setTimeout(resolve, 20));
tell(found);
process.exit(0);
