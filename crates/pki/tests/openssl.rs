//! What other software makes of our certificates: the `openssl` program reads and verifies them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may; clippy.toml only reaches the functions marked as tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use pki::{Authority, CaIdentifier, SERVER_LIFETIME, ServerNames, bundle, bundle_p7b};
use time::OffsetDateTime;

fn names() -> ServerNames {
    ServerNames {
        dns: vec!["localhost".into(), "mydb.abcdefghijkl.us-east-1.rds.amazonaws.com".into()],
        ips: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        common_name: "mydb.abcdefghijkl.us-east-1.rds.amazonaws.com".into(),
    }
}

/// Runs `openssl` and gives back what it printed; fails the test if it cannot run or reports an error.
fn openssl(args: &[&str]) -> String {
    let out = Command::new("openssl")
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("this test needs the program `openssl` (Debian: openssl): {error}"));
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(out.status.success(), "openssl {args:?}: {text}");
    text
}

fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

#[test]
fn chains_verify_by_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let now = OffsetDateTime::now_utc();
    for identifier in CaIdentifier::ALL {
        let authority = Authority::generate("us-east-1", identifier, now).unwrap();
        let server = authority.issue(&names(), now, SERVER_LIFETIME).unwrap();
        let root = write(folder.path(), "root.pem", authority.cert_pem());
        let leaf = write(folder.path(), "leaf.pem", &server.cert_pem);
        let key = write(folder.path(), "leaf.key", server.key_pem.expose());
        let (root, leaf, key) = (root.to_str().unwrap(), leaf.to_str().unwrap(), key.to_str().unwrap());

        let verify = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root];
        for check in [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]] {
            openssl(&[&verify[..], &check, &[leaf]].concat());
        }
        let public = openssl(&["pkey", "-in", key, "-pubout"]);
        assert_eq!(openssl(&["x509", "-in", leaf, "-pubkey", "-noout"]), public);

        let text = openssl(&["x509", "-in", leaf, "-noout", "-text"]);
        let key_kind = match identifier {
            CaIdentifier::Ecc384G1 => ["NIST CURVE: P-256", "ecdsa-with-SHA384"],
            CaIdentifier::Rsa2048G1 => ["Public-Key: (2048 bit)", "sha256WithRSAEncryption"],
        };
        for expected in key_kind.into_iter().chain([
            "DNS:localhost, DNS:mydb.abcdefghijkl.us-east-1.rds.amazonaws.com, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
            "TLS Web Server Authentication",
            "CA:FALSE",
            "X509v3 Authority Key Identifier",
        ]) {
            assert!(text.contains(expected), "no {expected} in {text}");
        }

        let text = openssl(&["x509", "-in", root, "-noout", "-text", "-fingerprint", "-sha1"]);
        assert!(text.contains("CA:TRUE, pathlen:0"), "{text}");
        assert!(text.contains("Certificate Sign, CRL Sign"), "{text}");
        let fingerprint = text
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("sha1 fingerprint=").map(String::from));
        assert_eq!(fingerprint.unwrap().replace(':', ""), authority.thumbprint());
    }
}

#[test]
fn another_authority_of_the_same_name_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let now = OffsetDateTime::now_utc();
    let make = || Authority::generate("us-east-1", CaIdentifier::default(), now).unwrap();
    let (ours, theirs) = (make(), make());
    let leaf = ours.issue(&names(), now, SERVER_LIFETIME).unwrap().cert_pem;
    let leaf = write(folder.path(), "leaf.pem", leaf);
    let root = write(folder.path(), "root.pem", theirs.cert_pem());
    let out = Command::new("openssl").arg("verify").arg("-CAfile").args([&root, &leaf]).output().unwrap();
    assert!(!out.status.success());

    // Both in one bundle: the key identifiers lead to the right one.
    let both = bundle([theirs.cert_pem(), ours.cert_pem()]).unwrap();
    let both = write(folder.path(), "both.pem", both);
    openssl(&["verify", "-CAfile", both.to_str().unwrap(), leaf.to_str().unwrap()]);
}

#[test]
fn p7b_holds_every_authority() {
    let folder = tempfile::tempdir().unwrap();
    let now = OffsetDateTime::now_utc();
    let authorities = CaIdentifier::ALL.map(|id| Authority::generate("us-east-1", id, now).unwrap());
    let der = bundle_p7b(authorities.iter().map(Authority::cert_pem)).unwrap();
    let path = write(folder.path(), "bundle.p7b", der);
    let text = openssl(&["pkcs7", "-inform", "DER", "-print_certs", "-in", path.to_str().unwrap()]);
    for authority in &authorities {
        assert!(text.contains(authority.cert_pem().trim()), "{text}");
    }
}
