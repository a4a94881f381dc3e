//! PostgreSQL's roles.

use std::net::SocketAddr;
use std::time::Duration;

use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

use crate::Engine;
use crate::accounts::Asked;
use crate::certificate;
use crate::finding::{Finding, Step};
use crate::show::postgres_name;

/// What the server has of the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Role {
    exists: bool,
    can_login: bool,
    superuser: bool,
    /// Whether `VALID UNTIL`, which tokens do not heed, has passed.
    over: bool,
    /// The most connections; -1 for no limit.
    limit: i32,
    /// Whether there is an `rds_iam` at all.
    has_iam_role: bool,
    /// From the user to `rds_iam`; empty if it is not a member.
    path: Vec<String>,
    /// Whether the database exists, takes connections, and the user may connect to it.
    database: bool,
    takes_connections: bool,
    may_connect: bool,
}

const ROLE: &str = "SELECT rolcanlogin, rolsuper, coalesce(rolvaliduntil < now(), false), rolconnlimit
     FROM pg_catalog.pg_roles WHERE rolname = $1::text";

const IAM_ROLE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rds_iam')";

// As pg_hba.conf counts: memberships direct and nested, whether inherited or not; being a superuser is none.
const PATH: &str = "WITH RECURSIVE reached (oid, path) AS (
       SELECT oid, ARRAY[rolname::text] FROM pg_catalog.pg_roles WHERE rolname = $1::text
     UNION ALL
       SELECT role.oid, path || role.rolname::text
       FROM reached
       JOIN pg_catalog.pg_auth_members AS membership ON membership.member = reached.oid
       JOIN pg_catalog.pg_roles AS role ON role.oid = membership.roleid
       WHERE role.rolname::text <> ALL (path)
     )
     SELECT path FROM reached WHERE path[array_upper(path, 1)] = 'rds_iam' AND array_length(path, 1) > 1
     ORDER BY array_length(path, 1) LIMIT 1";

const DATABASE: &str = "SELECT datallowconn, has_database_privilege($1::text, oid, 'CONNECT')
     FROM pg_catalog.pg_database WHERE datname = $2::text";

/// How long the administrator's questions may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Logs in as the administrator, looks, and tells.
pub(crate) async fn examine(asked: &Asked<'_>, address: SocketAddr) -> Vec<Finding> {
    // Without a database the server takes the one named as the user.
    let database = asked.database.unwrap_or(asked.user);
    let look = async {
        let client = log_in(asked, address, database).await?;
        ask(&client, asked.user, database).await.map_err(|error| told(&error))
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(role)) => {
            let mut all = vec![Finding::ok(Step::Admin, format!("logged in as `{}`", asked.admin))];
            all.extend(explain(asked.user, database, &role));
            all
        }
        Ok(Err(why)) => super::refused(asked.admin, &why),
        Err(_) => super::refused(asked.admin, "the server does not answer"),
    }
}

/// In the database that is asked for; where that does not work, in `postgres`, which every server has.
async fn log_in(asked: &Asked<'_>, address: SocketAddr, database: &str) -> Result<Client, String> {
    let mut failure = String::new();
    for database in [database, "postgres"] {
        let stream = certificate::connect(address, Engine::Postgres, asked.host, asked.bundle)
            .await
            .map_err(|error| error.to_string())?;
        let mut config = Config::new();
        // TLS has begun already.
        config
            .ssl_mode(SslMode::Disable)
            .user(asked.admin)
            .password(asked.password.as_bytes())
            .dbname(database);
        config.application_name("countersign doctor");
        match config.connect_raw(stream, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return Ok(client);
            }
            Err(error) => failure = told(&error),
        }
    }
    Err(failure)
}

/// What a server, or the driver, says. It holds no password.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => crate::protocol::printable(error.message().as_bytes()),
        None => error.to_string(),
    }
}

async fn ask(client: &Client, user: &str, database: &str) -> Result<Role, tokio_postgres::Error> {
    let mut role = Role { has_iam_role: client.query_one(IAM_ROLE, &[]).await?.get(0), ..Role::default() };
    let Some(row) = client.query_opt(ROLE, &[&user]).await? else { return Ok(role) };
    role.exists = true;
    (role.can_login, role.superuser, role.over, role.limit) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    role.path = client.query_opt(PATH, &[&user]).await?.map(|row| row.get(0)).unwrap_or_default();
    if let Some(row) = client.query_opt(DATABASE, &[&user, &database]).await? {
        (role.database, role.takes_connections, role.may_connect) = (true, row.get(0), row.get(1));
    }
    Ok(role)
}

fn explain(user: &str, database: &str, role: &Role) -> Vec<Finding> {
    let name = postgres_name(user);
    vec![
        account(user, &name, role),
        token_user(user, &name, role),
        require_tls(role),
        privilege(user, database, role),
    ]
}

fn account(user: &str, name: &str, role: &Role) -> Finding {
    let step = Step::Account;
    if !role.exists {
        return Finding::failed(step, format!("there is no role `{user}`"))
            .expected("a role of that name, in the same case")
            .run("create it", format!("CREATE USER {name}; GRANT rds_iam TO {name};"));
    }
    if !role.can_login {
        return Finding::failed(step, format!("role `{user}` may not log in"))
            .expected("LOGIN")
            .run("let it", format!("ALTER ROLE {name} LOGIN;"));
    }
    if role.limit == 0 {
        return Finding::failed(step, format!("role `{user}` may have no connection"))
            .expected("a connection limit above 0")
            .run("lift the limit", format!("ALTER ROLE {name} CONNECTION LIMIT -1;"));
    }
    let over =
        if role.over { "; its password is past VALID UNTIL, which does not count for tokens" } else { "" };
    Finding::ok(step, format!("role `{user}` may log in{over}"))
}

fn token_user(user: &str, name: &str, role: &Role) -> Finding {
    let step = Step::TokenUser;
    if !role.exists {
        return Finding::skipped(step, "there is no such role");
    }
    if !role.has_iam_role {
        return Finding::failed(step, "there is no role `rds_iam`")
            .expected("the role `rds_iam`, which RDS makes")
            .mend("enable IAM authentication on the database first");
    }
    match role.path.as_slice() {
        [] => {
            let seen = if role.superuser {
                format!("`{user}` is a superuser, but not a member of `rds_iam`: that counts as none")
            } else {
                format!("`{user}` is not a member of `rds_iam`: its token is taken for a password")
            };
            Finding::failed(step, seen)
                .expected("a member of `rds_iam`")
                .run("make it one", format!("GRANT rds_iam TO {name};"))
        }
        [_, _] => Finding::ok(step, format!("`{user}` has `rds_iam`")),
        path => Finding::ok(step, format!("`{user}` has `rds_iam` by way of {}", path.join(" -> "))),
    }
}

fn require_tls(role: &Role) -> Finding {
    if role.path.is_empty() {
        return Finding::skipped(Step::RequireTls, "the user does not log in with tokens");
    }
    Finding::ok(Step::RequireTls, "the server refuses members of `rds_iam` without TLS")
}

fn privilege(user: &str, database: &str, role: &Role) -> Finding {
    let step = Step::Privilege;
    if !role.exists {
        return Finding::skipped(step, "there is no such role");
    }
    if !role.database {
        return Finding::failed(step, format!("there is no database `{database}`"))
            .expected("a database that exists")
            .run(
                "name another with --database; these are",
                "SELECT datname FROM pg_database WHERE datallowconn;",
            );
    }
    if !role.takes_connections {
        return Finding::failed(step, format!("database `{database}` takes no connections"))
            .expected("a database that one can connect to")
            .mend("name another with --database");
    }
    if !role.may_connect {
        return Finding::failed(step, format!("`{user}` may not connect to database `{database}`"))
            .expected("the privilege CONNECT")
            .run(
                "grant it",
                format!("GRANT CONNECT ON DATABASE {} TO {};", postgres_name(database), postgres_name(user)),
            );
    }
    Finding::ok(step, format!("`{user}` may connect to database `{database}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    fn role() -> Role {
        Role {
            exists: true,
            can_login: true,
            superuser: false,
            over: false,
            limit: -1,
            has_iam_role: true,
            path: vec!["app".to_owned(), "rds_iam".to_owned()],
            database: true,
            takes_connections: true,
            may_connect: true,
        }
    }

    fn failed(role: &Role) -> String {
        let findings = explain("app", "shop", role);
        let failed: Vec<_> = findings.iter().filter(|finding| finding.status == Status::Failed).collect();
        serde_json::to_string(&failed).unwrap()
    }

    #[test]
    fn roles_are_explained() {
        assert!(explain("app", "shop", &role()).iter().all(|finding| finding.status == Status::Ok));
        let told = failed(&Role::default());
        assert!(told.contains("there is no role `app`") && told.contains("CREATE USER"), "{told}");
        assert!(failed(&Role { can_login: false, ..role() }).contains("LOGIN;"));
        assert!(failed(&Role { limit: 0, ..role() }).contains("CONNECTION LIMIT -1"));
        assert!(failed(&Role { has_iam_role: false, ..role() }).contains("there is no role `rds_iam`"));
        assert!(failed(&Role { path: Vec::new(), ..role() }).contains("GRANT rds_iam TO"));
        assert!(failed(&Role { path: Vec::new(), superuser: true, ..role() }).contains("superuser"));
        assert!(failed(&Role { database: false, ..role() }).contains("no database `shop`"));
        assert!(failed(&Role { takes_connections: false, ..role() }).contains("takes no connections"));
        assert!(failed(&Role { may_connect: false, ..role() }).contains("GRANT CONNECT"));
        let nested = Role { path: ["app", "team", "rds_iam"].map(str::to_owned).to_vec(), ..role() };
        assert!(token_user("app", "\"app\"", &nested).seen.contains("app -> team -> rds_iam"));
        assert!(account("app", "\"app\"", &Role { over: true, ..role() }).seen.contains("does not count"));
    }
}
