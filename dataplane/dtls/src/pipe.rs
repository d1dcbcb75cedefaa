//! Where OpenSSL reads and writes: one datagram in, a queue of datagrams out.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Stands in for the socket under OpenSSL. One read takes a whole datagram, one write makes one.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) inbound: Option<Vec<u8>>,
    pub(crate) outbound: VecDeque<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(datagram) = self.inbound.take() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        // A datagram longer than OpenSSL's largest record is cut, and its last record dropped.
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outbound.push_back(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
