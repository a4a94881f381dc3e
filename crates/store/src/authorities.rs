//! The certificate authorities of the regions: made when first asked for, kept sealed, the same ones ever after.

use crate::kv::Outcome;
use crate::records::{AuthorityRecord, Change, Record, Records, RecordsError};
use crate::seal::{MasterKey, SealError};
use iam::Region;
use pki::{Authority, CaIdentifier, PkiError};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Why an authority could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The records could not be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The key could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The authority could not be made or taken up.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Making the key was given up.
    #[error("making a certificate authority was interrupted")]
    Interrupted,
}

/// All authorities of a region, in the order of [`CaIdentifier::ALL`]; those that are not there yet are made.
pub async fn get_or_create(
    records: &Records,
    master_key: &MasterKey,
    region: &Region,
    now: OffsetDateTime,
) -> Result<Vec<Authority>, AuthorityError> {
    let mut authorities = Vec::with_capacity(CaIdentifier::ALL.len());
    for identifier in CaIdentifier::ALL {
        authorities.push(get_or_create_one(records, master_key, region, identifier, now).await?);
    }
    Ok(authorities)
}

/// One authority of a region; it is made if it is not there yet. Of several callers at once all get the same one.
pub async fn get_or_create_one(
    records: &Records,
    master_key: &MasterKey,
    region: &Region,
    identifier: CaIdentifier,
    now: OffsetDateTime,
) -> Result<Authority, AuthorityError> {
    let key = format!("{region}/{identifier}");
    loop {
        if let Some(found) = records.get::<AuthorityRecord>(&key).await? {
            return load(master_key, &found);
        }
        let made = {
            let region = region.clone();
            // An RSA key takes a tenth of a second and more.
            tokio::task::spawn_blocking(move || Authority::generate(region.as_str(), identifier, now))
                .await
                .map_err(|_| AuthorityError::Interrupted)??
        };
        let mut record = AuthorityRecord {
            region: region.clone(),
            identifier: identifier.to_string(),
            certificate: made.cert_pem().to_owned(),
            key: master_key.seal("", b"")?,
        };
        record.key = master_key.seal(&record.full_key(), made.key_pem().expose().as_bytes())?;
        // On a conflict somebody else was first: theirs is the authority.
        if let Outcome::Committed(_) = records.commit(Change::new().insert(&record)?).await? {
            return Ok(made);
        }
    }
}

fn load(master_key: &MasterKey, record: &AuthorityRecord) -> Result<Authority, AuthorityError> {
    let key: Zeroizing<Vec<u8>> = master_key.open(&record.full_key(), &record.key)?;
    let key = std::str::from_utf8(&key).map_err(|_| PkiError::Key)?;
    Ok(Authority::load(&record.certificate, key)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmbeddedStore;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_region_has_one_authority_of_a_kind_whoever_asks_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
        let records = Records::new(Arc::new(store));
        let key = MasterKey::new(&[7; 32]).unwrap();
        let region: Region = "us-east-1".parse().unwrap();
        let ask =
            || get_or_create_one(&records, &key, &region, CaIdentifier::Ecc384G1, OffsetDateTime::now_utc());
        let (one, other) = futures_util::future::join(ask(), ask()).await;
        let (one, other, later) = (one.unwrap(), other.unwrap(), ask().await.unwrap());
        assert_eq!(one.cert_pem(), other.cert_pem());
        assert_eq!(one.cert_pem(), later.cert_pem());

        let kept = records.store().range(AuthorityRecord::PREFIX).await.unwrap();
        let kept = String::from_utf8(kept.entries[0].value.clone()).unwrap();
        assert!(!kept.contains("PRIVATE KEY"), "{kept}");
        let stranger = MasterKey::new(&[8; 32]).unwrap();
        assert!(get_or_create(&records, &stranger, &region, OffsetDateTime::now_utc()).await.is_err());
    }
}
