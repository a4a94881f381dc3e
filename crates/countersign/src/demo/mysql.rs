//! The same on MySQL or MariaDB, if the machine has one and a client for it.

use super::{Demo, Expect, Odd, REGION, say};
use std::process::{Command, Stdio};

const LOGIN: &str = "select current_user(), user(), version()";

/// The command lines of MySQL's client and of MariaDB's, which differ in what they call things.
#[derive(Clone, Copy)]
struct Client {
    /// The program, and how it asks for TLS with the server's certificate and name checked.
    verified: &'static str,
    /// The same without TLS.
    plain: &'static str,
}

const MYSQL: Client = Client {
    verified: "mysql --protocol=TCP --host=$MYHOST --port=$MYPORT --ssl-ca=us-east-1-bundle.pem --ssl-mode=VERIFY_IDENTITY \
               --enable-cleartext-plugin",
    plain: "mysql --protocol=TCP --host=$MYHOST --port=$MYPORT --ssl-mode=DISABLED --enable-cleartext-plugin",
};
const MARIADB: Client = Client {
    verified: "mariadb --protocol=TCP --host=$MYHOST --port=$MYPORT --ssl-ca=us-east-1-bundle.pem --ssl-verify-server-cert",
    plain: "mariadb --protocol=TCP --host=$MYHOST --port=$MYPORT --skip-ssl --skip-ssl-verify-server-cert",
};

impl Client {
    /// The one that is on the PATH. MariaDB's has MySQL's name too.
    fn find() -> Option<Self> {
        let version = |program| {
            let answer = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
            Some(String::from_utf8_lossy(&answer.stdout).into_owned())
        };
        match (version("mysql"), version("mariadb")) {
            (Some(mysql), _) if !mysql.contains("MariaDB") => Some(MYSQL),
            (_, Some(_)) => Some(MARIADB),
            _ => None,
        }
    }

    /// A statement as a user, with a password; what follows a `#` is a remark.
    fn run(self, user: &str, password: &str, sql: &str) -> String {
        let (sql, remark) =
            sql.split_once("  #").map_or((sql, String::new()), |(sql, remark)| (sql, format!("  #{remark}")));
        format!("{} --user={user} --password=\"{password}\" -e \"{sql}\"{remark}", self.verified)
    }
}

/// A token of the profile `mydbuser` for a user of the database.
fn token(user: &str) -> String {
    format!(
        "$(aws rds generate-db-auth-token --hostname $MYHOST --port $MYPORT --region us-east-1 --username {user} \
         --profile mydbuser)"
    )
}

impl Demo {
    /// Walks through it.
    pub(super) fn mysql(&mut self) -> anyhow::Result<()> {
        let (_, engines, _) = self
            .shell("aws rds describe-db-engine-versions --query 'DBEngineVersions[].Engine' --output text")?;
        let engine =
            ["mysql", "mariadb"].into_iter().find(|engine| engines.split_whitespace().any(|e| e == *engine));
        let (Some(engine), Some(client)) = (engine, Client::find()) else {
            return say(
                "\n(MySQL and MariaDB are not shown: the machine lacks a server or a client of them)",
            );
        };
        self.heading(&format!("The same on {}", if engine == "mysql" { "MySQL" } else { "MariaDB" }))?;
        self.mysql_instance(engine, client)?;
        self.mysql_logins(client)?;
        self.mysql_switched_off(client)
    }

    fn mysql_instance(&mut self, engine: &str, client: Client) -> anyhow::Result<()> {
        self.step(
            &format!(
                "aws rds create-db-instance --db-instance-identifier mymysql --engine {engine} \
                 --db-instance-class db.t3.micro --allocated-storage 20 --master-username admin \
                 --master-user-password 'Master-pass-1' --enable-iam-database-authentication \
                 --query DBInstance.DBInstanceStatus"
            ),
            &Expect::Success,
        )?;
        self.step("aws rds wait db-instance-available --db-instance-identifier mymysql", &Expect::Success)?;
        for (name, member) in
            [("MYHOST", "Endpoint.Address"), ("MYPORT", "Endpoint.Port"), ("MYRESOURCE", "DbiResourceId")]
        {
            self.capture(
                name,
                &format!(
                    "aws rds describe-db-instances --db-instance-identifier mymysql --query 'DBInstances[0].{member}' \
                     --output text"
                ),
            )?;
        }
        let accounts = "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; ALTER USER app REQUIRE SSL; \
                        GRANT SELECT, INSERT, UPDATE, DELETE, ALTER ON *.* TO 'app'@'%'; \
                        CREATE USER pat IDENTIFIED BY 'Pat-pass-1'";
        self.step(&client.run("admin", "Master-pass-1", accounts), &Expect::Success)?;
        self.step(
            "aws iam delete-user-policy --user-name mydbuser --policy-name only-oneself",
            &Expect::Success,
        )?;
        self.step(
            "aws iam put-user-policy --user-name mydbuser --policy-name app --policy-document \
             '{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"rds-db:connect\",\
             \"Resource\":\"arn:aws:rds-db:us-east-1:123456789012:dbuser:'$MYRESOURCE'/app\"}}'",
            &Expect::Success,
        )
    }

    fn mysql_logins(&mut self, client: Client) -> anyhow::Result<()> {
        self.step(&client.run("app", &token("app"), LOGIN), &Expect::Success)?;
        self.step(
            &client.run("pat", "Pat-pass-1", "select current_user()  # a password user beside it"),
            &Expect::Success,
        )?;

        let (host, port) = (self.variable("MYHOST"), self.variable("MYPORT").parse()?);
        let good = Odd { host: &host, port, region: REGION, user: "app", age: 0, wrong_secret: false };
        let tokens = [
            ("of an hour ago", self.sign(&Odd { age: 3600, ..good })?, "expired"),
            ("for another port", self.sign(&Odd { port: port + 1, ..good })?, "wrong-endpoint"),
            (
                "signed with a wrong secret",
                self.sign(&Odd { wrong_secret: true, ..good })?,
                "signature-mismatch",
            ),
        ];
        for (what, text, reason) in tokens {
            self.set("TOKEN", &text);
            self.step(
                &client.run("app", "$TOKEN", &format!("select 1  # a token {what}")),
                &Expect::Refusal(reason),
            )?;
        }
        self.step(
            &client.run("app", "Pat-pass-1", "select 1  # a password"),
            &Expect::Refusal("not-a-token"),
        )?;
        let plaintext =
            client.run("app", &token("app"), "select 1  # no TLS").replace(client.verified, client.plain);
        self.step(&plaintext, &Expect::Failure("ERROR "))
    }

    fn mysql_switched_off(&mut self, client: Client) -> anyhow::Result<()> {
        let login = client.run("app", &token("app"), LOGIN);
        let modify = "aws rds modify-db-instance --db-instance-identifier mymysql --apply-immediately \
                      --query DBInstance.DBInstanceStatus";
        let wait = "aws rds wait db-instance-available --db-instance-identifier mymysql";
        self.step(&format!("{modify} --no-enable-iam-database-authentication"), &Expect::Success)?;
        self.step(wait, &Expect::Success)?;
        self.step(
            &login,
            &Expect::Failure("ERROR 1524 (HY000): Plugin 'AWSAuthenticationPlugin' is not loaded"),
        )?;
        self.step(&format!("{modify} --enable-iam-database-authentication"), &Expect::Success)?;
        self.step(wait, &Expect::Success)?;
        self.step(&login, &Expect::Success)
    }
}
