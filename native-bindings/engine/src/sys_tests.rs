//! What `tune` asks for is what the kernel then says of the socket.

use super::*;
use std::net::TcpListener;

fn tuned(options: SocketOptions) -> OwnedFd {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let shared = Arc::new(SysShared::new(1).expect("an epoll and a bell"));
    let mut io = SysIo::new(shared, 0).expect("a clock");
    let socket = io.connect(listener.local_addr().expect("a bound socket")).expect("loopback");
    io.tune(&socket, &options);
    socket
}

#[test]
fn s3_15_keepalive_and_user_timeout_are_read_back_as_they_were_set() {
    let socket = tuned(SocketOptions { keepalive_ms: 60_000, user_timeout_ms: 20_500 });
    assert_eq!(sockopt::socket_keepalive(&socket), Ok(true));
    assert_eq!(sockopt::tcp_keepidle(&socket), Ok(Duration::from_secs(60)));
    assert_eq!(sockopt::tcp_keepintvl(&socket), Ok(Duration::from_secs(20)));
    assert_eq!(sockopt::tcp_user_timeout(&socket), Ok(20_500));
}

#[test]
fn s3_15_a_keepalive_below_the_kernels_second_is_one_second() {
    let socket = tuned(SocketOptions { keepalive_ms: 200, user_timeout_ms: 0 });
    assert_eq!(sockopt::tcp_keepidle(&socket), Ok(Duration::from_secs(1)));
    assert_eq!(sockopt::tcp_keepintvl(&socket), Ok(Duration::from_secs(1)));
}

#[test]
fn s3_15_zero_leaves_the_systems_own_times() {
    let socket = tuned(SocketOptions { keepalive_ms: 0, user_timeout_ms: 0 });
    assert_eq!(sockopt::socket_keepalive(&socket), Ok(false));
    assert_eq!(sockopt::tcp_user_timeout(&socket), Ok(0));
}
