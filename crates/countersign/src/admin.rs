//! The administrator that a first start makes, and the file its credentials lie in.

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iam::{AccessKeyId, AccountId, IdKind, KeyKind, UniqueId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use store::records::{AccessKey, Account, Change, KeyStatus, Record, Records, User};
use store::{MasterKey, Outcome, Versioned};
use time::OffsetDateTime;
use zeroize::Zeroizing;

const ADMINISTRATOR_ACCESS: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// The account that is served where none is named.
const DEFAULT_ACCOUNT: &str = "123456789012";

/// The administrator's credentials, as they lie in the data directory.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Credentials {
    /// The access key id.
    pub(crate) access_key_id: String,
    /// The secret access key.
    pub(crate) secret_access_key: Zeroizing<String>,
}

impl Credentials {
    fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("administrator.toml")
    }

    /// Reads the file that a first start wrote.
    pub(crate) fn read(data_dir: &Path) -> anyhow::Result<Self> {
        let path = Self::file(data_dir);
        let text = Zeroizing::new(std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read the administrator's credentials `{}`; has `countersign serve` run on this data directory?", path.display())
        })?);
        // The parser's message would quote the line, and with it the secret.
        toml::from_str(&text)
            .map_err(|_| anyhow::anyhow!("`{}` is not what a first start wrote there", path.display()))
    }

    fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = Self::file(data_dir);
        let text = Zeroizing::new(toml::to_string(self)?);
        write_private(&path, text.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))
    }
}

/// Writes a file that nobody else may read, in one step.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    store::write_whole(path, bytes, 0o600)
}

/// Opens the account of a data directory; on the first start it is made, with an administrator.
///
/// The credentials are on disk before the user is in the store: a crash in between leaves a file that the next start
/// writes anew, never a user whose secret nobody has.
pub(crate) async fn open_account(
    data_dir: &Path,
    records: &Records,
    master_key: &MasterKey,
    asked: Option<AccountId>,
    now: OffsetDateTime,
) -> anyhow::Result<AccountId> {
    if let Some(account) = records.get::<Account>(Account::KEY).await? {
        if !Account::READ.contains(&account.format) {
            bail!(
                "the data directory has format {}, this version of countersign reads formats {} to {}",
                account.format,
                Account::READ.start(),
                Account::READ.end()
            );
        }
        if let Some(asked) = asked.filter(|asked| *asked != account.account) {
            bail!(
                "--account-id is `{asked}`, but the data directory belongs to account `{}`",
                account.account
            );
        }
        return take_over(records, &account).await;
    }
    let account = match asked {
        Some(account) => account,
        None => DEFAULT_ACCOUNT.parse()?,
    };
    let (user, key, credentials) = administrator(master_key, now)?;
    credentials.write(data_dir)?;
    let change = Change::new()
        .insert(&Account { format: Account::FORMAT, account, created: now })?
        .insert(&user)?
        .insert(&key)?;
    match records.commit(change).await? {
        Outcome::Committed(_) => Ok(account),
        Outcome::Conflict => bail!("the data directory was opened by two processes at once"),
    }
}

/// Marks a data directory as one of this version's: from here on an older version refuses it.
async fn take_over(records: &Records, old: &Versioned<Account>) -> anyhow::Result<AccountId> {
    if old.format == Account::FORMAT {
        return Ok(old.account);
    }
    let new = Account { format: Account::FORMAT, ..old.record.clone() };
    match records.commit(Change::new().replace(old, &new)?).await? {
        Outcome::Committed(_) => {
            tracing::info!(from = old.format, to = new.format, "the data directory has a new format");
            Ok(old.account)
        }
        Outcome::Conflict => bail!("the data directory was opened by two processes at once"),
    }
}

fn administrator(
    master_key: &MasterKey,
    now: OffsetDateTime,
) -> anyhow::Result<(User, AccessKey, Credentials)> {
    let user = User {
        name: "administrator".parse()?,
        id: UniqueId::generate(IdKind::User, &random()?),
        path: iam::Path::default(),
        created: now,
        tags: BTreeMap::new(),
        attached: BTreeSet::from([ADMINISTRATOR_ACCESS.parse()?]),
        inline: BTreeMap::new(),
        groups: BTreeSet::new(),
        boundary: None,
    };
    let id = AccessKeyId::generate(KeyKind::LongTerm, &random()?);
    let secret = secret_access_key()?;
    let mut key = AccessKey {
        id,
        user: user.name.clone(),
        status: KeyStatus::Active,
        created: now,
        secret: master_key.seal("", b"")?,
    };
    key.secret = master_key.seal(&key.full_key(), secret.as_bytes())?;
    Ok((user, key, Credentials { access_key_id: id.to_string(), secret_access_key: secret }))
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no randomness"))?;
    Ok(bytes)
}

/// Forty characters of the base64 alphabet: 240 random bits.
fn secret_access_key() -> anyhow::Result<Zeroizing<String>> {
    Ok(Zeroizing::new(STANDARD.encode(Zeroizing::new(random::<30>()?).as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use store::EmbeddedStore;

    struct Opened {
        folder: tempfile::TempDir,
        records: Records,
        master_key: MasterKey,
    }

    impl Opened {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
            let master_key = MasterKey::new(&[7; 32]).unwrap();
            Self { records: Records::new(Arc::new(store)), master_key, folder }
        }

        async fn open(&self, asked: Option<&str>) -> anyhow::Result<AccountId> {
            let asked = asked.map(|id| id.parse().unwrap());
            let now = OffsetDateTime::UNIX_EPOCH;
            open_account(self.folder.path(), &self.records, &self.master_key, asked, now).await
        }

        async fn account(&self) -> Versioned<Account> {
            self.records.get(Account::KEY).await.unwrap().unwrap()
        }

        async fn set_format(&self, format: u32) {
            let old = self.account().await;
            let change = Change::new().replace(&old, &Account { format, ..old.record.clone() }).unwrap();
            assert!(matches!(self.records.commit(change).await.unwrap(), Outcome::Committed(_)));
        }
    }

    #[tokio::test]
    async fn a_data_directory_of_the_format_before_is_taken_over() {
        let directory = Opened::new();
        let account = directory.open(None).await.unwrap();
        assert_eq!(directory.account().await.format, 2);

        directory.set_format(1).await;
        assert!(directory.open(Some("210987654321")).await.is_err());
        assert_eq!(directory.account().await.format, 1, "one that is not opened stays what it is");

        let made = directory.records.list::<AccessKey>("").await.unwrap().pop().unwrap();
        assert_eq!(directory.open(Some(account.as_str())).await.unwrap(), account);
        let kept = directory.account().await;
        assert_eq!((kept.format, kept.created), (2, OffsetDateTime::UNIX_EPOCH));
        assert_eq!(directory.records.list::<AccessKey>("").await.unwrap().pop().unwrap().id, made.id);
        // A second start finds nothing to do.
        directory.open(None).await.unwrap();
        assert_eq!(directory.account().await.modified, kept.modified);
    }

    #[tokio::test]
    async fn a_user_of_the_format_before_has_no_boundary() {
        let directory = Opened::new();
        directory.open(None).await.unwrap();
        let user = directory.records.list::<User>("").await.unwrap().pop().unwrap().record;
        let mut kept = serde_json::to_value(&user).unwrap();
        assert!(kept.as_object_mut().unwrap().remove("boundary").is_some());
        assert_eq!(serde_json::from_value::<User>(kept).unwrap().boundary, None);
    }

    #[tokio::test]
    async fn a_data_directory_of_a_later_format_is_refused() {
        let directory = Opened::new();
        directory.open(None).await.unwrap();
        directory.set_format(3).await;
        let refused = directory.open(None).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "the data directory has format 3, this version of countersign reads formats 1 to 2"
        );
    }
}
