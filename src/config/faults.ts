/**
 * How an attempt at a target can fail, as an operator names it in routes: the classes of the core's failure event
 * (`OriginFault` in native-bindings/proto/src/fault.rs, row for row; a test holds the two together).
 */

/** A class, the status its answer has when nothing else is said, and what happened. */
export interface Fault {
  readonly token: string;
  readonly status: number;
  readonly says: string;
}

/** Every class there is. */
export const FAULTS: readonly Fault[] = [
  { token: "connect_refused", status: 502, says: "The target refused the connection." },
  { token: "connect_unreachable", status: 502, says: "The target could not be reached." },
  { token: "connect_timeout", status: 504, says: "The target did not accept a connection in time." },
  {
    token: "tls_verify",
    status: 502,
    says: "The target's certificate is not good for the name, or not by anybody trusted.",
  },
  {
    token: "tls_alert",
    status: 502,
    says: "The target ended the TLS handshake with an alert, or speaks no TLS that we do.",
  },
  { token: "tls_eof", status: 502, says: "The target closed the connection during the TLS handshake." },
  { token: "tls_timeout", status: 504, says: "The TLS handshake with the target did not end in time." },
  { token: "tls_local_error", status: 503, says: "This host's own TLS failed before the target was at fault." },
  {
    token: "protocol_mismatch",
    status: 502,
    says: "The target does not speak the version of HTTP that it is to be spoken to in.",
  },
  { token: "write_error", status: 502, says: "The request could not be written to the target." },
  { token: "eof_before_headers", status: 502, says: "The target closed the connection before answering." },
  { token: "reset_before_headers", status: 502, says: "The target reset the connection before answering." },
  {
    token: "unprocessed",
    status: 502,
    says: "The target said that it did not process the request (HTTP/2: GOAWAY or REFUSED_STREAM).",
  },
  { token: "header_timeout", status: 504, says: "The target did not begin its answer in time." },
  { token: "malformed_headers", status: 502, says: "The target's answer is not HTTP/1." },
  { token: "body_truncated", status: 502, says: "The target's answer ended before its length." },
  { token: "body_malformed", status: 502, says: "The framing of the target's answer broke in its body." },
  { token: "body_timeout", status: 504, says: "The target stopped sending its answer." },
  { token: "no_healthy_target", status: 503, says: "The origin has no target that may be used." },
  { token: "dns_nxdomain", status: 502, says: "The origin's name does not exist." },
  { token: "dns_servfail", status: 502, says: "The origin's name could not be resolved." },
  { token: "dns_timeout", status: 504, says: "The resolver did not answer in time." },
  { token: "status", status: 502, says: "The answer's status counts as a failure by the route's rule." },
  { token: "answer_too_large", status: 502, says: "The answer's body is larger than the route passes on." },
  { token: "total_timeout", status: 504, says: "The time for the whole exchange was over." },
  {
    token: "pool_full",
    status: 503,
    says: "The origin has as many connections as it may have, and the queue is full or slow.",
  },
  { token: "local_resource", status: 503, says: "This host ran out of descriptors, ports or memory." },
];

/**
 * Bytes that hold the body of every answer the proxy makes of a fault by itself. A limit on answers below it would
 * refuse the very page that says why.
 */
export const OWN_ANSWER_BYTES_MAX = 256;
