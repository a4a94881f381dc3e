//! The server's certificate: verified as every connection verifies it, and explained where that fails.
//!
//! To explain a refusal, the chain is fetched once more by a verifier that writes it down and refuses always: no connection
//! ever goes on that is not verified.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use client::{Bundle, Host};
use iam::Region;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Engine;
use crate::finding::{Finding, Step};
use crate::protocol::{printable, until_tls};
use crate::show::moment;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    subject: String,
    issuer: String,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    names: Vec<String>,
}

impl Shown {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut names = Vec::new();
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(name) => names.push(printable(name.as_bytes())),
                    GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        let text = |name: &x509_parser::x509::X509Name<'_>| {
            let common = name.iter_common_name().next().and_then(|name| name.as_str().ok());
            printable(common.map_or_else(|| name.to_string(), str::to_owned).as_bytes())
        };
        Some(Self {
            subject: text(certificate.subject()),
            issuer: text(certificate.issuer()),
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            names,
        })
    }

    fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

/// Shakes hands with a server, which must show a certificate that `bundle` vouches for under the name of `host`.
///
/// # Errors
/// As with every connection.
pub(crate) async fn connect(
    address: SocketAddr,
    engine: Engine,
    host: &Host,
    bundle: &Bundle,
) -> io::Result<TlsStream<TcpStream>> {
    let config = bundle.client_config().map_err(io::Error::other)?;
    let name = client::connection::server_name(host.as_str()).map_err(io::Error::other)?;
    let stream = until_tls(address, engine).await?;
    client::connection::start_tls(stream, config, name).await
}

/// What is known beside the handshake.
pub(crate) struct Around<'a> {
    pub(crate) host: &'a Host,
    pub(crate) region: Option<&'a Region>,
    pub(crate) bundle: &'a Bundle,
    /// Others than `bundle` that may vouch.
    pub(crate) others: &'a [Bundle],
    /// Whether `bundle` was given by the person who asks.
    pub(crate) given: bool,
    /// The instance, for the command that renews its certificate.
    pub(crate) identifier: Option<&'a str>,
}

/// Tries the handshake, and tells of it.
pub(crate) async fn examine(address: SocketAddr, engine: Engine, around: &Around<'_>) -> Finding {
    match connect(address, engine, around.host, around.bundle).await {
        Ok(stream) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let shown = chain.first().and_then(Shown::read);
            let seen = shown.map_or_else(
                || "verified".to_owned(),
                |shown| {
                    format!(
                        "`{}`, by `{}`, valid until {}; {} vouches for it",
                        shown.subject,
                        shown.issuer,
                        moment(shown.not_after),
                        around.bundle.origin()
                    )
                },
            );
            Finding::ok(Step::Certificate, seen)
        }
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(reason)) => {
                let chain = fetch(address, engine, around.host).await;
                explain(reason, &chain, around, SystemTime::now())
            }
            _ => Finding::failed(Step::Certificate, format!("the TLS handshake fails: {error}"))
                .expected("TLS 1.2 or 1.3")
                .mend("look into the server's log; something in between may break TLS"),
        },
    }
}

/// Tells why a certificate was not accepted.
fn explain(
    reason: &CertificateError,
    chain: &[CertificateDer<'static>],
    around: &Around<'_>,
    now: SystemTime,
) -> Finding {
    let Some((leaf, shown)) = chain.first().and_then(|leaf| Some((leaf, Shown::read(leaf)?))) else {
        return Finding::failed(
            Step::Certificate,
            format!("the server's certificate cannot be used: {reason}"),
        )
        .expected("a certificate that can be read")
        .mend("give the server a new certificate");
    };
    let certificate = format!("the certificate `{}`, by `{}`,", shown.subject, shown.issuer);
    let renew = |finding: Finding| {
        match around.identifier {
        Some(identifier) => finding.run(
            "have a certificate made by an authority of today",
            format!(
                "aws rds modify-db-instance --db-instance-identifier {identifier} --ca-certificate-identifier rds-ca-rsa2048-g1 --apply-immediately"
            ),
        ),
        None => finding.mend("give the server a new certificate"),
    }
    };
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            // What expired may be the authority's.
            let expired =
                chain.iter().filter_map(Shown::read).find(|one| one.not_after < OffsetDateTime::from(now));
            let (name, end) =
                expired.map_or((shown.subject.clone(), shown.not_after), |one| (one.subject, one.not_after));
            renew(
                Finding::failed(
                    Step::Certificate,
                    format!("{certificate} has expired: `{name}` on {}", moment(end)),
                )
                .expected(format!("one that is valid now, {}", moment(now.into()))),
            )
            .mend("if this machine's clock is wrong, set it")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Finding::failed(
            Step::Certificate,
            format!("{certificate} is not valid yet, but from {}", moment(shown.not_before)),
        )
        .expected(format!("one that is valid now, {}", moment(now.into())))
        .run("set this machine's clock, if it is wrong", "timedatectl set-ntp true"),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            other_name(&shown, around)
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            unknown_issuer(leaf, chain, &shown, around, now)
        }
        other => renew(
            Finding::failed(Step::Certificate, format!("{certificate} is not accepted: {other}"))
                .expected("a certificate that can be verified"),
        ),
    }
}

fn other_name(shown: &Shown, around: &Around<'_>) -> Finding {
    let host = around.host;
    let names = if shown.names.is_empty() { "no name".to_owned() } else { shown.names.join(", ") };
    let finding = Finding::failed(
        Step::Certificate,
        format!("the certificate `{}` is for {names}, not for `{host}`", shown.subject),
    )
    .expected(format!("a certificate for `{host}`"));
    let usable = shown.names.iter().find(|name| !name.contains('*'));
    let finding = match usable {
        Some(name) => finding.run(
            if host.bare().parse::<std::net::IpAddr>().is_ok() {
                "dial the database by its name, not by an address: certificate and token go by the name"
            } else {
                "dial the database by the name that it has, not by an alias (CNAME) of your own: certificate and token go by that name"
            },
            format!("countersign doctor --host {name} ..."),
        ),
        None => finding,
    };
    finding
        .mend("if the name is right, another server answers there: look at DNS, tunnels and load balancers")
}

fn unknown_issuer(
    leaf: &CertificateDer<'static>,
    chain: &[CertificateDer<'static>],
    shown: &Shown,
    around: &Around<'_>,
    now: SystemTime,
) -> Finding {
    let last = chain.iter().filter_map(Shown::read).next_back();
    let missing = last.map_or(shown.issuer.clone(), |last| last.issuer);
    let seen = if shown.is_self_signed() {
        format!("the certificate `{}` is self-signed: nobody vouches for it", shown.subject)
    } else {
        format!(
            "the certificate `{}` is by `{}`; its authority `{missing}` is not in {}",
            shown.subject,
            shown.issuer,
            around.bundle.origin()
        )
    };
    let finding = Finding::failed(Step::Certificate, seen)
        .expected(format!("an authority of {}", around.bundle.origin()));
    // Authorities of databases are called after their region, Amazon's and a Countersign's.
    let named = missing.split(' ').find_map(|word| word.parse::<Region>().ok());
    if let Some(named) =
        named.filter(|named| around.region.is_some_and(|region| region != named) && !around.given)
    {
        return finding.run(
            format!("the authority is called after region {named}: is the database there?"),
            format!("countersign doctor --region {named} ..."),
        );
    }
    let name = client::connection::server_name(around.host.as_str()).ok();
    let vouching = around.others.iter().find(|other| {
        name.as_ref().is_some_and(|name| vouches(other, leaf, chain.get(1..).unwrap_or_default(), name, now))
    });
    if let Some(other) = vouching {
        let finding = finding.mend(format!("{} vouches for it", other.origin()));
        return if other.pem() == client::trust::AMAZON {
            let file = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";
            finding
                .run(
                    "for clients: Amazon's bundle; the tools here have it built in, for hosts of Amazon RDS",
                    format!("curl -o global-bundle.pem {file}"),
                )
                .mend(if around.given { "leave --ca-bundle out" } else { "give it with --ca-bundle" })
        } else {
            let region = around.region.map_or("global", Region::as_str);
            finding.run(
                "trust that Countersign's authorities",
                format!("countersign ca-bundle --region {region} > {region}-bundle.pem   # then --ca-bundle {region}-bundle.pem"),
            )
        };
    }
    if missing.starts_with("Amazon RDS") && missing.contains("20") {
        let finding = finding.mend(format!("`{missing}` is an authority of Amazon's that has ended"));
        return match around.identifier {
            Some(identifier) => finding.run(
                "have a certificate made by an authority of today",
                format!(
                    "aws rds modify-db-instance --db-instance-identifier {identifier} --ca-certificate-identifier rds-ca-rsa2048-g1 --apply-immediately"
                ),
            ),
            None => finding,
        };
    }
    let finding = finding.run(
        "a database of a Countersign: trust its authorities",
        format!(
            "countersign ca-bundle --region {region} > {region}-bundle.pem   # then --ca-bundle {region}-bundle.pem",
            region = around.region.map_or("global", Region::as_str)
        ),
    );
    finding
        .mend("any other server: get the certificate of its authority from whoever runs it, and give it with --ca-bundle")
        .mend("if you know the server to have another certificate, somebody in between shows this one: do not go on")
}

/// Whether a bundle's authorities vouch for a certificate, under whatever name.
fn vouches(
    bundle: &Bundle,
    leaf: &CertificateDer<'static>,
    rest: &[CertificateDer<'static>],
    name: &ServerName<'static>,
    now: SystemTime,
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(bundle.certificates().iter().cloned());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::new(aws_lc_rs::default_provider()));
    let Ok(verifier) = verifier.build() else { return false };
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(since_epoch);
    match verifier.verify_server_cert(leaf, rest, name, &[], now) {
        Ok(_) => true,
        Err(error) => matches!(
            error,
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        ),
    }
}

/// Writes the chain down, and refuses it.
struct WriteDown {
    provider: CryptoProvider,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl fmt::Debug for WriteDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteDown").finish_non_exhaustive()
    }
}

fn refused() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

impl ServerCertVerifier for WriteDown {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        *chain =
            std::iter::once(end_entity).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        Err(refused())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(refused())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(refused())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The chain that the server shows; empty where it cannot be had. The handshake is always broken off.
async fn fetch(address: SocketAddr, engine: Engine, host: &Host) -> Vec<CertificateDer<'static>> {
    let provider = aws_lc_rs::default_provider();
    let write_down = Arc::new(WriteDown { provider: provider.clone(), chain: Mutex::new(Vec::new()) });
    let config =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let Ok(config) = config else { return Vec::new() };
    let config =
        config.dangerous().with_custom_certificate_verifier(write_down.clone()).with_no_client_auth();
    let Ok(name) = client::connection::server_name(host.as_str()) else { return Vec::new() };
    let Ok(stream) = until_tls(address, engine).await else { return Vec::new() };
    // It fails: the verifier refuses.
    drop(client::connection::start_tls(stream, Arc::new(config), name).await);
    write_down.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn chain(authority: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> Vec<CertificateDer<'static>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "the server");
        let key = KeyPair::generate().unwrap();
        vec![params.signed_by(&key, authority).unwrap().der().clone()]
    }

    fn bundle(authority: &CertifiedIssuer<'static, KeyPair>) -> Bundle {
        Bundle::from_pem(&authority.pem(), "the bundle").unwrap()
    }

    fn told(
        reason: &CertificateError,
        chain: &[CertificateDer<'static>],
        bundle: &Bundle,
        others: &[Bundle],
    ) -> String {
        let host = "alias.example.com".parse().unwrap();
        let around =
            Around { host: &host, region: None, bundle, others, given: true, identifier: Some("mydb") };
        let finding = explain(reason, chain, &around, SystemTime::now());
        assert_eq!(finding.status, crate::Status::Failed);
        serde_json::to_string(&finding).unwrap()
    }

    #[test]
    fn the_bundle_that_would_do_is_found() {
        let (ours, theirs) = (authority("Ours"), authority("Theirs"));
        let chain = chain(&theirs, &["db.example.com"]);
        let told = told(&CertificateError::UnknownIssuer, &chain, &bundle(&ours), &[bundle(&theirs)]);
        assert!(told.contains("authority `Theirs` is not in the bundle"), "{told}");
        assert!(
            told.contains("the bundle vouches for it") && told.contains("countersign ca-bundle"),
            "{told}"
        );
    }

    #[test]
    fn another_region_is_told() {
        let (ours, theirs) =
            (authority("Countersign eu-west-1 Root CA"), authority("Countersign us-east-1 Root CA"));
        let chain = chain(&theirs, &["localhost"]);
        let (host, region) = ("localhost".parse().unwrap(), "eu-west-1".parse().unwrap());
        let bundle = bundle(&ours);
        let around = Around {
            host: &host,
            region: Some(&region),
            bundle: &bundle,
            others: &[],
            given: false,
            identifier: None,
        };
        let finding = explain(&CertificateError::UnknownIssuer, &chain, &around, SystemTime::now());
        let command = finding.mend[0].command.as_deref();
        assert_eq!(command, Some("countersign doctor --region us-east-1 ..."), "{finding:?}");
    }

    #[test]
    fn nobody_vouches() {
        let (ours, theirs) = (authority("Ours"), authority("Theirs"));
        let told_of = |chain: &[CertificateDer<'static>]| {
            told(&CertificateError::UnknownIssuer, chain, &bundle(&ours), &[bundle(&ours)])
        };
        let told = told_of(&chain(&theirs, &["db.example.com"]));
        assert!(told.contains("do not go on"), "{told}");
        let told = told_of(&[theirs.der().clone()]);
        assert!(told.contains("self-signed"), "{told}");
        let old = authority("Amazon RDS us-east-1 2019 CA");
        let told = told_of(&chain(&old, &["db.example.com"]));
        assert!(told.contains("has ended") && told.contains("--db-instance-identifier mydb"), "{told}");
    }

    #[test]
    fn the_name_to_dial_is_told() {
        let ours = authority("Ours");
        let chain = chain(&ours, &["*.example.org", "db.example.com", "192.0.2.1"]);
        let told = told(&CertificateError::NotValidForName, &chain, &bundle(&ours), &[]);
        assert!(told.contains("*.example.org, db.example.com, 192.0.2.1"), "{told}");
        assert!(told.contains("--host db.example.com") && told.contains("CNAME"), "{told}");
    }

    #[test]
    fn times_are_told() {
        let ours = authority("Ours");
        let chain = chain(&ours, &["db.example.com"]);
        let told_of = |reason: &CertificateError| told(reason, &chain, &bundle(&ours), &[]);
        assert!(told_of(&CertificateError::Expired).contains("has expired"));
        assert!(told_of(&CertificateError::NotValidYet).contains("timedatectl"));
        assert!(told_of(&CertificateError::BadEncoding).contains("not accepted"));
        assert!(told(&CertificateError::BadEncoding, &[], &bundle(&ours), &[]).contains("cannot be used"));
    }

    #[test]
    fn whoever_writes_down_refuses() {
        let ours = authority("Ours");
        let chain = chain(&ours, &["db.example.com"]);
        let write_down = WriteDown { provider: aws_lc_rs::default_provider(), chain: Mutex::default() };
        let name = "db.example.com".try_into().unwrap();
        let verified = write_down.verify_server_cert(&chain[0], &[], &name, &[], UnixTime::now());
        assert!(verified.is_err());
        assert_eq!(*write_down.chain.lock().unwrap(), chain);
    }
}
