//! The way to the server: its addresses, and whether anything answers at the port of each.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use client::Host;
use client::api::Found;
use futures_util::future::join_all;
use iam::RdsHostKind;
use tokio::net::TcpStream;

use crate::finding::{Finding, Step};

/// How long a port may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a resolver says of a name.
pub(crate) async fn resolve(host: &Host) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for address in tokio::net::lookup_host((host.bare(), 0)).await? {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

/// Tells of the name.
pub(crate) fn explain_name(
    host: &Host,
    resolved: &io::Result<Vec<IpAddr>>,
    found: Option<&Found>,
) -> Finding {
    let own = found.and_then(|found| found.address.as_ref());
    match resolved {
        Ok(addresses) if !addresses.is_empty() => {
            let shown: Vec<String> =
                addresses.iter().map(|address| format!("{address} ({})", reach(*address))).collect();
            let shown = shown.join(", ");
            if host.bare().parse::<IpAddr>().is_ok() {
                return Finding::ok(Step::Name, format!("an address, not a name: {shown}"));
            }
            Finding::ok(Step::Name, format!("`{host}` is {shown}"))
        }
        resolved => {
            let why = match resolved {
                Ok(_) => "it has no address".to_owned(),
                Err(error) => error.to_string(),
            };
            let finding = Finding::failed(Step::Name, format!("`{host}` does not resolve: {why}"))
                .expected("a name that resolves here");
            let finding = match own {
                Some(own) if !own.eq_ignore_ascii_case(host.as_str()) => finding.run(
                    format!("the database is known under its identifier; its host is `{own}`"),
                    format!("countersign doctor --host {own} ..."),
                ),
                _ => finding,
            };
            let finding = match host.rds() {
                Some(rds) if rds.kind == RdsHostKind::Instance => finding.run(
                    "compare it with the instance's address, which ends to resolve when the instance is deleted or renamed",
                    format!(
                        "aws rds describe-db-instances --db-instance-identifier {} --query 'DBInstances[0].Endpoint'",
                        rds.identifier
                    ),
                ),
                Some(_) => finding.run(
                    "compare it with the addresses that there are",
                    "aws rds describe-db-clusters --query 'DBClusters[].[Endpoint,ReaderEndpoint]'",
                ),
                None => finding,
            };
            finding.mend("correct the name; if other machines resolve it, look at this one's resolver (/etc/resolv.conf, VPN)")
        }
    }
}

/// From where an address can be reached.
fn reach(address: IpAddr) -> &'static str {
    match address {
        address if address.is_loopback() => "this machine",
        IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() => "private",
        // 100.64.0.0/10, between a provider and its customers.
        IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64 => "private",
        IpAddr::V6(v6) if is_unique_local(v6) => "private",
        _ => "public",
    }
}

/// fc00::/7 and fe80::/10.
fn is_unique_local(v6: Ipv6Addr) -> bool {
    let first = v6.segments()[0];
    first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
}

/// What came of dialling an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    Answered,
    Refused,
    TimedOut,
    Unreachable(String),
}

/// Dials all addresses at once.
pub(crate) async fn dial(addresses: &[IpAddr], port: u16) -> Vec<(IpAddr, Dialled)> {
    join_all(addresses.iter().map(async |&address| {
        let connected =
            tokio::time::timeout(PATIENCE, TcpStream::connect(SocketAddr::new(address, port))).await;
        let came = match connected {
            Ok(Ok(_)) => Dialled::Answered,
            Ok(Err(error)) => match error.kind() {
                ErrorKind::ConnectionRefused => Dialled::Refused,
                ErrorKind::TimedOut => Dialled::TimedOut,
                _ => Dialled::Unreachable(error.to_string()),
            },
            Err(_) => Dialled::TimedOut,
        };
        (address, came)
    }))
    .await
}

/// Tells of the port.
pub(crate) fn explain_port(
    host: &Host,
    port: u16,
    dialled: &[(IpAddr, Dialled)],
    found: Option<&Found>,
) -> Finding {
    let shown: Vec<String> = dialled
        .iter()
        .map(|(address, came)| {
            let address = SocketAddr::new(*address, port);
            match came {
                Dialled::Answered => format!("{address} answers"),
                Dialled::Refused => format!("{address} refuses connections"),
                Dialled::TimedOut => format!("{address} does not answer within {} s", PATIENCE.as_secs()),
                Dialled::Unreachable(why) => format!("{address} cannot be reached: {why}"),
            }
        })
        .collect();
    let shown = shown.join("; ");
    let any = |wanted: &dyn Fn(&Dialled) -> bool| dialled.iter().any(|(_, came)| wanted(came));
    if any(&|came| *came == Dialled::Answered) {
        // A refusal costs a client nothing: it goes on to the next address.
        if any(&|came| matches!(came, Dialled::TimedOut | Dialled::Unreachable(_))) {
            return Finding::warning(Step::Port, shown)
                .expected("an answer at each address: clients that begin with the other wait, or give up")
                .mend("let the name have only addresses that can be reached from here, or open the way to the other");
        }
        return Finding::ok(Step::Port, shown);
    }
    let mut finding = Finding::failed(Step::Port, shown).expected("a server that answers");
    if let Some(found) = found {
        let dial = found.address.as_deref().unwrap_or(host.as_str());
        if found.port.is_some_and(|own| own != port) {
            let own = found.port.unwrap_or_default();
            return finding.run(
                format!("{} `{}` listens on port {own}", found.kind.as_str(), found.identifier),
                format!("countersign doctor --host {dial} --port {own} ..."),
            );
        }
        if found.status != "available" {
            finding = finding.mend(format!(
                "{} `{}` is {}: wait until it is available{}",
                found.kind.as_str(),
                found.identifier,
                found.status,
                if found.status == "stopped" { ", or start it" } else { "" }
            ));
        }
    }
    if any(&|came| *came == Dialled::Refused) {
        finding = finding.mend(format!(
            "the machine is there, and nothing listens on port {port}: is the port right, and does the server run?"
        ));
        if host.is_loopback() {
            finding =
                finding.run("the databases of a Countersign here, with their ports", "countersign status");
        }
        return finding;
    }
    if host.rds().is_some() {
        let identifier = found.map_or("IDENTIFIER", |found| &found.identifier);
        if found.is_some_and(|found| found.publicly_accessible == Some(false)) {
            finding = finding.mend(
                "the database is not publicly accessible: dial it from inside its VPC, through a VPN, or through a forwarded port",
            );
        }
        finding = finding
            .run(
                "look up the database's security group",
                format!(
                    "aws rds describe-db-instances --db-instance-identifier {identifier} --query 'DBInstances[0].VpcSecurityGroups'"
                ),
            )
            .run(
                "let this machine in",
                format!(
                    "aws ec2 authorize-security-group-ingress --group-id SG --protocol tcp --port {port} --cidr ADDRESS/32"
                ),
            );
    }
    finding.mend("a firewall or a route between here and there drops the packets: look at security groups, network ACLs, routes and the VPN")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::found;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    fn texts(finding: &Finding) -> String {
        serde_json::to_string(finding).unwrap()
    }

    #[test]
    fn where_addresses_lead() {
        for (address, wanted) in [
            ("127.0.0.1", "this machine"),
            ("::1", "this machine"),
            ("10.1.2.3", "private"),
            ("100.64.0.1", "private"),
            ("fd00::1", "private"),
            ("52.1.2.3", "public"),
            ("2600::1", "public"),
        ] {
            assert_eq!(reach(address.parse().unwrap()), wanted, "{address}");
        }
    }

    #[test]
    fn names_that_do_not_resolve() {
        let unknown = || Err(io::Error::other("Name or service not known"));
        let finding = explain_name(&host("mydb.abc123.us-east-1.rds.amazonaws.com"), &unknown(), None);
        assert!(texts(&finding).contains("--db-instance-identifier mydb"), "{finding:?}");
        let finding = explain_name(&host("mydb"), &unknown(), Some(&found()));
        assert!(texts(&finding).contains("--host mydb.abc123.us-east-1.rds.amazonaws.com"), "{finding:?}");
        let finding = explain_name(&host("h.example"), &Ok(Vec::new()), None);
        assert!(finding.seen.contains("no address"), "{finding:?}");
    }

    #[test]
    fn ports_that_do_not_answer_are_told_apart() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let amazon = host("mydb.abc123.us-east-1.rds.amazonaws.com");
        let explain = |came: Dialled, port, found: Option<&Found>| {
            texts(&explain_port(&amazon, port, &[(address, came)], found))
        };
        let text = explain(Dialled::Refused, 5432, None);
        assert!(text.contains("nothing listens on port 5432"), "{text}");
        let text = explain(Dialled::TimedOut, 5432, Some(&found()));
        assert!(text.contains("not publicly accessible") && text.contains("security-group"), "{text}");
        let text = explain(Dialled::TimedOut, 5433, Some(&found()));
        assert!(text.contains("--port 5432"), "{text}");
        let stopped = Found { status: "stopped".to_owned(), ..found() };
        let text = explain(Dialled::Refused, 5432, Some(&stopped));
        assert!(text.contains("is stopped") && text.contains("or start it"), "{text}");

        let other = "::2".parse().unwrap();
        let both = [(address, Dialled::Answered), (other, Dialled::Unreachable("no route".to_owned()))];
        let finding = explain_port(&amazon, 5432, &both, None);
        assert_eq!(finding.status, crate::Status::Warning, "{finding:?}");
        let both = [(address, Dialled::Answered), (other, Dialled::Refused)];
        assert_eq!(explain_port(&amazon, 5432, &both, None).status, crate::Status::Ok);
    }
}
