//! JSON written piece by piece, for the answers of the admin port. Never on the data path: its lines are `log.rs`.

use crate::log::write_json_text;

/// An object under construction; a value may be any JSON.
#[derive(Default)]
pub struct Json(Vec<u8>);

impl Json {
    pub fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        write_json_text(&mut self.0, key.as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, &quoted(value.as_bytes()))
    }

    pub fn number(&mut self, key: &str, value: impl Into<u64>) -> &mut Self {
        self.raw(key, &value.into().to_string())
    }

    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    pub fn end(&mut self) -> String {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// One text.
#[must_use]
pub fn quoted(text: &[u8]) -> String {
    let mut out = Vec::new();
    write_json_text(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

/// An array; `write` makes the JSON of each item.
pub fn list<T>(items: impl IntoIterator<Item = T>, write: impl Fn(T) -> String) -> String {
    format!("[{}]", items.into_iter().map(write).collect::<Vec<String>>().join(","))
}
