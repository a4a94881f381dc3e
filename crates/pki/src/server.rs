//! Server certificates: which names they carry, and when one must be replaced.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;

use crate::pem::{certificate_der, parse};
use crate::{CaIdentifier, PkiError, SecretPem};

/// How long a server certificate is valid unless asked otherwise: one year, as on RDS.
pub const SERVER_LIFETIME: Duration = Duration::days(365);

/// Longest common name that X.520 allows (`ub-common-name`).
const COMMON_NAME_MAX: usize = 64;

/// Every name under which clients reach one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// DNS names, in any case and order.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// What people see as the subject; clients compare `dns` and `ips` only. Left out of the certificate if longer
    /// than the 64 characters that X.520 allows, as an endpoint name can be.
    pub common_name: String,
}

impl ServerNames {
    /// One host name and nothing else.
    #[must_use]
    pub fn host(name: &str) -> Self {
        Self { dns: vec![name.to_owned()], ips: Vec::new(), common_name: name.to_owned() }
    }

    fn alternatives(&self) -> BTreeSet<Alternative> {
        let dns = self.dns.iter().map(|name| Alternative::Dns(name.to_ascii_lowercase()));
        dns.chain(self.ips.iter().copied().map(Alternative::Ip)).collect()
    }
}

/// A server's certificate and the key to it.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The certificate. Its authority is a root, so there is no chain to send along.
    pub cert_pem: String,
    /// The private key.
    pub key_pem: SecretPem,
    /// Last moment of validity.
    pub not_after: OffsetDateTime,
}

/// The moment from which a certificate should be replaced: when two thirds of its lifetime are over, so that a third
/// is left to notice and mend a renewal that fails.
///
/// # Errors
/// [`PkiError::Certificate`] if `cert_pem` is not a certificate.
pub fn renew_after(cert_pem: &str) -> Result<OffsetDateTime, PkiError> {
    let der = certificate_der(cert_pem)?;
    let certificate = parse(&der)?;
    let (from, till) = (certificate.validity().not_before, certificate.validity().not_after);
    let (from, till) = (from.to_datetime(), till.to_datetime());
    Ok(from + (till - from) * 2 / 3)
}

/// Last moment of a certificate's validity.
///
/// # Errors
/// [`PkiError::Certificate`] if `cert_pem` is not a certificate.
pub fn valid_till(cert_pem: &str) -> Result<OffsetDateTime, PkiError> {
    let der = certificate_der(cert_pem)?;
    Ok(parse(&der)?.validity().not_after.to_datetime())
}

/// Whether a certificate is for exactly these names. One name too many is as wrong as one too few: after a rename
/// the old name may be that of another server. The common name does not count, clients do not compare it.
#[must_use]
pub fn covers(cert_pem: &str, names: &ServerNames) -> bool {
    alternatives_of(cert_pem).is_ok_and(|carried| carried == names.alternatives())
}

/// What a certificate for `names` says besides who signed it and when.
pub(crate) fn params(names: &ServerNames, identifier: CaIdentifier) -> Result<CertificateParams, PkiError> {
    let alternatives = names.alternatives();
    if alternatives.is_empty() {
        return Err(PkiError::NoNames);
    }
    let mut params = CertificateParams::default();
    params.subject_alt_names =
        alternatives.into_iter().map(Alternative::into_san).collect::<Result<_, PkiError>>()?;
    params.distinguished_name = DistinguishedName::new();
    if (1..=COMMON_NAME_MAX).contains(&names.common_name.chars().count()) {
        params.distinguished_name.push(DnType::CommonName, names.common_name.as_str());
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = match identifier {
        CaIdentifier::Ecc384G1 => vec![KeyUsagePurpose::DigitalSignature],
        CaIdentifier::Rsa2048G1 => {
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]
        }
    };
    Ok(params)
}

/// One subject alternative name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alternative {
    /// In lower case.
    Dns(String),
    Ip(IpAddr),
}

impl Alternative {
    fn into_san(self) -> Result<SanType, PkiError> {
        match self {
            Self::Dns(name) if !is_host_name(&name) => Err(PkiError::HostName(name)),
            Self::Dns(name) => Ok(SanType::DnsName(name.try_into()?)),
            Self::Ip(address) => Ok(SanType::IpAddress(address)),
        }
    }
}

fn alternatives_of(cert_pem: &str) -> Result<BTreeSet<Alternative>, PkiError> {
    const DAMAGED: PkiError = PkiError::Certificate("its alternative names are damaged");
    let der = certificate_der(cert_pem)?;
    let certificate = parse(&der)?;
    let Some(names) = certificate.subject_alternative_name().map_err(|_| DAMAGED)? else {
        return Ok(BTreeSet::new());
    };
    let alternative = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Ok(Alternative::Dns(name.to_ascii_lowercase())),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .map(Alternative::Ip)
            .map_err(|_| DAMAGED),
        _ => Err(PkiError::Certificate("it has alternative names that are neither host nor address")),
    };
    names.value.general_names.iter().map(alternative).collect()
}

/// Letters, digits, hyphens and, for container networks, underscores; at most 253 in labels of at most 63.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::Authority;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

    fn authority() -> Authority {
        Authority::generate("us-east-1", CaIdentifier::Ecc384G1, NOW).unwrap()
    }

    fn all_names() -> ServerNames {
        ServerNames {
            dns: vec!["localhost".into(), "MyDB.abcdefghijkl.us-east-1.rds.amazonaws.com".into()],
            ips: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            common_name: "mydb".into(),
        }
    }

    #[test]
    fn covers_exactly_its_names() {
        let names = all_names();
        let pem = authority().issue(&names, NOW, SERVER_LIFETIME).unwrap().cert_pem;
        assert!(covers(&pem, &names));

        let mut same = names.clone();
        same.dns.reverse();
        same.dns.push("LOCALHOST".into());
        same.common_name = "another".into();
        assert!(covers(&pem, &same), "order, case and repetition do not matter");

        let mut fewer = names.clone();
        fewer.ips.pop();
        assert!(!covers(&pem, &fewer));
        let mut more = names;
        more.dns.push("reader.example".into());
        assert!(!covers(&pem, &more));
        assert!(!covers("damaged", &more));
    }

    #[test]
    fn renewed_after_two_thirds() {
        let lifetime = Duration::days(30);
        let leaf = authority().issue(&all_names(), NOW, lifetime).unwrap();
        assert_eq!(leaf.not_after, NOW + lifetime);
        assert_eq!(valid_till(&leaf.cert_pem).unwrap(), leaf.not_after);
        // The five minutes before the start belong to the lifetime.
        let due = renew_after(&leaf.cert_pem).unwrap();
        assert_eq!(due, NOW + Duration::days(20) - Duration::seconds(100));
    }

    #[test]
    fn names_that_match_nothing_are_refused() {
        let issue = |dns: &str| authority().issue(&ServerNames::host(dns), NOW, SERVER_LIFETIME);
        for bad in
            ["", "a..b", "*.example", "-a.example", "a b", "a\0", "b\u{fc}cher.example", &"a".repeat(64)]
        {
            assert!(matches!(issue(bad), Err(PkiError::HostName(_))), "{bad:?}");
        }
        issue("my_db").unwrap();
        let none = authority().issue(&ServerNames::default(), NOW, SERVER_LIFETIME);
        assert!(matches!(none, Err(PkiError::NoNames)));
    }

    #[test]
    fn a_long_common_name_is_left_out() {
        let long = format!("{}.abcdefghijkl.us-east-1.rds.amazonaws.com", "d".repeat(63));
        let pem = authority().issue(&ServerNames::host(&long), NOW, SERVER_LIFETIME).unwrap().cert_pem;
        assert!(covers(&pem, &ServerNames::host(&long)));
        let der = certificate_der(&pem).unwrap();
        assert_eq!(parse(&der).unwrap().subject().to_string(), "O=Countersign");
    }
}
