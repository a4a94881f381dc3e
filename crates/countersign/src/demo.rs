//! `countersign demo`: a whole login, and what does not log in, with the programs that people use: the AWS CLI and psql.
//!
//! Every step is a command that can be typed; it is shown, run, and its result compared with what it must be. Nothing is
//! left behind: the data directory is a temporary one.

mod mysql;

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
    after_help = "Needs `aws` 1.29 or 2.13, `psql` and PostgreSQL 14 or later; `make demo` installs them. Shows MySQL or \
                  MariaDB too, where the machine has a server and a client of them."
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
    /// A login is refused: the client is told no more than that.
    RefusalForm,
    /// The same, and the audit trail has this reason.
    Refusal(&'a str),
}

/// A token that the AWS CLI would not make.
#[derive(Clone, Copy)]
struct Odd<'a> {
    host: &'a str,
    port: u16,
    region: &'a str,
    user: &'a str,
    /// Seconds since it was signed.
    age: i64,
    wrong_secret: bool,
}

/// A login by the password; what follows a quote in the statement follows the command.
fn psql(password: &str, user: &str, sql: &str) -> String {
    let quote = if sql.contains("'  #") { "" } else { "'" };
    format!(
        "PGPASSWORD=\"{password}\" psql \"host=$RDSHOST port=$RDSPORT dbname=postgres user={user} $TLS\" -c '{sql}{quote}"
    )
}

/// A login by a token of the profile `mydbuser`.
fn login_as(user: &str, sql: &str) -> String {
    let token = format!(
        "$(aws rds generate-db-auth-token --hostname $RDSHOST --port $RDSPORT --region us-east-1 --username {user} \
         --profile mydbuser)"
    );
    psql(&token, user, sql)
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
        self.mysql()?;
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
        self.step(&login_as("mydbuser", "select version(), session_user"), &Expect::Success)
    }

    fn refusals(&mut self) -> anyhow::Result<()> {
        self.heading("What does not log in; the client is told nothing, the audit trail why")?;
        self.other_tokens()?;
        self.other_ways_in()?;
        self.withdrawn()?;
        self.conditions_and_limits()?;
        self.switched_off()?;
        self.hanging()
    }

    /// Tokens that are well made, but not for this login or not now.
    fn other_tokens(&mut self) -> anyhow::Result<()> {
        let host = self.variable("RDSHOST");
        let port: u16 = self.variable("RDSPORT").parse()?;
        let good = Odd { host: &host, port, region: REGION, user: "mydbuser", age: 0, wrong_secret: false };
        let tokens = [
            ("of an hour ago", self.sign(&Odd { age: 3600, ..good })?, "expired"),
            ("dated ahead", self.sign(&Odd { age: -3600, ..good })?, "not-yet-valid"),
            (
                "that says it is valid for a week",
                self.sign(&good)?.replace("=900&", "=604800&"),
                "expires-out-of-range",
            ),
            ("for another host", self.sign(&Odd { host: "otherdb.example.com", ..good })?, "wrong-endpoint"),
            ("for another port", self.sign(&Odd { port: port + 1, ..good })?, "wrong-endpoint"),
            ("for another region", self.sign(&Odd { region: "eu-west-1", ..good })?, "wrong-region"),
            ("for another service", self.sign(&good)?.replace("rds-db", "rds"), "wrong-service"),
            ("of another user", self.sign(&Odd { user: "other", ..good })?, "wrong-user"),
            (
                "signed with a wrong secret",
                self.sign(&Odd { wrong_secret: true, ..good })?,
                "signature-mismatch",
            ),
            ("cut in the middle", self.sign(&good)?.chars().take(200).collect(), "truncated"),
        ];
        for (what, token, reason) in tokens {
            self.set("TOKEN", &token);
            self.step(
                &psql("$TOKEN", "mydbuser", &format!("select 1'  # a token {what}")),
                &Expect::Refusal(reason),
            )?;
        }
        Ok(())
    }

    fn other_ways_in(&mut self) -> anyhow::Result<()> {
        self.step(
            &login_as("other", "select 1'  # no policy for this user"),
            &Expect::Refusal("not-authorized"),
        )?;
        let plaintext = login_as("mydbuser", "select 1'  # no TLS").replace("$TLS", "sslmode=disable");
        self.step(&plaintext, &Expect::Failure("no encryption"))?;
        self.step(
            &psql("Master-pass-1", "postgres", "CREATE USER pat PASSWORD $$Pat-pass-1$$"),
            &Expect::Success,
        )?;
        self.step(
            &login_as("pat", "select 1'  # a role without rds_iam"),
            &Expect::Failure("password authentication failed"),
        )?;
        self.step(
            &psql("Pat-pass-1", "pat", "select session_user'  # its password works"),
            &Expect::Success,
        )?;
        self.step(&psql("Master-pass-1", "postgres", "GRANT rds_iam TO pat"), &Expect::Success)?;
        self.step(
            &psql("Pat-pass-1", "pat", "select 1'  # and no longer, once it has rds_iam"),
            &Expect::RefusalForm,
        )
    }

    /// Keys and permissions that were taken back, each in force at the next login.
    fn withdrawn(&mut self) -> anyhow::Result<()> {
        let login = login_as("mydbuser", "select session_user");
        let account = "arn:aws:iam::123456789012";
        let deny = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"rds-db:connect","Resource":"*"}}"#;
        for (take, reason, give) in [
            (
                "aws iam update-access-key --user-name mydbuser --access-key-id $KEY_ID --status Inactive"
                    .to_owned(),
                "inactive-access-key",
                "aws iam update-access-key --user-name mydbuser --access-key-id $KEY_ID --status Active"
                    .to_owned(),
            ),
            (
                format!(
                    "aws iam put-user-policy --user-name mydbuser --policy-name deny --policy-document '{deny}'"
                ),
                "explicit-deny",
                "aws iam delete-user-policy --user-name mydbuser --policy-name deny".to_owned(),
            ),
            (
                format!(
                    "aws iam detach-user-policy --user-name mydbuser --policy-arn {account}:policy/iam_rds_connect"
                ),
                "not-authorized",
                format!(
                    "aws iam attach-user-policy --user-name mydbuser --policy-arn {account}:policy/iam_rds_connect"
                ),
            ),
        ] {
            self.step(&take, &Expect::Success)?;
            self.step(&login, &Expect::Refusal(reason))?;
            self.step(&give, &Expect::Success)?;
            self.step(&login, &Expect::Success)?;
        }
        Ok(())
    }

    /// A condition on a tag, a variable, a permissions boundary; and what decided, statement by statement.
    fn conditions_and_limits(&mut self) -> anyhow::Result<()> {
        let login = login_as("mydbuser", "select session_user");
        let document = r#"{"Version": "2012-10-17", "Statement": {"Sid": "OnlyOneself", "Effect": "Deny",
  "Action": "rds-db:connect", "NotResource": "arn:aws:rds-db:*:*:dbuser:*/${aws:PrincipalTag/dbuser}",
  "Condition": {"Null": {"aws:PrincipalTag/dbuser": "false"}}}}
"#;
        std::fs::write(self.folder.join("only-oneself.json"), document)?;
        self.step(
            "cat only-oneself.json; \"$COUNTERSIGN\" policy check only-oneself.json",
            &Expect::Success,
        )?;
        self.step(
            "aws iam put-user-policy --user-name mydbuser --policy-name only-oneself --policy-document file://only-oneself.json",
            &Expect::Success,
        )?;
        self.step(&login, &Expect::Success)?;
        self.step(
            "aws iam tag-user --user-name mydbuser --tags Key=dbuser,Value=somebody",
            &Expect::Success,
        )?;
        self.step(&login, &Expect::Refusal("explicit-deny"))?;
        self.step(
            "\"$COUNTERSIGN\" policy explain --principal arn:aws:iam::123456789012:user/mydbuser --db mydb --user mydbuser",
            &Expect::Success,
        )?;
        self.step(
            "aws iam tag-user --user-name mydbuser --tags Key=dbuser,Value=mydbuser",
            &Expect::Success,
        )?;
        self.step(&login, &Expect::Success)?;
        self.step(
            "aws iam put-user-permissions-boundary --user-name mydbuser --permissions-boundary arn:aws:iam::aws:policy/ReadOnlyAccess",
            &Expect::Success,
        )?;
        self.step(&login, &Expect::Refusal("not-allowed-by-permissions-boundary"))?;
        self.step("aws iam delete-user-permissions-boundary --user-name mydbuser", &Expect::Success)?;
        self.step(&login, &Expect::Success)
    }

    fn switched_off(&mut self) -> anyhow::Result<()> {
        let login = login_as("mydbuser", "select session_user");
        let modify = "aws rds modify-db-instance --db-instance-identifier mydb --apply-immediately --query DBInstance.DBInstanceStatus";
        let wait = "aws rds wait db-instance-available --db-instance-identifier mydb";
        self.step(&format!("{modify} --no-enable-iam-database-authentication"), &Expect::Success)?;
        self.step(wait, &Expect::Success)?;
        self.step(&login, &Expect::Failure("password authentication failed"))?;
        self.step(&format!("{modify} --enable-iam-database-authentication"), &Expect::Success)?;
        self.step(wait, &Expect::Success)?;
        self.step(&login, &Expect::Success)
    }

    /// A Countersign that hangs: refused within two seconds, and afterwards all is well.
    fn hanging(&mut self) -> anyhow::Result<()> {
        let token = "TOKEN=\"$(aws rds generate-db-auth-token --hostname $RDSHOST --port $RDSPORT --region us-east-1 --username mydbuser --profile mydbuser)\"";
        say("$ kill -STOP %1  # countersign hangs")?;
        self.signal(rustix::process::Signal::STOP)?;
        let started = Instant::now();
        let refused = self
            .step(&format!("{token}; time {}", psql("$TOKEN", "mydbuser", "select 1")), &Expect::RefusalForm);
        say("$ kill -CONT %1")?;
        self.signal(rustix::process::Signal::CONT)?;
        refused?;
        ensure!(
            started.elapsed() < Duration::from_secs(10),
            "a door that hangs was to be given up after two seconds"
        );
        self.step(&login_as("mydbuser", "select session_user"), &Expect::Success)
    }

    fn sign(&self, odd: &Odd<'_>) -> anyhow::Result<String> {
        let secret = if odd.wrong_secret { "not-the-secret-of-this-access-key-000000" } else { &self.secret };
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        Ok(rds_token::sign(&rds_token::TokenRequest {
            host: odd.host,
            port: odd.port,
            user: odd.user,
            region: odd.region,
            access_key_id: &self.variable("KEY_ID"),
            secret: &sigv4::SecretKey::from_bytes(secret.as_bytes()),
            session_token: None,
            issued_at: Timestamp::from_unix(now - odd.age),
            expires: 900,
        })?)
    }

    fn audit(&mut self) -> anyhow::Result<()> {
        self.heading("The audit trail")?;
        self.step(&format!("tail -n 4 {}", self.data_dir.join("audit.jsonl").display()), &Expect::Success)?;
        Ok(())
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
            Expect::RefusalForm => ensure!(!succeeded && is_refusal(&errors), "this was to be refused"),
            Expect::Refusal(reason) => {
                ensure!(!succeeded && is_refusal(&errors), "this was to be refused");
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

    fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.server.id()).ok().and_then(rustix::process::Pid::from_raw);
        Ok(rustix::process::kill_process(pid.context("the server has no process id")?, signal)?)
    }

    /// An interrupt, as Ctrl-C gives it: the databases stop too.
    fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(rustix::process::Signal::INT)?;
        let status = self.server.wait()?;
        ensure!(status.success(), "`countersign serve` ended: {status}");
        Ok(())
    }
}

/// The server's one sentence, whichever door it asked through.
fn is_refusal(errors: &str) -> bool {
    let postgres = |door| errors.contains(&format!("{door} authentication failed for user"));
    let mysql = errors.contains("ERROR 1045 (28000): Access denied for user")
        && errors.contains("(using password: YES)");
    postgres("PAM") || postgres("LDAP") || mysql
}

fn config_file(path: &Path, text: &str) -> anyhow::Result<()> {
    Ok(crate::admin::write_private(path, text.as_bytes())?)
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
