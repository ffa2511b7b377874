//! HTTP/1.0 and HTTP/1.1 as bytes: heads, framing, bodies, fields, and the encoder that writes them anew.

pub mod body;
mod chunk_line;
mod connection;
pub mod encode;
mod encode_fields;
mod field_lines;
pub mod fields;
mod forwarding;
pub mod framing;
pub mod head;
mod own_answer;
mod start_line;
mod trailers;
