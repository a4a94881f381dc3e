//! Start-ups of MySQL and MariaDB.
use crate::failure::{Failure, Reason};
use crate::session::Started;
use crate::shared::Seat;
use crate::stream::Socket;

pub(crate) async fn start(_seat: &mut Seat, _socket: Socket) -> Result<Option<Started>, Failure> {
    Err(Failure::new(Reason::ClientProtocol, "not yet"))
}
