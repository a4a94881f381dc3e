//! `countersign demo`: a whole login, and what does not log in, with the programs that people use: the AWS CLI and psql.
//!
//! Every step is a command that can be typed; it is shown, run, and its result compared with what it must be. Nothing is
//! left behind: the data directory is a temporary one.

use crate::{client, config, env};
use anyhow::{Context, bail, ensure};
use sigv4::{Timestamp, rds_token};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs `aws` 1.29 or 2.13, `psql` and PostgreSQL 14 or later; `make demo` installs them."
)]
pub(crate) struct Arguments {
    /// Which door PostgreSQL asks through [default: auto]
    #[arg(long, value_enum, default_value = "auto")]
    door: config::DoorSetting,
}

const REGION: &str = "us-east-1";

/// Walks through it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    for program in ["aws", "psql", "bash"] {
        let found =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ensure!(
            found.is_ok(),
            "the demo drives `{program}`, which is not on the PATH: `make demo` installs it"
        );
    }
    let mut demo = Demo::start(arguments)?;
    let walked = demo.walk();
    let stopped = demo.stop();
    if walked.is_err() {
        say(&format!(
            "\nThe server's log:\n{}",
            std::fs::read_to_string(demo.folder.join("serve.log")).unwrap_or_default()
        ))?;
    }
    std::fs::remove_dir_all(&demo.folder)
        .with_context(|| format!("cannot remove `{}`", demo.folder.display()))?;
    walked?;
    stopped?;
    say(&format!("\nDone: {} steps, each as it must be.", demo.steps))
}

struct Demo {
    folder: PathBuf,
    data_dir: PathBuf,
    server: Child,
    /// What the commands find in their environment.
    variables: BTreeMap<String, String>,
    /// The secret access key of the user that logs in.
    secret: Zeroizing<String>,
    steps: usize,
}

/// What a step must come to.
enum Expect<'a> {
    /// It succeeds.
    Success,
    /// It fails, and the client is told this.
    Failure(&'a str),
    /// A login is refused: the client is told no more than that, and the audit trail has this reason.
    Refusal(&'a str),
}

impl Demo {
    fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("countersign-demo-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        // The database server runs as another user when this is root, and must get to its own directory.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711))?;
        let data_dir = folder.join("data");
        let log = std::fs::File::create(folder.join("serve.log"))?;
        let door = clap::ValueEnum::to_possible_value(&arguments.door).context("door")?;
        say(&format!("$ countersign serve --data-dir {} --listen 127.0.0.1:0 &", data_dir.display()))?;
        let server = Command::new(std::env::current_exe()?)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "human",
                "--door",
                door.get_name(),
                "--data-dir",
            ])
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start `countersign serve`")?;
        let demo = Self {
            folder,
            data_dir,
            server,
            variables: BTreeMap::new(),
            secret: Zeroizing::default(),
            steps: 0,
        };
        Ok(demo)
    }

    fn walk(&mut self) -> anyhow::Result<()> {
        self.await_server()?;
        self.database()?;
        self.permission()?;
        self.logins()?;
        self.refusals()?;
        self.audit()
    }

    fn await_server(&mut self) -> anyhow::Result<()> {
        let patience = Instant::now() + Duration::from_secs(20);
        while client::get_control(&self.data_dir, "/status").is_err() {
            if let Some(status) = self.server.try_wait()? {
                bail!("`countersign serve` ended: {status}");
            }
            ensure!(Instant::now() < patience, "`countersign serve` is not ready after 20 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        say("$ eval \"$(countersign env)\"")?;
        for (name, value) in env::variables(&self.data_dir, &REGION.parse()?)? {
            self.set(name, &value);
        }
        self.step("aws sts get-caller-identity", &Expect::Success)?;
        Ok(())
    }

    fn database(&mut self) -> anyhow::Result<()> {
        self.heading("A PostgreSQL instance with IAM database authentication")?;
        self.step(
            "aws rds create-db-instance --db-instance-identifier mydb --engine postgres --db-instance-class db.t3.micro \
             --allocated-storage 20 --master-username postgres --master-user-password 'Master-pass-1' \
             --enable-iam-database-authentication --query DBInstance.DBInstanceStatus",
            &Expect::Success,
        )?;
        self.step("aws rds wait db-instance-available --db-instance-identifier mydb", &Expect::Success)?;
        self.capture(
            "RDSHOST",
            "aws rds describe-db-instances --query 'DBInstances[0].Endpoint.Address' --output text",
        )?;
        self.capture(
            "RDSPORT",
            "aws rds describe-db-instances --query 'DBInstances[0].Endpoint.Port' --output text",
        )?;
        self.capture(
            "RESOURCE",
            "aws rds describe-db-instances --query 'DBInstances[0].DbiResourceId' --output text",
        )?;
        let program = std::env::current_exe()?;
        self.set("COUNTERSIGN", &program.display().to_string());
        let data_dir = self.data_dir.display().to_string();
        self.set("COUNTERSIGN_DATA_DIR", &data_dir);
        self.step("\"$COUNTERSIGN\" ca-bundle --region us-east-1 > us-east-1-bundle.pem", &Expect::Success)?;
        self.set("TLS", "sslmode=verify-full sslrootcert=us-east-1-bundle.pem");
        self.step(
            "PGPASSWORD='Master-pass-1' psql \"host=$RDSHOST port=$RDSPORT dbname=postgres user=postgres $TLS\" \
             -c 'CREATE USER mydbuser' -c 'GRANT rds_iam TO mydbuser' -c 'CREATE USER other' -c 'GRANT rds_iam TO other'",
            &Expect::Success,
        )?;
        Ok(())
    }

    fn permission(&mut self) -> anyhow::Result<()> {
        self.heading("A user, and a policy that lets it connect as mydbuser")?;
        let resource = self.variables.get("RESOURCE").cloned().unwrap_or_default();
        let policy = format!(
            "{{\"Version\": \"2012-10-17\", \"Statement\": [{{\"Effect\": \"Allow\", \"Action\": \"rds-db:connect\",\n  \
             \"Resource\": \"arn:aws:rds-db:us-east-1:123456789012:dbuser:{resource}/mydbuser\"}}]}}\n"
        );
        std::fs::write(self.folder.join("iam_rds_connect.json"), policy)?;
        self.step("cat iam_rds_connect.json", &Expect::Success)?;
        for command in [
            "aws iam create-policy --policy-name iam_rds_connect --policy-document file://iam_rds_connect.json --query Policy.Arn",
            "aws iam create-user --user-name mydbuser --query User.Arn",
            "aws iam attach-user-policy --policy-arn arn:aws:iam::123456789012:policy/iam_rds_connect --user-name mydbuser",
        ] {
            self.step(command, &Expect::Success)?;
        }
        self.capture_quietly(
            "KEY",
            "aws iam create-access-key --user-name mydbuser --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text",
        )?;
        let key = self.variables.remove("KEY").unwrap_or_default();
        let (id, secret) = key.split_once('\t').context("create-access-key gave no key")?;
        let (id, secret) = (id.to_owned(), secret.to_owned());
        let profiles = format!("[mydbuser]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        config_file(&self.folder.join("credentials"), &profiles)?;
        let file = self.folder.join("credentials").display().to_string();
        self.set("AWS_SHARED_CREDENTIALS_FILE", &file);
        self.set("KEY_ID", &id);
        self.secret = secret.into();
        Ok(())
    }

    fn logins(&mut self) -> anyhow::Result<()> {
        self.heading("The login")?;
        self.step(
            &self.login_as("mydbuser", "--profile mydbuser", "select version(), session_user"),
            &Expect::Success,
        )?;
        Ok(())
    }

    fn refusals(&mut self) -> anyhow::Result<()> {
        self.heading("What does not log in; the client is told nothing, the audit trail why")?;
        let (key, secret) = (self.variable("KEY_ID"), self.secret.clone());
        let host = self.variable("RDSHOST");
        let port: u16 = self.variable("RDSPORT").parse()?;
        let signed = |user: &str, region: &str, port: u16, age: i64, secret: &str| {
            let now = time::OffsetDateTime::now_utc().unix_timestamp();
            rds_token::sign(&rds_token::TokenRequest {
                host: &host,
                port,
                user,
                region,
                access_key_id: &key,
                secret: &sigv4::SecretKey::from_bytes(secret.as_bytes()),
                session_token: None,
                issued_at: Timestamp::from_unix(now - age),
                expires: 900,
            })
        };
        let hour_old = signed("mydbuser", REGION, port, 3600, &secret)?;
        let ahead = signed("mydbuser", REGION, port, -3600, &secret)?;
        let elsewhere = signed("mydbuser", REGION, port + 1, 0, &secret)?;
        let region = signed("mydbuser", "eu-west-1", port, 0, &secret)?;
        let forged = signed("mydbuser", REGION, port, 0, "not-the-secret-of-this-access-key-000000")?;
        for (what, token, reason) in [
            ("a token of an hour ago", hour_old, "expired"),
            ("a token dated ahead", ahead, "not-yet-valid"),
            ("a token for another port", elsewhere, "wrong-endpoint"),
            ("a token for another region", region, "wrong-region"),
            ("a token signed with a wrong secret", forged, "signature-mismatch"),
        ] {
            self.set("TOKEN", &token);
            self.step(
                &format!("PGPASSWORD=\"$TOKEN\" psql \"host=$RDSHOST port=$RDSPORT dbname=postgres user=mydbuser $TLS\" -c 'select 1'  # {what}"),
                &Expect::Refusal(reason),
            )?;
        }
        self.step(
            &self.login_as("other", "--profile mydbuser", "select 1"),
            &Expect::Refusal("not-authorized"),
        )?;
        self.step(
            "PGPASSWORD=\"$(aws rds generate-db-auth-token --hostname $RDSHOST --port $RDSPORT --region us-east-1 \
             --username mydbuser --profile mydbuser)\" \
             psql \"host=$RDSHOST port=$RDSPORT dbname=postgres user=mydbuser sslmode=disable\" -c 'select 1'  # no TLS",
            &Expect::Failure("no encryption"),
        )?;
        self.step(
            "aws iam update-access-key --user-name mydbuser --access-key-id $KEY_ID --status Inactive",
            &Expect::Success,
        )?;
        self.step(
            &self.login_as("mydbuser", "--profile mydbuser", "select 1"),
            &Expect::Refusal("inactive-access-key"),
        )?;
        self.step(
            "aws iam update-access-key --user-name mydbuser --access-key-id $KEY_ID --status Active",
            &Expect::Success,
        )?;
        self.step(&self.login_as("mydbuser", "--profile mydbuser", "select session_user"), &Expect::Success)?;
        Ok(())
    }

    fn audit(&mut self) -> anyhow::Result<()> {
        self.heading("The audit trail")?;
        self.step(&format!("cat {}", self.data_dir.join("audit.jsonl").display()), &Expect::Success)?;
        Ok(())
    }

    fn login_as(&self, user: &str, options: &str, sql: &str) -> String {
        format!(
            "PGPASSWORD=\"$(aws rds generate-db-auth-token --hostname $RDSHOST --port $RDSPORT --region us-east-1 \
             --username {user} {options})\" \
             psql \"host=$RDSHOST port=$RDSPORT dbname=postgres user={user} $TLS\" -c '{sql}'"
        )
    }

    fn heading(&self, text: &str) -> anyhow::Result<()> {
        say(&format!("\n== {text}"))
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    fn variable(&self, name: &str) -> String {
        self.variables.get(name).cloned().unwrap_or_default()
    }

    fn capture(&mut self, name: &str, command: &str) -> anyhow::Result<()> {
        say(&format!("$ {name}=\"$({command})\""))?;
        self.capture_quietly(name, command)?;
        say(&self.variable(name))
    }

    fn capture_quietly(&mut self, name: &str, command: &str) -> anyhow::Result<()> {
        let (succeeded, output, errors) = self.shell(command)?;
        ensure!(succeeded, "`{command}` failed: {errors}");
        self.set(name, output.trim());
        Ok(())
    }

    fn step(&mut self, command: &str, expect: &Expect<'_>) -> anyhow::Result<()> {
        say(&format!("$ {command}"))?;
        let (succeeded, output, errors) = self.shell(command)?;
        write!(std::io::stdout(), "{output}{errors}")?;
        match expect {
            Expect::Success => ensure!(succeeded, "this was to succeed"),
            Expect::Failure(text) => {
                ensure!(!succeeded && errors.contains(text), "this was to fail with `{text}`");
            }
            Expect::Refusal(reason) => {
                ensure!(
                    !succeeded && errors.contains("authentication failed for user"),
                    "this was to be refused"
                );
                let logged = self.last_reason()?;
                say(&format!("    refused: {logged}"))?;
                ensure!(logged == *reason, "the reason was to be `{reason}`");
            }
        }
        self.steps += 1;
        Ok(())
    }

    fn last_reason(&self) -> anyhow::Result<String> {
        let trail = std::fs::read_to_string(self.data_dir.join("audit.jsonl"))?;
        let last: serde_json::Value =
            serde_json::from_str(trail.lines().last().context("the audit trail is empty")?)?;
        Ok(last.get("reason").and_then(|reason| reason.as_str()).unwrap_or_default().to_owned())
    }

    fn shell(&self, command: &str) -> anyhow::Result<(bool, String, String)> {
        let output = Command::new("bash")
            .args(["-c", command])
            .current_dir(&self.folder)
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_PROFILE")
            .env("AWS_PAGER", "")
            .env("AWS_CONFIG_FILE", self.folder.join("config"))
            .envs(&self.variables)
            .stdin(Stdio::null())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
    }

    /// An interrupt, as Ctrl-C gives it: the databases stop too.
    fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        }
        let status = self.server.wait()?;
        ensure!(status.success(), "`countersign serve` ended: {status}");
        Ok(())
    }
}

fn config_file(path: &Path, text: &str) -> anyhow::Result<()> {
    Ok(crate::admin::write_private(path, text.as_bytes())?)
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
