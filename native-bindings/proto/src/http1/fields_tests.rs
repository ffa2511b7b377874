//! Tests of fields.rs.
