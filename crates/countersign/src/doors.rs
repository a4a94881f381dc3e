//! Opens and closes the socket doors as database servers come and go; what the engine needs of the doors, which it does
//! not know.

use doors::{SocketDoor, Verifier};
use engine::{Doors, OpenDoor};
use iam::ResourceId;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

/// The open doors.
pub(crate) struct DoorKeeper {
    verifier: Arc<Verifier>,
    stopped: watch::Receiver<bool>,
    open: Mutex<HashMap<ResourceId, Open>>,
}

struct Open {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl DoorKeeper {
    pub(crate) fn new(verifier: Arc<Verifier>, stopped: watch::Receiver<bool>) -> Self {
        Self { verifier, stopped, open: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl Doors for DoorKeeper {
    async fn open(&self, door: OpenDoor) -> Result<(), engine::DoorError> {
        let mut open = self.open.lock().await;
        if open.get(&door.resource_id).is_some_and(|open| !open.task.is_finished()) {
            return Ok(());
        }
        let socket = SocketDoor::bind(
            &door.socket_path,
            Some((door.server_uid, door.server_gid)),
            door.resource_id.as_str().into(),
            vec![door.server_uid],
            self.verifier.clone(),
        )?;
        let (stop, door_stopped) = watch::channel(false);
        let mut all_stopped = self.stopped.clone();
        let stop_with_all = stop.clone();
        let id = door.resource_id.clone();
        let task = tokio::spawn(async move {
            let serving = socket.serve(door_stopped);
            tokio::pin!(serving);
            let everything_stops = async { drop(all_stopped.wait_for(|stop| *stop).await) };
            let result = tokio::select! {
                result = &mut serving => result,
                () = everything_stops => {
                    stop_with_all.send_replace(true);
                    serving.await
                }
            };
            if let Err(error) = result {
                tracing::error!(database = %id, %error, "the door of a database broke: logins there are refused");
            }
        });
        open.insert(door.resource_id, Open { stop, task });
        Ok(())
    }

    async fn close(&self, id: &ResourceId) {
        let Some(Open { stop, task }) = self.open.lock().await.remove(id) else { return };
        stop.send_replace(true);
        if let Err(error) = task.await {
            tracing::error!(database = %id, %error, "the door of a database ended badly");
        }
    }
}
