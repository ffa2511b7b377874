//! Plans for tests as the document that TypeScript writes, so that a plan here names what it is about and leaves out
//! whatever has a default. Also used by the fuzzer.

use proto::plan::Plan;

/// A part of the document.
#[derive(Clone, Debug)]
pub enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

#[must_use]
pub fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    Value::Map(entries.into())
}

impl Value {
    /// The document as it crosses the border.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// As msgpack, in its longest forms: the reader takes any.
    fn write(&self, out: &mut Vec<u8>) {
        let sized = |out: &mut Vec<u8>, kind: u8, len: usize| {
            out.push(kind);
            out.extend_from_slice(&u32::try_from(len).expect("a small document").to_be_bytes());
        };
        match self {
            Self::Flag(flag) => out.push(if *flag { 0xc3 } else { 0xc2 }),
            Self::Number(number) => {
                out.push(0xcf);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Text(text) => {
                sized(out, 0xdb, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Self::List(list) => {
                sized(out, 0xdd, list.len());
                list.iter().for_each(|value| value.write(out));
            }
            Self::Map(entries) => {
                sized(out, 0xdf, entries.len());
                for (key, value) in entries {
                    Self::from(*key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// The document of a plan of one worker with these origins and routes, and limits and times that nothing meets.
#[must_use]
pub fn document(origins: Vec<Value>, routes: Vec<Value>, access_log: bool) -> Value {
    map([
        ("version", 1.into()),
        ("name", "millrace".into()),
        ("workers", 1.into()),
        ("listeners", vec![listener()].into()),
        ("limits", limits()),
        ("timeouts", timeouts()),
        ("pool", pool()),
        ("forwarding", forwarding()),
        ("origins", origins.into()),
        ("routes", routes.into()),
        ("accessLog", access_log.into()),
    ])
}

/// The plan that TypeScript would have written as this document.
#[must_use]
pub fn plan(origins: Vec<Value>, routes: Vec<Value>, access_log: bool) -> Plan {
    let bytes = document(origins, routes, access_log).bytes();
    rmp_serde::from_slice(&bytes).unwrap_or_else(|error| panic!("the plan of this test: {error}"))
}

fn listener() -> Value {
    map([("name", "main".into()), ("address", "127.0.0.1".into()), ("port", 0.into()), ("backlog", 16.into())])
}

fn limits() -> Value {
    map([
        ("requestLineBytes", 8_192.into()),
        ("headBytes", 32_768.into()),
        ("fieldCount", 128.into()),
        ("chunkExtensionBytes", 1_024.into()),
        ("requestBodyBytes", 0.into()),
        ("pipelinedRequests", 100.into()),
        ("drainBytes", 65_536.into()),
        ("replayBodyBytes", 65_536.into()),
        ("clientConnections", 0.into()),
        ("clientRequests", 0.into()),
    ])
}

fn timeouts() -> Value {
    map([
        ("clientHeadMs", 60_000.into()),
        ("clientBodyMs", 60_000.into()),
        ("clientIdleMs", 60_000.into()),
        ("clientWriteMs", 60_000.into()),
        ("clientLingerMs", 1_000.into()),
        ("tunnelIdleMs", 0.into()),
        ("continueMs", 1_000.into()),
    ])
}

fn pool() -> Value {
    map([
        ("shards", 1.into()),
        ("steal", false.into()),
        ("connections", 0.into()),
        ("queueLength", 16.into()),
        ("queueWaitMs", 1_000.into()),
    ])
}

fn forwarding() -> Value {
    map([
        ("via", true.into()),
        ("xForwarded", true.into()),
        ("forwarded", false.into()),
        ("trusted", Vec::new().into()),
    ])
}

/// A route of these hosts and this path.
#[must_use]
pub fn route(hosts: Vec<Value>, path: Value, action: Value) -> Value {
    map([
        ("name", "a route".into()),
        ("hosts", hosts.into()),
        ("path", path),
        ("methods", Vec::new().into()),
        ("headers", Vec::new().into()),
        ("action", action),
    ])
}
