//! One certificate authority: its key, its certificate, and the server certificates that it signs.

use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroize;

use crate::pem::{certificate_der, certificate_pem, key_der, parse, subject_name};
use crate::server::{self, ServerCertificate, ServerNames};
use crate::{CaIdentifier, PkiError, SecretPem};

/// How far before its making a certificate is already valid, for clients whose clock is behind.
const CLOCK_SKEW: Duration = Duration::minutes(5);

/// The organization in every subject.
const ORGANIZATION: &str = "Countersign";

/// A root authority of one region: `CN=Countersign us-east-1 Root CA ECC384 G1, O=Countersign`.
///
/// It may sign servers, not further authorities (path length 0).
pub struct Authority {
    region: String,
    identifier: CaIdentifier,
    cert_pem: String,
    thumbprint: String,
    valid_from: OffsetDateTime,
    valid_till: OffsetDateTime,
    issuer: Issuer<'static, WipedKey>,
}

impl Authority {
    /// Makes a new authority with a new key, valid from five minutes before `now` for as long as that of the same
    /// identifier on RDS.
    ///
    /// # Errors
    /// [`PkiError::Region`] unless `region` looks like one; [`PkiError::Crypto`] and [`PkiError::Randomness`] if the
    /// crypto library fails.
    pub fn generate(region: &str, identifier: CaIdentifier, now: OffsetDateTime) -> Result<Self, PkiError> {
        check_region(region)?;
        let key = WipedKey(KeyPair::generate_for(identifier.authority_algorithm())?);

        let mut params = CertificateParams::default();
        params.serial_number = Some(random_serial()?);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name(region, identifier));
        params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
        params.not_before = now.saturating_sub(CLOCK_SKEW);
        params.not_after = now.saturating_add(identifier.lifetime());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;

        Self::assemble(certificate.der(), key)
    }

    /// Takes up an authority from what [`cert_pem`](Self::cert_pem) and [`key_pem`](Self::key_pem) gave. Region and
    /// identifier are read from the certificate's subject.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] and [`PkiError::Key`] for text that is neither, [`PkiError::NotAnAuthority`] for a
    /// certificate that [`generate`](Self::generate) did not make, [`PkiError::KeyMismatch`] for the key of another.
    pub fn load(cert_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let cert_der = certificate_der(cert_pem)?;
        let key = key_der(key_pem)?;
        let key = WipedKey(KeyPair::try_from(key.as_slice()).map_err(|_| PkiError::Key)?);
        Self::assemble(&cert_der, key)
    }

    fn assemble(cert_der: &[u8], key: WipedKey) -> Result<Self, PkiError> {
        let certificate = parse(cert_der)?;
        let name = subject_name(&certificate);
        let Some((region, identifier)) = parse_common_name(&name).filter(|_| certificate.is_ca()) else {
            return Err(PkiError::NotAnAuthority(name));
        };
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(PkiError::KeyMismatch(name));
        }
        Ok(Self {
            region: region.to_owned(),
            identifier,
            cert_pem: certificate_pem(cert_der),
            thumbprint: hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, cert_der).as_ref()),
            valid_from: certificate.validity().not_before.to_datetime(),
            valid_till: certificate.validity().not_after.to_datetime(),
            issuer: Issuer::from_ca_cert_der(&cert_der.into(), key)?,
        })
    }

    /// Signs a certificate for a server with a new key, valid from five minutes before `now` for `lifetime`
    /// (usually [`SERVER_LIFETIME`](crate::SERVER_LIFETIME)), at most as long as the authority itself.
    ///
    /// # Errors
    /// [`PkiError::NoNames`] and [`PkiError::HostName`] for `names` that no client could match,
    /// [`PkiError::Validity`] if `lifetime` is not positive or the authority has expired; [`PkiError::Crypto`] and
    /// [`PkiError::Randomness`] if the crypto library fails.
    pub fn issue(
        &self,
        names: &ServerNames,
        now: OffsetDateTime,
        lifetime: Duration,
    ) -> Result<ServerCertificate, PkiError> {
        let not_after = now.saturating_add(lifetime).min(self.valid_till);
        if not_after <= now {
            return Err(PkiError::Validity {
                authority: common_name(&self.region, self.identifier),
                valid_till: self.valid_till,
                from: now,
                till: not_after,
            });
        }
        let mut params = server::params(names, self.identifier)?;
        params.serial_number = Some(random_serial()?);
        params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
        params.not_before = now.saturating_sub(CLOCK_SKEW).max(self.valid_from);
        params.not_after = not_after;

        let key = WipedKey(KeyPair::generate_for(self.identifier.server_algorithm())?);
        let certificate = params.signed_by(&key, &self.issuer)?;
        server_certificate(&certificate, &key)
    }

    /// Whether a server must get a new certificate in place of `cert_pem`: it is unreadable, from another
    /// authority, not exactly for `names` ([`covers`](crate::covers)), or due by
    /// [`renew_after`](crate::renew_after).
    #[must_use]
    pub fn must_reissue(&self, cert_pem: &str, names: &ServerNames, now: OffsetDateTime) -> bool {
        !self.signed(cert_pem)
            || !server::covers(cert_pem, names)
            || server::renew_after(cert_pem).map_or(true, |due| due <= now)
    }

    /// Whether the first certificate in `cert_pem` bears this authority's signature.
    #[must_use]
    pub fn signed(&self, cert_pem: &str) -> bool {
        let check = || -> Result<bool, PkiError> {
            let (leaf, authority) = (certificate_der(cert_pem)?, certificate_der(&self.cert_pem)?);
            let authority = parse(&authority)?;
            Ok(parse(&leaf)?.verify_signature(Some(authority.public_key())).is_ok())
        };
        check().unwrap_or(false)
    }

    /// The authority's certificate, for bundles.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's private key. Whoever has it can pose as any database server to every client that trusts the
    /// bundle.
    #[must_use]
    pub fn key_pem(&self) -> SecretPem {
        self.issuer.key().pem()
    }

    /// SHA-1 of the certificate in lower-case hex, as DescribeCertificates shows it.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// First moment of the authority's validity.
    #[must_use]
    pub fn valid_from(&self) -> OffsetDateTime {
        self.valid_from
    }

    /// Last moment of the authority's validity.
    #[must_use]
    pub fn valid_till(&self) -> OffsetDateTime {
        self.valid_till
    }

    /// Which of the region's authorities this is.
    #[must_use]
    pub fn identifier(&self) -> CaIdentifier {
        self.identifier
    }

    /// The region that the authority serves.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("region", &self.region)
            .field("identifier", &self.identifier)
            .field("thumbprint", &self.thumbprint)
            .field("valid_till", &self.valid_till)
            .finish_non_exhaustive()
    }
}

/// A certificate of a server that vouches for itself, for clients that are told to trust this one and no other.
///
/// # Errors
/// [`PkiError::NoNames`] and [`PkiError::HostName`] for names that cannot be certified.
pub fn self_signed(
    names: &ServerNames,
    now: OffsetDateTime,
    lifetime: Duration,
) -> Result<ServerCertificate, PkiError> {
    let identifier = CaIdentifier::Ecc384G1;
    let mut params = server::params(names, identifier)?;
    params.serial_number = Some(random_serial()?);
    params.not_before = now.saturating_sub(CLOCK_SKEW);
    params.not_after = now.saturating_add(lifetime);
    let key = WipedKey(KeyPair::generate_for(identifier.server_algorithm())?);
    let certificate = params.self_signed(&key)?;
    server_certificate(&certificate, &key)
}

fn server_certificate(certificate: &Certificate, key: &WipedKey) -> Result<ServerCertificate, PkiError> {
    Ok(ServerCertificate {
        cert_pem: certificate_pem(certificate.der()),
        key_pem: key.pem(),
        // As the certificate has it: X.509 knows no fractions of a second.
        not_after: parse(certificate.der())?.validity().not_after.to_datetime(),
    })
}

/// A key pair whose encoded private key is wiped with it. The key inside the crypto library is wiped by that.
struct WipedKey(KeyPair);

impl WipedKey {
    fn pem(&self) -> SecretPem {
        SecretPem::from_pkcs8(self.0.serialized_der())
    }
}

impl Drop for WipedKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for WipedKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for WipedKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

fn common_name(region: &str, identifier: CaIdentifier) -> String {
    format!("{ORGANIZATION} {region} Root CA {}", identifier.label())
}

fn parse_common_name(name: &str) -> Option<(&str, CaIdentifier)> {
    let (region, label) = name.strip_prefix(ORGANIZATION)?.strip_prefix(' ')?.split_once(" Root CA ")?;
    let identifier = CaIdentifier::ALL.into_iter().find(|identifier| identifier.label() == label)?;
    check_region(region).ok()?;
    Some((region, identifier))
}

fn check_region(region: &str) -> Result<(), PkiError> {
    let well_formed = (1..=32).contains(&region.len())
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if well_formed { Ok(()) } else { Err(PkiError::Region(region.to_owned())) }
}

/// 128 random bits: no two certificates share a serial number, and nobody can foresee one.
fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| PkiError::Randomness)?;
    Ok(SerialNumber::from_slice(&serial))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::SERVER_LIFETIME;

    const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

    #[test]
    fn load_gives_back_what_generate_made() {
        for identifier in CaIdentifier::ALL {
            let made = Authority::generate("eu-central-1", identifier, NOW).unwrap();
            let loaded = Authority::load(made.cert_pem(), made.key_pem().expose()).unwrap();
            assert_eq!(loaded.region(), "eu-central-1");
            assert_eq!(loaded.identifier(), identifier);
            assert_eq!(loaded.thumbprint(), made.thumbprint());
            assert_eq!(loaded.cert_pem(), made.cert_pem());
            assert_eq!(loaded.key_pem().expose(), made.key_pem().expose());
            assert_eq!(loaded.valid_from(), NOW - Duration::minutes(5));
            let years = (loaded.valid_till() - NOW).whole_days() / 365;
            assert_eq!(years, if identifier == CaIdentifier::Ecc384G1 { 100 } else { 40 });

            let leaf = loaded.issue(&ServerNames::host("localhost"), NOW, SERVER_LIFETIME).unwrap();
            assert!(made.signed(&leaf.cert_pem));
        }
    }

    #[test]
    fn load_refuses_what_does_not_fit() {
        let one = Authority::generate("us-east-1", CaIdentifier::Ecc384G1, NOW).unwrap();
        let two = Authority::generate("us-east-1", CaIdentifier::Ecc384G1, NOW).unwrap();
        let leaf = one.issue(&ServerNames::host("localhost"), NOW, SERVER_LIFETIME).unwrap();
        let load = |cert: &str, key: &SecretPem| Authority::load(cert, key.expose()).unwrap_err();

        assert!(matches!(load(one.cert_pem(), &two.key_pem()), PkiError::KeyMismatch(_)));
        assert!(matches!(load(&leaf.cert_pem, &leaf.key_pem), PkiError::NotAnAuthority(_)));
        assert!(matches!(load("nothing", &one.key_pem()), PkiError::Certificate(_)));
        assert!(matches!(Authority::load(one.cert_pem(), one.cert_pem()), Err(PkiError::Key)));
        for region in ["", "US-EAST-1", "us east", "x\n"] {
            assert!(matches!(
                Authority::generate(region, CaIdentifier::Ecc384G1, NOW),
                Err(PkiError::Region(_))
            ));
        }
    }

    #[test]
    fn a_server_certificate_ends_with_its_authority() {
        let authority = Authority::generate("us-east-1", CaIdentifier::Ecc384G1, NOW).unwrap();
        let names = ServerNames::host("localhost");
        let late = authority.valid_till() - Duration::days(1);
        let leaf = authority.issue(&names, late, SERVER_LIFETIME).unwrap();
        assert_eq!(leaf.not_after, authority.valid_till());

        let over = authority.issue(&names, authority.valid_till(), SERVER_LIFETIME);
        assert!(matches!(over, Err(PkiError::Validity { .. })));
        assert!(matches!(authority.issue(&names, NOW, Duration::ZERO), Err(PkiError::Validity { .. })));
    }

    #[test]
    fn reissued_when_due_renamed_or_resigned() {
        let authority = Authority::generate("us-east-1", CaIdentifier::Ecc384G1, NOW).unwrap();
        let other = Authority::generate("us-east-1", CaIdentifier::Rsa2048G1, NOW).unwrap();
        let names = ServerNames::host("localhost");
        let pem = authority.issue(&names, NOW, SERVER_LIFETIME).unwrap().cert_pem;

        assert!(!authority.must_reissue(&pem, &names, NOW));
        assert!(!authority.must_reissue(&pem, &names, NOW + Duration::days(242)));
        assert!(authority.must_reissue(&pem, &names, NOW + Duration::days(244)));
        assert!(authority.must_reissue(&pem, &ServerNames::host("db.example"), NOW));
        assert!(other.must_reissue(&pem, &names, NOW));
        assert!(authority.must_reissue("damaged", &names, NOW));
    }

    #[test]
    fn debug_shows_no_key() {
        let authority = Authority::generate("us-east-1", CaIdentifier::Ecc384G1, NOW).unwrap();
        let leaf = authority.issue(&ServerNames::host("localhost"), NOW, SERVER_LIFETIME).unwrap();
        let shown = format!("{authority:?} {leaf:?} {:?}", authority.key_pem());
        for key in [authority.key_pem(), leaf.key_pem] {
            // Whole lines: a short last one can be anywhere by chance.
            let mut lines = key.expose().lines().filter(|line| line.len() == 64);
            assert!(lines.all(|line| !shown.contains(line)), "{shown}");
        }
    }
}
