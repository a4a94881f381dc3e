//! When an access key was last used by a call: noted off the call's path, and not more often than is worth a write.

use crate::{Service, Services};
use iam::{AccessKeyId, Credential, KeyKind, Region};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::Change;
use store::records::{AccessKey, LastUsed};
use time::{Duration, OffsetDateTime};

/// A use is kept if the last one that was kept is as old as this, or was of another service or region.
const GRAIN: Duration = Duration::minutes(15);

/// The most keys that are remembered; beyond, all are forgotten and noted anew.
const REMEMBERED: usize = 10_000;

#[derive(Default)]
pub(crate) struct LastUses {
    noted: Mutex<HashMap<AccessKeyId, (OffsetDateTime, Service, Region)>>,
}

impl LastUses {
    /// Notes a use of a long-term key.
    pub(crate) fn note(
        &self,
        services: &Arc<Services>,
        credential: &Credential,
        service: Service,
        region: &Region,
        now: OffsetDateTime,
    ) {
        let id = credential.id;
        if id.kind() != KeyKind::LongTerm || !self.is_news(id, service, region, now) {
            return;
        }
        let used = LastUsed { id, at: now, service: service.name().to_owned(), region: region.to_string() };
        let services = services.clone();
        tokio::spawn(async move {
            if let Err(error) = keep(&services, used).await {
                tracing::warn!(%error, key = %id, "the last use of an access key was not kept");
            }
        });
    }

    fn is_news(&self, id: AccessKeyId, service: Service, region: &Region, now: OffsetDateTime) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&id).is_some_and(|(at, s, r)| now - *at < GRAIN && *s == service && r == region) {
            return false;
        }
        if noted.len() >= REMEMBERED {
            noted.clear();
        }
        noted.insert(id, (now, service, region.clone()));
        true
    }
}

/// A conflict means that somebody else kept a use of the same moment, or that the key is gone: either is fine.
async fn keep(services: &Services, used: LastUsed) -> Result<(), store::RecordsError> {
    let Some(key) = services.records.get::<AccessKey>(used.id.as_str()).await? else { return Ok(()) };
    let change = Change::new().unchanged(&key);
    let change = match services.records.get::<LastUsed>(used.id.as_str()).await? {
        Some(old) if old.at >= used.at => return Ok(()),
        Some(old) => change.replace(&old, &used)?,
        None => change.insert(&used)?,
    };
    services.records.commit(change).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_use_is_news_after_a_while_or_elsewhere() {
        let uses = LastUses::default();
        let id = AccessKeyId::generate(KeyKind::LongTerm, &[1; 16]);
        let (here, there): (Region, Region) = ("us-east-1".parse().unwrap(), "eu-west-1".parse().unwrap());
        let at = datetime!(2026-01-01 0:00 UTC);
        assert!(uses.is_news(id, Service::Iam, &here, at));
        assert!(!uses.is_news(id, Service::Iam, &here, at + Duration::minutes(14)));
        assert!(uses.is_news(id, Service::Sts, &here, at));
        assert!(uses.is_news(id, Service::Sts, &there, at));
        assert!(uses.is_news(id, Service::Sts, &there, at + Duration::minutes(15)));
    }
}
