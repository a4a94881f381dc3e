//! One database's task: it wakes when its records change, when its server ends and now and then by itself; reads what is
//! wanted, has it carried out, and writes the status.

use crate::database::{Database, Problem, Progress, Served};
use crate::reconcile::Context;
use crate::target::Target;
use iam::{ResourceId, ResourceKind};
use std::sync::Arc;
use std::time::Duration;
use store::records::{Cluster, ClusterStatus, Instance, InstanceStatus, State, Wanted};
use store::{Change, Outcome, Record, RecordsError, Versioned};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often a database is looked at without a reason: for its certificate, its logs and its maintenance window, the
/// shortest of which is open for half an hour.
const LOOK_EVERY: Duration = Duration::from_secs(15 * 60);
/// How often what a server's users may change is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(3);
/// A server that ran this long has not crashed in a row.
const STEADY: Duration = Duration::from_secs(60);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What comes after a pass.
enum Next {
    /// Nothing until something changes.
    Wait,
    /// Another pass: records changed meanwhile.
    Again,
    /// Nothing ever: the database is gone.
    Gone,
}

/// A database's task.
pub(crate) struct Task {
    context: Arc<Context>,
    id: ResourceId,
    database: Database,
    wake: Arc<Notify>,
    failures: u32,
    crashes: u32,
}

impl Task {
    pub(crate) fn new(context: Arc<Context>, id: ResourceId, wake: Arc<Notify>) -> Self {
        let database = Database::new(Arc::clone(&context), id.clone());
        Self { context, id, database, wake, failures: 0, crashes: 0 }
    }

    /// Works until the database is gone or `shutdown` says true. Whatever is under way then is left as it is: the next
    /// start finishes it.
    pub(crate) async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> ResourceId {
        let id = self.id.clone();
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = self.work() => {}
        }
        id
    }

    async fn work(&mut self) {
        loop {
            let pause = match self.pass().await {
                Ok(Next::Gone) => return,
                Ok(Next::Again) => continue,
                Ok(Next::Wait) => {
                    self.failures = 0;
                    LOOK_EVERY
                }
                Err(problem) => {
                    tracing::error!(database = %self.id, error = %problem, "not as wanted");
                    if let Err(error) = self.report(&problem).await {
                        tracing::error!(database = %self.id, %error, "its status cannot be written");
                    }
                    self.failures += 1;
                    pause_after(self.failures)
                }
            };
            self.wait(pause).await;
        }
    }

    /// Waits for a reason to look again.
    async fn wait(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        loop {
            let tick = if self.database.is_watching() { end.min(Instant::now() + WATCH_EVERY) } else { end };
            tokio::select! {
                () = self.wake.notified() => return,
                () = tokio::time::sleep_until(tick) => {}
                age = self.database.ended() => {
                    self.crashes = if age > STEADY { 0 } else { self.crashes };
                    let pause = if self.crashes == 0 { Duration::ZERO } else { pause_after(self.crashes) };
                    self.crashes += 1;
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    return;
                }
            }
            if tick >= end {
                return;
            }
            match self.database.look().await {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    tracing::debug!(database = %self.id, %error, "cannot look at what its users may have changed");
                }
            }
        }
    }

    async fn pass(&mut self) -> Result<Next, Problem> {
        match self.id.kind() {
            ResourceKind::Instance => match self.find::<Instance>(|instance| &instance.resource_id).await? {
                Some(instance) => self.instance(&instance).await,
                None => self.gone().await,
            },
            ResourceKind::Cluster => match self.find::<Cluster>(|cluster| &cluster.resource_id).await? {
                Some(cluster) => self.cluster(&cluster).await,
                None => self.gone().await,
            },
        }
    }

    /// The record with the resource id, whatever its name is by now.
    async fn find<R: Record>(
        &self,
        id: impl Fn(&R) -> &ResourceId,
    ) -> Result<Option<Versioned<R>>, RecordsError> {
        let all = self.context.records.list::<R>("").await?;
        Ok(all.into_iter().find(|found| id(&found.record) == &self.id))
    }

    async fn gone(&mut self) -> Result<Next, Problem> {
        // Its data is not touched: nobody has asked for that.
        self.database.halt().await?;
        Ok(Next::Gone)
    }

    async fn instance(&mut self, instance: &Versioned<Instance>) -> Result<Next, Problem> {
        let context = Arc::clone(&self.context);
        let status = context.records.get::<InstanceStatus>(&instance.key()).await?;
        match instance.wanted {
            Wanted::Deleted => {
                self.database.erase().await?;
                let change = remove_instance(Change::new(), instance, status.as_ref());
                return Ok(match context.records.commit(change).await? {
                    Outcome::Committed(_) => Next::Gone,
                    Outcome::Conflict => Next::Again,
                });
            }
            Wanted::Stopped => {
                self.database.halt().await?;
                let new = instance_status(instance, instance.generation, status.as_ref(), State::Stopped);
                return self.commit(Change::new().unchanged(instance), [Status::Instance(status, new)]).await;
            }
            Wanted::Running => {}
        }
        let due = instance.has_pending()
            && instance.maintenance_window().is_some_and(|window| window.contains(OffsetDateTime::now_utc()));
        if due {
            let mut changed = instance.record.clone();
            changed.apply_pending();
            let mut new = instance_status(instance, 0, status.as_ref(), State::Modifying);
            if changed.iam_auth != instance.iam_auth {
                new.state = State::ConfiguringIamDatabaseAuthentication;
            }
            new.generation = status.as_ref().map_or(0, |status| status.generation);
            let change = Change::new().replace(instance, &changed)?;
            self.commit(change, [Status::Instance(status, new)]).await?;
            return Ok(Next::Again);
        }
        let master =
            instance.master.as_ref().ok_or_else(|| Problem::Incomplete(instance.identifier.clone()))?;
        let target =
            Target::of_instance(instance, master, &context.settings.naming, &context.records).await?;
        let served = self.database.serve(&target, progress(&instance.resource_id, status.as_ref())).await?;
        let new = self.running(instance, instance.generation, status.as_ref(), &target, &served);
        self.commit(Change::new().unchanged(instance), [Status::Instance(status, new)]).await
    }

    async fn cluster(&mut self, cluster: &Versioned<Cluster>) -> Result<Next, Problem> {
        let context = Arc::clone(&self.context);
        let records = &context.records;
        let cluster_status = records.get::<ClusterStatus>(&cluster.key()).await?;
        let mut members = self.members(cluster).await?;
        if let Some(leaving) = members.iter().find(|member| member.wanted == Wanted::Deleted) {
            if members.first().is_some_and(|first| first.resource_id == leaving.resource_id) {
                self.database.halt().await?;
            }
            let mut without = cluster.record.clone();
            without.members.remove(&leaving.identifier);
            let status = records.get::<InstanceStatus>(&leaving.key()).await?;
            let change = remove_instance(Change::new().replace(cluster, &without)?, leaving, status.as_ref());
            // Either way the picture is another one now.
            let _outcome: Outcome = records.commit(change).await?;
            return Ok(Next::Again);
        }
        if cluster.wanted == Wanted::Deleted {
            if !members.is_empty() {
                return Ok(Next::Wait);
            }
            self.database.erase().await?;
            let change = Change::new().delete(cluster);
            let change = cluster_status.iter().fold(change, Change::delete);
            return Ok(match records.commit(change).await? {
                Outcome::Committed(_) => Next::Gone,
                Outcome::Conflict => Next::Again,
            });
        }
        let due = cluster.has_pending()
            && cluster.maintenance_window().is_some_and(|window| window.contains(OffsetDateTime::now_utc()));
        if due && cluster.wanted == Wanted::Running {
            let mut changed = cluster.record.clone();
            changed.apply_pending();
            let mut new = new_cluster_status(cluster, State::UpdateIamDbAuth);
            new.generation = cluster_status.as_ref().map_or(0, |status| status.generation);
            let change = Change::new().replace(cluster, &changed)?;
            self.commit(change, [Status::Cluster(cluster_status, new)]).await?;
            return Ok(Next::Again);
        }
        let state = if cluster.wanted == Wanted::Running { State::Available } else { State::Stopped };
        let new_cluster = new_cluster_status(cluster, state);
        let change = Change::new().unchanged(cluster);
        if members.is_empty() {
            self.database.halt().await?;
            return self.commit(change, [Status::Cluster(cluster_status, new_cluster)]).await;
        }
        let member = members.remove(0);
        for other in members {
            let status = records.get::<InstanceStatus>(&other.key()).await?;
            let mut new = instance_status(&other, other.generation, status.as_ref(), State::Failed);
            new.message = Some(Problem::SecondMember(member.identifier.clone()).to_string());
            self.commit(Change::new().unchanged(&other), [Status::Instance(status, new)]).await?;
        }
        let status = records.get::<InstanceStatus>(&member.key()).await?;
        let generation = cluster.generation + member.generation;
        let new = if cluster.wanted == Wanted::Running && member.wanted == Wanted::Running {
            let target = Target::of_member(cluster, &member, &context.settings.naming, records).await?;
            let served = self.database.serve(&target, progress(&member.resource_id, status.as_ref())).await?;
            self.running(&member, generation, status.as_ref(), &target, &served)
        } else {
            self.database.halt().await?;
            instance_status(&member, generation, status.as_ref(), State::Stopped)
        };
        let statuses = [Status::Instance(status, new), Status::Cluster(cluster_status, new_cluster)];
        self.commit(change.unchanged(&member), statuses).await
    }

    /// The instances of a cluster, the one that serves it first.
    async fn members(&self, cluster: &Cluster) -> Result<Vec<Versioned<Instance>>, RecordsError> {
        let all = self.context.records.list::<Instance>(&format!("{}/", cluster.region)).await?;
        Ok(all.into_iter().filter(|i| i.cluster.as_deref() == Some(cluster.identifier.as_str())).collect())
    }

    fn running(
        &self,
        instance: &Instance,
        generation: u64,
        old: Option<&Versioned<InstanceStatus>>,
        target: &Target,
        served: &Served,
    ) -> InstanceStatus {
        let message = (!served.left_out.is_empty()).then(|| served.left_out.join("; "));
        InstanceStatus {
            message,
            password_generation: target.master.generation,
            reboots: target.reboots,
            certificate_valid_till: Some(served.certificate_valid_till),
            door: Some(served.door.to_owned()),
            ..instance_status(instance, generation, old, State::Available)
        }
    }

    /// Writes statuses, those that say something new.
    async fn commit(
        &self,
        mut change: Change,
        statuses: impl IntoIterator<Item = Status>,
    ) -> Result<Next, Problem> {
        let mut anything = false;
        for status in statuses {
            (change, anything) = match status {
                Status::Instance(old, new) => write(change, anything, old.as_ref(), &new)?,
                Status::Cluster(old, new) => write(change, anything, old.as_ref(), &new)?,
            };
        }
        if !anything {
            return Ok(Next::Wait);
        }
        Ok(match self.context.records.commit(change).await? {
            Outcome::Committed(_) => Next::Wait,
            Outcome::Conflict => Next::Again,
        })
    }

    /// Writes what went wrong into the status. A deletion goes on being one.
    async fn report(&self, problem: &Problem) -> Result<(), Problem> {
        let records = &self.context.records;
        let message = Some(problem.to_string());
        let failed = |wanted| if wanted == Wanted::Deleted { State::Deleting } else { State::Failed };
        let mut instances = Vec::new();
        match self.id.kind() {
            ResourceKind::Instance => instances.extend(self.find::<Instance>(|i| &i.resource_id).await?),
            ResourceKind::Cluster => {
                let Some(cluster) = self.find::<Cluster>(|c| &c.resource_id).await? else { return Ok(()) };
                instances.extend(self.members(&cluster).await?.into_iter().next());
                let old = records.get::<ClusterStatus>(&cluster.key()).await?;
                let mut new = new_cluster_status(&cluster, failed(cluster.wanted));
                new.generation = old.as_ref().map_or(0, |old| old.generation);
                new.message.clone_from(&message);
                self.commit(Change::new().unchanged(&cluster), [Status::Cluster(old, new)]).await?;
            }
        }
        for instance in instances {
            let old = records.get::<InstanceStatus>(&instance.key()).await?;
            let generation = old.as_ref().map_or(0, |old| old.generation);
            let mut new = instance_status(&instance, generation, old.as_ref(), failed(instance.wanted));
            new.message.clone_from(&message);
            self.commit(Change::new().unchanged(&instance), [Status::Instance(old, new)]).await?;
        }
        Ok(())
    }
}

/// A status as it was read, and as it shall be.
enum Status {
    Instance(Option<Versioned<InstanceStatus>>, InstanceStatus),
    Cluster(Option<Versioned<ClusterStatus>>, ClusterStatus),
}

fn write<R: Record>(
    change: Change,
    anything: bool,
    old: Option<&Versioned<R>>,
    new: &R,
) -> Result<(Change, bool), RecordsError> {
    let same = |old: &Versioned<R>| serde_json::to_vec(&old.record).ok() == serde_json::to_vec(new).ok();
    Ok(match old {
        Some(old) if same(old) => (change.unchanged(old), anything),
        Some(old) => (change.replace(old, new)?, true),
        None => (change.insert(new)?, true),
    })
}

fn remove_instance(
    change: Change,
    instance: &Versioned<Instance>,
    status: Option<&Versioned<InstanceStatus>>,
) -> Change {
    status.into_iter().fold(change.delete(instance), Change::delete)
}

fn progress(id: &ResourceId, status: Option<&Versioned<InstanceStatus>>) -> Progress {
    // A status of an instance that had the name before says nothing.
    status.filter(|status| &status.resource_id == id).map_or_else(Progress::default, |status| Progress {
        generation: status.generation,
        password_generation: status.password_generation,
        reboots: status.reboots,
    })
}

/// A status that keeps what the old one knows.
fn instance_status(
    instance: &Instance,
    generation: u64,
    old: Option<&Versioned<InstanceStatus>>,
    state: State,
) -> InstanceStatus {
    let old = old.filter(|old| old.resource_id == instance.resource_id);
    InstanceStatus {
        region: instance.region.clone(),
        identifier: instance.identifier.clone(),
        resource_id: instance.resource_id.clone(),
        state,
        message: None,
        generation,
        password_generation: old.map_or(0, |old| old.password_generation),
        reboots: old.map_or(0, |old| old.reboots),
        certificate_valid_till: old.and_then(|old| old.certificate_valid_till),
        door: old.and_then(|old| old.door.clone()),
    }
}

fn new_cluster_status(cluster: &Cluster, state: State) -> ClusterStatus {
    ClusterStatus {
        region: cluster.region.clone(),
        identifier: cluster.identifier.clone(),
        resource_id: cluster.resource_id.clone(),
        state,
        message: None,
        generation: cluster.generation,
    }
}

/// One second, doubled with each failure in a row.
fn pause_after(failures: u32) -> Duration {
    let seconds = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds: Vec<u64> = [1, 2, 3, 6, 7, 64, u32::MAX].map(|n| pause_after(n).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60]);
    }
}
