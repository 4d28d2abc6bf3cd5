//! Sockets that a service manager opened for us (systemd's socket activation, sd_listen_fds(3)).
//!
//! `FileDescriptorName=` of the unit says what a socket is for: `http` is the public port, `internal` the internal one,
//! anything else the name of a `[[tcp]]`. A single socket without a name is the public port.

use std::net::TcpListener;

use anyhow::{Context, bail};

/// Sockets that wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    sockets: Vec<(String, TcpListener)>,
}

impl Passed {
    /// Takes what the environment names; nothing where the server was started in another way.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut descriptors = listenfd::ListenFd::from_env();
        let count = descriptors.len();
        let mut sockets = Vec::new();
        for (index, name) in names_of(count, &names).into_iter().enumerate() {
            let socket = descriptors.take_tcp_listener(index).with_context(|| {
                format!("take the socket {name:?} of LISTEN_FDS: it must be a listening TCP socket")
            })?;
            sockets.extend(socket.map(|socket| (name, socket)));
        }
        Ok(Self { sockets })
    }

    /// The socket with this name.
    pub(crate) fn take(&mut self, name: &str) -> Option<TcpListener> {
        let place = self.sockets.iter().position(|(known, _)| known == name)?;
        Some(self.sockets.swap_remove(place).1)
    }

    /// Fails if a socket was passed that nobody asked for: it would accept connections that nobody serves.
    pub(crate) fn all_taken(&self) -> anyhow::Result<()> {
        let names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        bail!(
            "nothing is configured for the passed socket {names:?}: FileDescriptorName= must be \"http\", \"internal\" or the \
             name of a [[tcp]]"
        );
    }
}

/// A name for each socket.
fn names_of(count: usize, names: &str) -> Vec<String> {
    let mut given = names.split(':');
    (0..count)
        .map(|index| match given.next() {
            // systemd calls a socket without a name "unknown", or by its unit.
            Some("" | "unknown") | None if index == 0 => "http".to_owned(),
            Some(name) if count == 1 && name.ends_with(".socket") => "http".to_owned(),
            Some(name) => name.to_owned(),
            None => "unknown".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(names_of(0, "").is_empty());
        assert_eq!(names_of(1, ""), ["http"]);
        assert_eq!(names_of(1, "jackfield.socket"), ["http"]);
        assert_eq!(names_of(2, "http:device"), ["http", "device"]);
        assert_eq!(names_of(2, "http"), ["http", "unknown"]);
    }

    #[test]
    fn each_is_taken_once_and_none_forgotten() {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let mut passed = Passed { sockets: vec![("http".to_owned(), socket()), ("device".to_owned(), socket())] };
        assert!(passed.take("http").is_some());
        assert!(passed.take("http").is_none());
        assert!(passed.all_taken().unwrap_err().to_string().contains("device"));
        assert!(passed.take("device").is_some());
        assert!(passed.all_taken().is_ok());
    }
}
