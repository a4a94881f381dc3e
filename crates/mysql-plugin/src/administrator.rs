//! The door for Countersign's own sessions on the servers that it runs: whoever comes through the server's Unix
//! socket as one of the user ids in the account's string. It asks nobody, so that Countersign can repair a server
//! while it answers nothing itself.

use crate::login::Protocol;

/// Whether a client may log in to an account with the string `admitted`; `peer` is who the kernel says connected.
pub(crate) fn judge(protocol: Protocol, peer: Option<u32>, admitted: &[u8]) -> Result<u32, String> {
    let shown = admitted.escape_ascii();
    if protocol != Protocol::UnixSocket {
        return Err("only the server's Unix socket leads to this account".to_owned());
    }
    let Some(uids) = user_ids(admitted) else {
        return Err(format!("`{shown}` is no list of user ids; alter the account to one like `0,112`"));
    };
    match peer {
        Some(peer) if uids.contains(&peer) => Ok(peer),
        Some(peer) => Err(format!("user id {peer} is not in `{shown}`")),
        None => Err("the system does not tell who connected".to_owned()),
    }
}

/// Decimal user ids separated by commas, at least one; `None` for anything else.
pub(crate) fn user_ids(text: &[u8]) -> Option<Vec<u32>> {
    let text = std::str::from_utf8(text).ok()?;
    text.split(',').map(user_id).collect()
}

fn user_id(digits: &str) -> Option<u32> {
    // `parse` would take a sign too. The last number means "no user" to the system.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|uid| plain && *uid != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_users_and_only_through_the_socket() {
        assert_eq!(judge(Protocol::UnixSocket, Some(0), b"0"), Ok(0));
        assert_eq!(judge(Protocol::UnixSocket, Some(112), b"0,112"), Ok(112));
        for (protocol, peer, admitted) in [
            (Protocol::Tcp, Some(0), &b"0"[..]),
            (Protocol::Other, Some(0), b"0"),
            (Protocol::UnixSocket, None, b"0"),
            (Protocol::UnixSocket, Some(1), b"0,112"),
            (Protocol::UnixSocket, Some(0), b""),
            (Protocol::UnixSocket, Some(0), b"0,"),
            (Protocol::UnixSocket, Some(0), b"root"),
        ] {
            assert!(judge(protocol, peer, admitted).is_err(), "{protocol:?} {peer:?} {admitted:?}");
        }
    }

    #[test]
    fn a_list_is_understood_as_a_whole_or_not_at_all() {
        assert_eq!(user_ids(b"0,112,4294967294"), Some(vec![0, 112, 4_294_967_294]));
        for text in
            [&b""[..], b",", b"0,", b"0, 1", b"+0", b"-1", b"0x0", b"4294967295", b"4294967296", b"\xff"]
        {
            assert_eq!(user_ids(text), None, "{text:?}");
        }
    }
}
