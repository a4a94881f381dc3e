//! The session once it has begun: bytes of both directions, untouched, as fast as they come.
//!
//! One future polls both directions. What is read goes through a buffer that all sessions of a thread share and is sent on
//! at once; only what the other side does not take yet is kept, and nothing more is read for it until it does. So an idle
//! session holds no buffer, and a peer that does not read holds at most one read's worth of memory.

use std::cell::RefCell;
use std::io::{self, BufRead as _, IoSlice, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::Connection;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::stream::Socket;

/// How much is read from a socket at a time: four of TLS's longest records.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch { raw: vec![0; CHUNK], plain: Vec::with_capacity(CHUNK) });
}

/// What the sessions of a thread share: filled and emptied within one poll.
struct Scratch {
    raw: Vec<u8>,
    plain: Vec<u8>,
}

/// Bytes that have passed, in both directions. Written by the session alone, read by whoever wants to know.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// From the client to the server.
    pub(crate) up: AtomicU64,
    /// From the server to the client.
    pub(crate) down: AtomicU64,
}

/// With one writer there is no need for a locked addition.
fn add(counter: &AtomicU64, bytes: usize) {
    counter.store(counter.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
}

/// One of the two connections.
pub(crate) struct Side {
    socket: Socket,
    tls: Option<Box<Connection>>,
    /// Accepted for the peer and not sent yet. With TLS it is in `tls`, encrypted.
    pending: BytesMut,
    /// TLS has said that nothing more will come.
    over: bool,
    /// TLS has been told that nothing more will come.
    told: bool,
}

impl Side {
    /// A connection whose start-up is over. `tls` must have no plaintext left to read.
    pub(crate) fn new(socket: Socket, tls: Option<Connection>) -> Self {
        let tls = tls.map(|mut tls| {
            // Bounded by what is read at a time: nothing is written before the last was sent.
            tls.set_buffer_limit(None);
            Box::new(tls)
        });
        Self { socket, tls, pending: BytesMut::new(), over: false, told: false }
    }

    /// Sends what is kept. Ready when nothing is.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                let mut socket = Sending { socket: &mut self.socket, cx };
                match tls.write_tls(&mut socket) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            return Poll::Ready(Ok(()));
        }
        if self.pending.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.pending.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.pending))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(sent);
        }
        // Gives the memory back.
        self.pending = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Sends, or keeps what cannot be sent yet. Nothing may be kept from before.
    fn send(&mut self, cx: &mut Context<'_>, mut data: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(data)?;
            return match self.poll_flush(cx) {
                Poll::Ready(sent) => sent,
                Poll::Pending => Ok(()),
            };
        }
        while !data.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, data) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => data = data.get(sent..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.pending.extend_from_slice(data);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What has come; nothing at the end.
    fn poll_receive<'a>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &'a mut Scratch,
    ) -> Poll<io::Result<&'a [u8]>> {
        let Scratch { raw, plain } = scratch;
        let Some(tls) = &mut self.tls else {
            let mut buffer = ReadBuf::new(raw);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            let length = buffer.filled().len();
            return Poll::Ready(Ok(raw.get(..length).unwrap_or_default()));
        };
        plain.clear();
        while plain.is_empty() && !self.over {
            let mut buffer = ReadBuf::new(raw);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            let mut came = buffer.filled();
            self.over = came.is_empty();
            while !came.is_empty() && !self.over {
                tls.read_tls(&mut came)?;
                let state = match tls.process_new_packets() {
                    Ok(state) => state,
                    Err(error) => {
                        // The alert that tells the peer, if it can still be told.
                        let mut socket = Sending { socket: &mut self.socket, cx };
                        drop(tls.write_tls(&mut socket));
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                    }
                };
                self.over = state.peer_has_closed();
                take_plaintext(tls, plain)?;
            }
            if tls.wants_write() {
                // An answer of TLS itself, such as to a new key. What cannot be sent now is sent with what comes next.
                let mut socket = Sending { socket: &mut self.socket, cx };
                match tls.write_tls(&mut socket) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        return Poll::Ready(Err(error));
                    }
                    _ => {}
                }
            }
        }
        Poll::Ready(Ok(plain))
    }

    /// Tells the peer that nothing more will come, after all that was to be sent.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls
            && !self.told
        {
            tls.send_close_notify();
            self.told = true;
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Moves all that is decrypted to the end of `plain`.
fn take_plaintext(tls: &mut Connection, plain: &mut Vec<u8>) -> io::Result<()> {
    let mut reader = tls.reader();
    loop {
        let length = match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(chunk) => {
                plain.extend_from_slice(chunk);
                chunk.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        reader.consume(length);
    }
}

/// What TLS has decrypted during the start-up and nobody has read yet.
pub(crate) fn leftover_plaintext(tls: &mut Connection) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    take_plaintext(tls, &mut plain)?;
    Ok(plain)
}

/// A socket as TLS writes to it.
struct Sending<'a, 'b, 'c> {
    socket: &'a mut Socket,
    cx: &'b mut Context<'c>,
}

impl Sending<'_, '_, '_> {
    fn sent(written: Poll<io::Result<usize>>) -> io::Result<usize> {
        match written {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Sending<'_, '_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Self::sent(Pin::new(&mut *self.socket).poll_write(self.cx, data))
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::sent(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, data))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How far a direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// The source has ended, and the sink is to be told.
    Ending,
    /// Nothing more to do: the sink has been told, or takes nothing any more.
    Done,
}

/// Both connections of a session. Over when both directions are.
pub(crate) struct Relay<'a> {
    client: Side,
    server: Side,
    up: Flow,
    down: Flow,
    passed: &'a Passed,
}

impl<'a> Relay<'a> {
    /// `to_server` and `to_client` go first: what was read too much during the start-up.
    pub(crate) fn new(
        mut client: Side,
        mut server: Side,
        to_server: &[u8],
        to_client: &[u8],
        passed: &'a Passed,
    ) -> io::Result<Self> {
        for (side, first, counter) in
            [(&mut server, to_server, &passed.up), (&mut client, to_client, &passed.down)]
        {
            match &mut side.tls {
                Some(tls) => tls.writer().write_all(first)?,
                None => side.pending.extend_from_slice(first),
            }
            add(counter, first.len());
        }
        Ok(Self { client, server, up: Flow::Open, down: Flow::Open, passed })
    }
}

impl Future for Relay<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { client, server, up, down, passed } = &mut *self;
        SCRATCH.with_borrow_mut(|scratch| {
            let up = pump(cx, client, server, up, &passed.up, scratch)?;
            let down = pump(cx, server, client, down, &passed.down, scratch)?;
            if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
    }
}

/// Moves what can be moved. An error is that of the source; a sink that takes nothing any more ends its direction alone,
/// for its last words may still be on their way in the other.
fn pump(
    cx: &mut Context<'_>,
    from: &mut Side,
    to: &mut Side,
    flow: &mut Flow,
    passed: &AtomicU64,
    scratch: &mut Scratch,
) -> Poll<io::Result<()>> {
    loop {
        match flow {
            Flow::Open => {
                if ready!(to.poll_flush(cx)).is_err() {
                    *flow = Flow::Done;
                    continue;
                }
                let data = ready!(from.poll_receive(cx, scratch))?;
                if data.is_empty() {
                    *flow = Flow::Ending;
                } else if to.send(cx, data).is_ok() {
                    add(passed, data.len());
                } else {
                    *flow = Flow::Done;
                }
            }
            Flow::Ending => {
                // Whether it could be told or not: this direction is over.
                drop(ready!(to.poll_finish(cx)));
                *flow = Flow::Done;
            }
            Flow::Done => return Poll::Ready(Ok(())),
        }
    }
}
