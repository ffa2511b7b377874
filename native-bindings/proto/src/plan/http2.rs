//! HTTP/2 as the plan describes it: windows, buffers, and what a peer may do in a second.

use serde::Deserialize;

/// HTTP/2 of all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Http2 {
    /// Streams a client may have open at once on a connection.
    pub streams: u32,
    /// Body bytes a peer may send ahead of us: on one stream, and on a connection.
    pub stream_window_bytes: u32,
    pub connection_window_bytes: u32,
    /// Answer bytes held for one stream, and for a connection; nothing more is read from origins then.
    pub stream_buffer_bytes: u32,
    pub connection_buffer_bytes: u32,
    /// Most frames of each kind, a second and a connection; a bucket holds as many (`http2/meter.rs`).
    pub resets_per_s: u32,
    pub own_resets_per_s: u32,
    pub settings_per_s: u32,
    pub pings_per_s: u32,
    pub window_updates_per_s: u32,
    pub empty_frames_per_s: u32,
    pub priorities_per_s: u32,
    /// CONTINUATION frames of one header block.
    pub continuations: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams: 128,
            stream_window_bytes: 262_144,
            connection_window_bytes: 1_048_576,
            stream_buffer_bytes: 65_536,
            connection_buffer_bytes: 1_048_576,
            resets_per_s: 200,
            own_resets_per_s: 100,
            settings_per_s: 20,
            pings_per_s: 50,
            window_updates_per_s: 200,
            empty_frames_per_s: 100,
            priorities_per_s: 200,
            continuations: 4,
        }
    }
}
