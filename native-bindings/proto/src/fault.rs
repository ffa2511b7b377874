//! Everything that can go wrong in an exchange, as closed tables: whose fault, what it is called in logs and
//! counters, and how it is answered. Tables only; who reacts to a fault is `retry.rs`, who answers is `answer.rs`.

/// Builds an enum whose rows carry a status, a token (for logs and counters) and a sentence (for people).
macro_rules! fault_table {
    ($(#[$meta:meta])* $name:ident { $($variant:ident $status:literal $token:literal $says:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum $name { $(#[doc = $says] $variant,)* }

        impl $name {
            /// Every row, in the order of the table; a row's place is its counter.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The status of the answer this fault leads to.
            #[must_use]
            pub const fn status(self) -> u16 { match self { $($name::$variant => $status,)* } }

            /// The name of this fault in logs and counters: lower case, words joined by `_`, never changed.
            #[must_use]
            pub const fn token(self) -> &'static str { match self { $($name::$variant => $token,)* } }

            /// One sentence that says what was wrong, for a log line or an error body.
            #[must_use]
            pub const fn sentence(self) -> &'static str { match self { $($name::$variant => $says,)* } }
        }
    };
}

fault_table! {
    /// Bytes that are not HTTP/1 as RFC 9112 defines it, or are more of it than a limit allows. The same table serves
    /// both sides: a client that sends such bytes gets the row's status, an origin's answer becomes a 502 that names the row.
    WireFault {
        BareLf 400 "bare_lf" "A line ended in LF without CR.";
        BareCr 400 "bare_cr" "A CR was not followed by LF.";
        LeadingLines 400 "leading_lines" "More empty lines came before the message than are ignored.";
        RequestLine 400 "bad_request_line" "The request line is not method, target and version with single spaces.";
        Method 400 "bad_method" "The method is not a token.";
        Target 400 "bad_target" "The request target is not valid for this method.";
        VersionSyntax 400 "bad_version" "The protocol version is malformed.";
        VersionUnsupported 505 "unsupported_version" "The major protocol version is not HTTP/1.";
        StatusLine 400 "bad_status_line" "The status line is malformed.";
        RequestLineTooLong 414 "request_line_too_long" "The request line is longer than the limit.";
        HeadTooLarge 431 "head_too_large" "The head is larger than the limit.";
        TooManyFields 431 "too_many_fields" "The head has more fields than the limit.";
        FieldName 400 "bad_field_name" "A field name is empty or not a token.";
        SpaceBeforeColon 400 "space_before_colon" "White space stands between a field name and its colon.";
        ObsFold 400 "obs_fold" "A field is continued on a folded line.";
        FieldValue 400 "bad_field_value" "A field value holds NUL or another control character.";
        HostMissing 400 "host_missing" "An HTTP/1.1 request has no Host.";
        HostDuplicate 400 "host_duplicate" "A request has more than one Host.";
        HostInvalid 400 "host_invalid" "The Host is not a valid host with an optional port.";
        LengthAndCoding 400 "length_and_coding" "The message has both Content-Length and Transfer-Encoding.";
        LengthInvalid 400 "length_invalid" "The Content-Length is not one decimal number.";
        LengthDuplicate 400 "length_duplicate" "The message has more than one Content-Length.";
        CodingInvalid 400 "coding_invalid" "The Transfer-Encoding is not exactly chunked.";
        CodingOnHttp10 400 "coding_on_http10" "An HTTP/1.0 message has a Transfer-Encoding.";
        ConnectionInvalid 400 "connection_invalid" "The Connection field is not a list of tokens, or nominates a field it must not.";
        ChunkSize 400 "bad_chunk_size" "A chunk size is not 1 to 16 hexadecimal digits, or overflows.";
        ChunkExtension 400 "bad_chunk_extension" "A chunk extension is malformed.";
        ChunkExtensionTooLong 400 "chunk_extension_too_long" "The chunk extensions are longer than the limit.";
        ChunkEnd 400 "bad_chunk_end" "A chunk's data is not followed by CRLF.";
        Trailer 400 "bad_trailer" "The trailer section is malformed.";
        TrailerTooLarge 431 "trailer_too_large" "The trailer section is larger than the limit.";
        UpgradeUnasked 400 "upgrade_unasked" "The protocol was switched without being asked.";
        UpgradeIgnored 400 "upgrade_ignored" "A WebSocket was asked for, and the answer is a success without one.";
        Surplus 400 "surplus_bytes" "Bytes came that belong to no message.";
        PseudoFields 400 "bad_pseudo_fields" "The :path, :authority or :protocol of an HTTP/2 request is not valid, or contradicts its Host.";
    }
}

fault_table! {
    /// Why a client is refused although its bytes are HTTP, or why it lost its turn.
    ClientFault {
        HeadTimeout 408 "head_timeout" "The request head did not arrive in time.";
        BodyTimeout 408 "body_timeout" "The request body stopped arriving.";
        BodyTooLarge 413 "body_too_large" "The request body is larger than the limit.";
        Expectation 417 "expectation_failed" "The expectation is not 100-continue.";
        ConnectMethod 405 "connect_refused" "CONNECT is not served here.";
        Announcement 400 "bad_proxy_header" "The connection did not begin with a PROXY header, or its peer is not trusted to send one.";
        NameMismatch 403 "name_mismatch" "The Host falls under another client-certificate rule than the name of the TLS connection.";
        Misdirected 421 "misdirected" "The Host falls under another client-certificate rule than the connection, which several names share.";
        NoRoute 404 "no_route" "No route matches this request.";
        Overload 503 "overload" "The proxy has as many connections as it may have.";
        Gone 499 "client_gone" "The client closed or reset its connection before the answer was complete.";
        WriteTimeout 499 "client_write_timeout" "The client stopped reading the answer.";
    }
}

fault_table! {
    /// How an attempt at a target failed. The names are those of the failure events.
    OriginFault {
        ConnectRefused 502 "connect_refused" "The target refused the connection.";
        ConnectUnreachable 502 "connect_unreachable" "The target could not be reached.";
        ConnectTimeout 504 "connect_timeout" "The target did not accept a connection in time.";
        TlsVerify 502 "tls_verify" "The target's certificate is not good for the name, or not by anybody trusted.";
        TlsAlert 502 "tls_alert" "The target ended the TLS handshake with an alert, or speaks no TLS that we do.";
        TlsEof 502 "tls_eof" "The target closed the connection during the TLS handshake.";
        TlsTimeout 504 "tls_timeout" "The TLS handshake with the target did not end in time.";
        TlsLocalError 503 "tls_local_error" "This host's own TLS failed before the target was at fault.";
        ProtocolMismatch 502 "protocol_mismatch" "The target does not speak the version of HTTP that it is to be spoken to in.";
        WriteError 502 "write_error" "The request could not be written to the target.";
        EofBeforeHeaders 502 "eof_before_headers" "The target closed the connection before answering.";
        ResetBeforeHeaders 502 "reset_before_headers" "The target reset the connection before answering.";
        Unprocessed 502 "unprocessed" "The target said that it did not process the request (HTTP/2: GOAWAY or REFUSED_STREAM).";
        HeaderTimeout 504 "header_timeout" "The target did not begin its answer in time.";
        MalformedHeaders 502 "malformed_headers" "The target's answer is not HTTP/1.";
        BodyTruncated 502 "body_truncated" "The target's answer ended before its length.";
        BodyMalformed 502 "body_malformed" "The framing of the target's answer broke in its body.";
        BodyTimeout 504 "body_timeout" "The target stopped sending its answer.";
        NoTarget 503 "no_healthy_target" "The origin has no target that may be used.";
        DnsNxdomain 502 "dns_nxdomain" "The origin's name does not exist.";
        DnsServfail 502 "dns_servfail" "The origin's name could not be resolved.";
        DnsTimeout 504 "dns_timeout" "The resolver did not answer in time.";
        Status 502 "status" "The answer's status counts as a failure by the route's rule.";
        AnswerTooLarge 502 "answer_too_large" "The answer's body is larger than the route passes on.";
        TotalTimeout 504 "total_timeout" "The time for the whole exchange was over.";
        PoolFull 503 "pool_full" "The origin has as many connections as it may have, and the queue is full or slow.";
        LocalResource 503 "local_resource" "This host ran out of descriptors, ports or memory.";
    }
}

impl OriginFault {
    /// The error type of RFC 9209 section 2.3 for a Proxy-Status field.
    #[must_use]
    pub const fn proxy_status(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connection_refused",
            Self::ConnectUnreachable => "destination_ip_unroutable",
            Self::ConnectTimeout => "connection_timeout",
            Self::TlsVerify => "tls_certificate_error",
            Self::TlsAlert => "tls_alert_received",
            Self::TlsEof => "tls_protocol_error",
            Self::TlsTimeout => "connection_timeout",
            Self::WriteError | Self::ResetBeforeHeaders | Self::Unprocessed => "connection_terminated",
            Self::ProtocolMismatch => "http_protocol_error",
            Self::EofBeforeHeaders | Self::BodyTruncated => "http_response_incomplete",
            Self::HeaderTimeout | Self::BodyTimeout => "http_response_timeout",
            Self::MalformedHeaders | Self::BodyMalformed => "http_protocol_error",
            Self::NoTarget => "destination_unavailable",
            Self::DnsNxdomain | Self::DnsServfail => "dns_error",
            Self::DnsTimeout => "dns_timeout",
            Self::Status => "http_request_error",
            Self::AnswerTooLarge => "http_response_body_size",
            Self::TotalTimeout => "http_response_timeout",
            Self::PoolFull => "connection_limit_reached",
            Self::LocalResource | Self::TlsLocalError => "proxy_internal_error",
        }
    }

    /// The fault of this name, as rules of routes write it.
    #[must_use]
    pub fn of_token(token: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.token() == token)
    }

    /// Whether this fault says something about the origin (true) or only about this host (false).
    #[must_use]
    pub const fn blames_origin(self) -> bool {
        !matches!(self, Self::LocalResource | Self::TlsLocalError | Self::PoolFull)
    }
}
