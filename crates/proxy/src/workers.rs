//! The threads that serve connections: each with a runtime of its own, and a connection stays where it was put.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::session::run;
use crate::shared::{Seat, Shared};
use crate::stream::Accepted;

/// How many connections a thread takes before the next is put to use. Connections that share a thread share its wake-ups:
/// a few busy ones are served with fewer switches by one thread than by several, and one is far from its limit with them.
const TOGETHER: usize = 8;

/// A connection on its way to a thread.
struct Arrived {
    seat: Seat,
    accepted: Accepted,
    startup: OwnedSemaphorePermit,
}

struct Worker {
    /// As many as may be starting up: what goes in is bounded by that.
    inbox: mpsc::UnboundedSender<Arrived>,
    connections: Arc<AtomicUsize>,
}

/// All threads.
pub(crate) struct Workers(Vec<Worker>);

impl Workers {
    /// Starts as many as the process may use processors. They end when this is dropped and their connections are gone.
    pub(crate) fn start() -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (inbox, mut arrivals) = mpsc::unbounded_channel::<Arrived>();
            let serve = async move {
                let mut sessions = tokio::task::JoinSet::new();
                loop {
                    tokio::select! {
                        biased;
                        // Reaps: a set keeps what ended until it is asked.
                        Some(_) = sessions.join_next() => {}
                        arrived = arrivals.recv() => {
                            let Some(Arrived { seat, accepted, startup }) = arrived else { break };
                            let enter = seat.entry();
                            enter(sessions.spawn(run(seat, accepted, startup)));
                        }
                    }
                }
                while sessions.join_next().await.is_some() {}
            };
            let thread = std::thread::Builder::new()
                .name(format!("proxy-{number}"))
                .spawn(move || runtime.block_on(serve))?;
            threads.push(thread);
            workers.push(Worker { inbox, connections: Arc::default() });
        }
        Ok((Self(workers), threads))
    }

    /// Gives a connection to the first thread that has room for one more of those that go [`TOGETHER`]; when all have as
    /// many, to the one that has the fewest.
    pub(crate) fn serve(
        &self,
        shared: &Arc<Shared>,
        accepted: Accepted,
        client: Option<std::net::SocketAddr>,
        local: bool,
        startup: OwnedSemaphorePermit,
    ) {
        let loads = self.0.iter().map(|worker| worker.connections.load(Ordering::Relaxed));
        let Some(worker) = choose(loads).and_then(|chosen| self.0.get(chosen)) else { return };
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let seat = Seat::new(shared.clone(), worker.connections.clone(), client, local);
        if worker.inbox.send(Arrived { seat, accepted, startup }).is_err() {
            tracing::error!("a thread of the proxy has ended");
        }
    }
}

/// Which of threads with so many connections takes the next one.
fn choose(loads: impl Iterator<Item = usize> + Clone) -> Option<usize> {
    let room = loads.clone().position(|load| load < TOGETHER);
    room.or_else(|| loads.enumerate().min_by_key(|(_, load)| *load).map(|(number, _)| number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_fill_up_and_then_share() {
        let mut loads = [0; 3];
        let mut order = Vec::new();
        for _ in 0..3 * TOGETHER + 6 {
            let chosen = choose(loads.iter().copied()).unwrap();
            loads[chosen] += 1;
            order.push(chosen);
        }
        assert_eq!(order[..TOGETHER], [0; TOGETHER]);
        assert_eq!(order[TOGETHER..2 * TOGETHER], [1; TOGETHER]);
        assert_eq!(loads, [TOGETHER + 2; 3]);
        // What ended makes room where it was.
        assert_eq!(choose([9, 7, 30].into_iter()), Some(1));
        assert_eq!(choose(std::iter::empty()), None);
    }
}
