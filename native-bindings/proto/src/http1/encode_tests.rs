//! Tests of encode.rs.
