//! One datagram to the service manager that started us (sd_notify(3)). What is said is known elsewhere; here it is sent.

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with, sockopt};
use std::io::{Error, Result};
use std::time::Duration;

/// How long a manager that does not read may hold us up.
const SEND_MS_MAX: u64 = 1000;

/// `address`: a path, or "@" and the name of an abstract socket.
pub fn send(address: &str, text: &[u8]) -> Result<()> {
    let place = match address.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None if address.starts_with('/') => SocketAddrUnix::new(address)?,
        None => return Err(Error::other("it is neither an absolute path nor the name of an abstract socket")),
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(Duration::from_millis(SEND_MS_MAX)))?;
    sendto(&socket, text, SendFlags::NOSIGNAL, &place)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::send;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn received(socket: &UnixDatagram) -> Vec<u8> {
        let mut bytes = [0; 64];
        let count = socket.recv(&mut bytes).expect("a datagram has come");
        bytes[..count].to_vec()
    }

    #[test]
    fn what_is_said_arrives_at_a_socket_of_the_file_system() {
        let path = std::env::temp_dir().join(format!("millrace-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).expect("the path is free");
        let sent = send(path.to_str().expect("the path is text"), b"READY=1\n");
        std::fs::remove_file(&path).expect("the socket is there");
        sent.expect("somebody listens");
        assert_eq!(received(&socket), b"READY=1\n");
    }

    #[test]
    fn what_is_said_arrives_at_an_abstract_socket() {
        let name = format!("millrace/notify/{}", std::process::id());
        let place = SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&place).expect("the name is free");
        send(&format!("@{name}"), b"STOPPING=1").expect("somebody listens");
        assert_eq!(received(&socket), b"STOPPING=1");
    }

    #[test]
    fn a_place_where_nobody_listens_and_one_that_is_none_are_errors() {
        assert!(send("/nowhere/millrace", b"READY=1").is_err());
        assert!(send("vsock:2:1", b"READY=1").is_err());
        assert!(send("", b"READY=1").is_err());
    }
}
