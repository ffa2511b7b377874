//! The worker's connections as JSON, on demand: state, age, counts and owner of each (S3-16). Looks only.

use crate::io::Io;
use crate::log::write_json_text;
use crate::origin::Speaks;
use crate::slab::Key;
use crate::worker::Worker;

/// Connections of each side that one dump shows; the counts are always whole.
const SHOWN_MAX: usize = 1000;

impl<I: Io> Worker<I> {
    pub(crate) fn dump(&mut self, ticket: u32) {
        let mut out = Vec::new();
        let (clients, origins) = (self.clients.keys(), self.origins.keys());
        let head = format!(
            "{{\"level\":\"debug\",\"event\":\"connections\",\"ticket\":{ticket},\"worker\":{},\"clientCount\":{},\"originCount\":{},\"clients\":[",
            self.index,
            clients.len(),
            origins.len()
        );
        out.extend_from_slice(head.as_bytes());
        clients.into_iter().take(SHOWN_MAX).for_each(|key| self.dump_client(&mut out, key));
        drop_comma(&mut out);
        out.extend_from_slice(b"],\"origins\":[");
        origins.into_iter().take(SHOWN_MAX).for_each(|key| self.dump_origin(&mut out, key));
        drop_comma(&mut out);
        out.extend_from_slice(b"]}\n");
        self.log.notes().extend_from_slice(&out);
    }

    fn dump_client(&self, out: &mut Vec<u8>, key: Key) {
        let Some(client) = self.clients.get(key) else { return };
        let age_ms = self.now_ms().saturating_sub(client.since_ms);
        let line = format!(
            "{{\"number\":{},\"address\":\"{}\",\"port\":{},\"state\":\"{}\",\"ageMs\":{age_ms},\"requests\":{},\"waitingBytes\":{},\"owns\":{}",
            client.number,
            String::from_utf8_lossy(client.ip.as_bytes()),
            client.port,
            client.state.token(),
            client.requests,
            client.outbox.len(),
            client.owns
        );
        out.extend_from_slice(line.as_bytes());
        if let Some(ongoing) = self.exchanges.get(client.exchange) {
            out.extend_from_slice(b",\"request\":");
            write_json_text(out, ongoing.url.of(&ongoing.head));
            let origin = ongoing.origin_plan().name.as_bytes();
            out.extend_from_slice(b",\"origin\":");
            write_json_text(out, origin);
            out.extend_from_slice(format!(",\"stage\":\"{:?}\"", ongoing.core.stage).to_lowercase().as_bytes());
        }
        out.extend_from_slice(b"},");
    }

    fn dump_origin(&self, out: &mut Vec<u8>, key: Key) {
        let Some(origin) = self.origins.get(key) else { return };
        let target = &origin.lease.target;
        let (http, streams, requests) = match &origin.speaks {
            Speaks::Http1 => ("1.1", 0, origin.lease.requests),
            Speaks::Asking(_) => ("", 0, origin.lease.requests),
            Speaks::Http2(session) => ("2", session.shared.streams(), session.shared.used()),
            // Not a connection: one stream of one, which may be another worker's.
            Speaks::Stream(_) => ("2", 1, 1),
        };
        let line = format!(
            "{{\"target\":{},\"address\":\"{}\",\"state\":\"{}\",\"http\":\"{http}\",\"streams\":{streams},\"ageMs\":{},\"quietMs\":{},\"requests\":{},\"owner\":{},\"origin\":",
            target.number,
            target.identity.target,
            format!("{:?}", origin.state).to_lowercase(),
            self.now_ms().saturating_sub(origin.lease.opened_ms),
            self.now_ms().saturating_sub(origin.active_ms),
            requests,
            origin.lease.bound.as_ref().and_then(|b| b.owner).map_or("null".to_owned(), |o| o.to_string())
        );
        out.extend_from_slice(line.as_bytes());
        write_json_text(out, target.identity.origin.as_bytes());
        out.extend_from_slice(b"},");
    }
}

fn drop_comma(out: &mut Vec<u8>) {
    if out.last() == Some(&b',') {
        out.pop();
    }
}
