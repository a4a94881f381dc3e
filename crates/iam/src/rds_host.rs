//! What the host name of an Amazon RDS endpoint says: which kind of endpoint it is, whose, and in which region.
//!
//! Only names in Amazon's own domains say anything. A region is never guessed: under another domain a label that looks like
//! one may be anything, so a Countersign's `<id>.<hash>.<region>.<domain>` is not read.

use crate::Region;

/// What an endpoint leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RdsHostKind {
    /// An instance.
    Instance,
    /// The writer of a cluster.
    Writer,
    /// The readers of a cluster.
    Reader,
    /// A custom endpoint of a cluster.
    Custom,
    /// The shard group of a cluster.
    ShardGroup,
    /// An RDS Proxy.
    Proxy,
    /// A further endpoint of an RDS Proxy.
    ProxyEndpoint,
    /// The writer of a global database, in whichever region that is.
    Global,
    /// In Amazon's domain, of no form that is known here.
    Other,
}

/// The host name of an endpoint that Amazon RDS gave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdsHost {
    /// What it leads to.
    pub kind: RdsHostKind,
    /// The first label, in lower case: the identifier of the instance, the cluster, the custom endpoint or the proxy.
    pub identifier: String,
    /// Its region; a global endpoint has none.
    pub region: Option<Region>,
    /// Whether it is the endpoint with FIPS 140 cryptography.
    pub fips: bool,
}

/// The domains of Amazon's partitions, and which partition a region under it must be of where the domain is of one alone.
const DOMAINS: &[(&str, &[&str])] = &[
    ("amazonaws.com.cn", &["aws-cn"]),
    ("amazonaws.com", &["aws", "aws-us-gov"]),
    ("amazonaws.eu", &["aws-eusc", "aws"]),
    ("amazonaws.au", &["aws"]),
    ("amazonaws.uk", &["aws"]),
    ("csp.hci.ic.gov", &["aws-iso-f"]),
    ("c2s.ic.gov", &["aws-iso"]),
    ("sc2s.sgov.gov", &["aws-iso-b"]),
    ("cloud.adc-e.uk", &["aws-iso-e"]),
];

impl RdsHost {
    /// Reads a host name, in any case, with or without a dot at the end; nothing where it is not one of Amazon RDS.
    pub fn parse(host: &str) -> Option<Self> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let (rest, partitions) = DOMAINS.iter().find_map(|(domain, partitions)| {
            Some((host.strip_suffix(domain)?.strip_suffix('.')?, *partitions))
        })?;
        let labels: Vec<&str> = rest.split('.').collect();
        if !labels.iter().all(|label| is_label(label)) {
            return None;
        }
        // `<x>.<region>.rds.<domain>`, or `<x>.rds.<region>.<domain>`.
        let (name, region, service) = match labels.as_slice() {
            [name @ .., region, service @ ("rds" | "rds-fips")] => (name, *region, *service),
            [name @ .., service @ ("rds" | "rds-fips"), region] => (name, *region, *service),
            _ => return None,
        };
        let identifier = (*name.first()?).to_owned();
        let fips = service == "rds-fips";
        if region == "global" {
            return Some(Self { kind: RdsHostKind::Global, identifier, region: None, fips });
        }
        let region: Region = region.parse().ok()?;
        if !partitions.contains(&region.partition()) {
            return None;
        }
        Some(Self { kind: kind(name), identifier, region: Some(region), fips })
    }
}

fn kind(labels: &[&str]) -> RdsHostKind {
    const PREFIXES: [(&str, RdsHostKind); 6] = [
        ("cluster-custom-", RdsHostKind::Custom),
        ("cluster-ro-", RdsHostKind::Reader),
        ("cluster-", RdsHostKind::Writer),
        ("shardgrp-", RdsHostKind::ShardGroup),
        ("proxy-", RdsHostKind::Proxy),
        ("", RdsHostKind::Instance),
    ];
    let is_hash = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    match labels {
        [_, hash] => PREFIXES
            .into_iter()
            .find(|(prefix, _)| hash.strip_prefix(prefix).is_some_and(is_hash))
            .map_or(RdsHostKind::Other, |(_, kind)| kind),
        [_, "endpoint", hash] if hash.strip_prefix("proxy-").is_some_and(is_hash) => {
            RdsHostKind::ProxyEndpoint
        }
        _ => RdsHostKind::Other,
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::RdsHostKind::{
        Custom, Global, Instance, Other, Proxy, ProxyEndpoint, Reader, ShardGroup, Writer,
    };
    use super::*;

    #[track_caller]
    fn read(host: &str) -> (RdsHostKind, String, Option<String>) {
        let read = RdsHost::parse(host).unwrap_or_else(|| panic!("{host}"));
        assert_eq!(read.fips, host.contains("rds-fips"), "{host}");
        (read.kind, read.identifier, read.region.map(String::from))
    }

    #[test]
    fn every_form_that_amazon_gives_out() {
        const X: &str = "c7tj4example";
        for (prefix, kind) in [
            ("", Instance),
            ("cluster-", Writer),
            ("cluster-ro-", Reader),
            ("cluster-custom-", Custom),
            ("shardgrp-", ShardGroup),
            ("proxy-", Proxy),
            ("endpoint.proxy-", ProxyEndpoint),
        ] {
            for (region, suffix) in [
                ("us-east-1", "us-east-1.rds.amazonaws.com"),
                ("ap-southeast-7", "ap-southeast-7.rds.amazonaws.com"),
                ("us-west-2", "us-west-2.rds-fips.amazonaws.com"),
                ("cn-north-1", "rds.cn-north-1.amazonaws.com.cn"),
                ("cn-northwest-1", "cn-northwest-1.rds.amazonaws.com.cn"),
                ("us-gov-west-1", "rds.us-gov-west-1.amazonaws.com"),
                ("us-gov-east-1", "us-gov-east-1.rds.amazonaws.com"),
                ("us-gov-east-1", "rds-fips.us-gov-east-1.amazonaws.com"),
                ("us-iso-east-1", "rds.us-iso-east-1.c2s.ic.gov"),
                ("us-isob-east-1", "rds.us-isob-east-1.sc2s.sgov.gov"),
                ("us-isob-east-1", "us-isob-east-1.rds.sc2s.sgov.gov"),
                ("eu-isoe-west-1", "rds.eu-isoe-west-1.cloud.adc-e.uk"),
                ("us-isof-south-1", "rds.us-isof-south-1.csp.hci.ic.gov"),
                ("eusc-de-east-1", "eusc-de-east-1.rds.amazonaws.eu"),
                ("eu-west-1", "eu-west-1.rds.amazonaws.eu"),
                ("ap-southeast-2", "ap-southeast-2.rds.amazonaws.au"),
                ("eu-west-2", "eu-west-2.rds.amazonaws.uk"),
            ] {
                let host = format!("my-db-1.{prefix}{X}.{suffix}");
                let expected = (kind, "my-db-1".to_owned(), Some(region.to_owned()));
                assert_eq!(read(&host), expected, "{host}");
                assert_eq!(read(&format!("{host}.")), expected, "{host}.");
                let upper = RdsHost::parse(&host.to_uppercase()).unwrap();
                assert_eq!((upper.kind, upper.identifier, upper.region.map(String::from)), expected);
            }
        }
        for host in
            ["g.global-abcdefghijkl.global.rds.amazonaws.com", "G.global-a1.global.rds.amazonaws.com."]
        {
            assert_eq!(read(host), (Global, "g".to_owned(), None));
        }
        // As in the examples of the SDKs: Amazon's, whatever it is.
        let host = "prod-instance.us-east-1.rds.amazonaws.com";
        assert_eq!(read(host), (Other, "prod-instance".to_owned(), Some("us-east-1".to_owned())));
    }

    #[test]
    fn look_alikes_are_not_amazons() {
        for host in [
            "",
            ".",
            "localhost",
            "127.0.0.1",
            "::1",
            "mydb",
            "amazonaws.com",
            "rds.amazonaws.com",
            "us-east-1.rds.amazonaws.com",
            "rds.us-east-1.amazonaws.com",
            "global.rds.amazonaws.com",
            "mydb.abcdefghijkl.us-east-1.rds.amazonaws.com.evil.example",
            "x.rds.amazonaws.com.evil.example",
            "mydb.abcdefghijkl.us-east-1.rds.evilamazonaws.com",
            "mydb.abcdefghijkl.us-east-1.notrds.amazonaws.com",
            "mydb.abcdefghijkl.us-east-1.rds-amazonaws.com",
            "mydb.abcdefghijkl.us-east-1.rds.amazonaws.org",
            "mydb.abcdefghijkl.us-east-1.redshift.amazonaws.com",
            "mydb.abcdefghijkl.us-east-1.rds.amazonaws.com..",
            "mydb..us-east-1.rds.amazonaws.com",
            ".abcdefghijkl.us-east-1.rds.amazonaws.com",
            "my_db/.abcdefghijkl.us-east-1.rds.amazonaws.com",
            "mydb.abcdefghijkl.nowhere.rds.amazonaws.com",
            "mydb.abcdefghijkl.rds.amazonaws.com",
            "mydb.abcdefghijkl.us-east-1.rds.amazonaws.com.cn",
            "mydb.abcdefghijkl.cn-north-1.rds.amazonaws.com",
            "mydb.abcdefghijkl.rds.us-east-1.c2s.ic.gov",
            "mydb.abcdefghijkl.us-east-1.db.example.com",
            "mydb.abcdefghijkl.us-east-1.rds.example.com",
            "mydb.abcdefghijkl.us-east-1.rds.amazonaws.com:5432",
        ] {
            assert_eq!(RdsHost::parse(host), None, "{host}");
        }
    }

    #[test]
    fn the_names_of_every_region_are_read_back() {
        for name in [
            "us-east-1",
            "cn-north-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "us-isob-west-1",
            "eu-isoe-west-1",
            "us-isof-south-1",
            "eusc-de-east-1",
        ] {
            let region: Region = name.parse().unwrap();
            let host = format!("mydb.abcdefghijkl.{}", region.rds_suffix());
            assert_eq!(read(&host), (Instance, "mydb".to_owned(), Some(name.to_owned())), "{host}");
        }
    }
}
