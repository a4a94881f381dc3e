//! Drives a start-up with a peer that says what the fuzzer thinks of, in pieces that the fuzzer chooses: whatever the pieces,
//! it comes to the same.

use bytes::BytesMut;
use gateway::{Conversation, Next};

/// What the fuzzer thinks of.
pub struct Peer<'a> {
    /// For what a target wants to choose.
    pub choice: u8,
    /// The pieces' lengths, less one, over and over.
    cuts: &'a [u8],
    /// Before TLS, and in it.
    pub plain: &'a [u8],
    pub tls: &'a [u8],
}

impl<'a> Peer<'a> {
    /// A choice, two lengths, the cuts, the plain bytes, the rest.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (&[choice, cuts, plain], bytes) = bytes.split_first_chunk()?;
        let (cuts, bytes) = bytes.split_at_checked(usize::from(cuts % 8))?;
        let (plain, tls) = bytes.split_at_checked(usize::from(plain))?;
        Some(Self { choice, cuts, plain, tls })
    }
}

/// What a conversation came to.
#[derive(Debug, PartialEq)]
pub enum End {
    /// It is done. Its outcome, as `Debug` shows it.
    Done(String),
    Failed(String),
    Waits,
    /// Plain bytes were there, or still to come, when TLS was to begin.
    PlainBeforeTls,
}

/// Its end, and what it sent before TLS and in it.
#[derive(Debug)]
pub struct Run<T> {
    pub end: End,
    pub outcome: Option<T>,
    pub sent: [Vec<u8>; 2],
    left: Vec<u8>,
}

/// Has it once with each phase in one piece and once in pieces, and gives what it came to.
pub fn talk<C: Conversation>(
    peer: &Peer<'_>,
    machine: impl Fn() -> C,
    early: impl Fn(&C::Error) -> bool,
) -> Run<C::Outcome>
where
    C::Outcome: std::fmt::Debug,
{
    let whole = run(machine(), [peer.plain, peer.tls], &[], &early);
    let cut = run(machine(), [peer.plain, peer.tls], peer.cuts, &early);
    assert_eq!(whole.end, cut.end);
    if whole.end != End::PlainBeforeTls {
        assert_eq!(whole.sent, cut.sent);
        assert!(matches!(whole.end, End::Failed(_)) || whole.left == cut.left);
    }
    whole
}

fn run<C: Conversation>(
    mut machine: C,
    phases: [&[u8]; 2],
    cuts: &[u8],
    early: impl Fn(&C::Error) -> bool,
) -> Run<C::Outcome>
where
    C::Outcome: std::fmt::Debug,
{
    let mut cuts = cuts.iter().cycle();
    let mut input = BytesMut::new();
    let mut sent = [BytesMut::new(), BytesMut::new()];
    let mut outcome = None;
    let mut end = End::Waits;
    'phases: for (mut rest, output) in phases.into_iter().zip(&mut sent) {
        loop {
            match machine.advance(&mut input, output) {
                Ok(Next::Read) if rest.is_empty() => break 'phases,
                Ok(Next::Read) => {
                    let length = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
                    let (piece, after) = rest.split_at(length.min(rest.len()));
                    input.extend_from_slice(piece);
                    rest = after;
                }
                Ok(Next::StartTls) if rest.is_empty() => {
                    assert!(input.is_empty());
                    break;
                }
                Ok(Next::StartTls) => {
                    end = End::PlainBeforeTls;
                    break 'phases;
                }
                Ok(Next::Done(done)) => {
                    input.extend_from_slice(rest);
                    end = End::Done(format!("{done:?}"));
                    outcome = Some(done);
                    break 'phases;
                }
                Err(error) => {
                    end = if early(&error) { End::PlainBeforeTls } else { End::Failed(error.to_string()) };
                    // It stays so.
                    assert!(machine.advance(&mut input, &mut BytesMut::new()).is_err());
                    break 'phases;
                }
            }
        }
    }
    Run { end, outcome, sent: sent.map(|output| output.to_vec()), left: input.to_vec() }
}
