//! Tests of body.rs.
