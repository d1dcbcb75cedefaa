// A conference as an application would build it from LiveKit's React components, and nothing of our own.
import '@livekit/components-styles';
import { LiveKitRoom, VideoConference } from '@livekit/components-react';
import { createRoot } from 'react-dom/client';

const wanted = new URLSearchParams(location.search);

createRoot(document.getElementById('root')).render(
  <LiveKitRoom
    serverUrl={wanted.get('url')}
    token={wanted.get('token')}
    options={{ adaptiveStream: true, dynacast: true }}
    data-lk-theme="default"
    style={{ height: '100vh' }}
    connect
    audio
    video
  >
    <VideoConference />
  </LiveKitRoom>,
);
