//! Bundles of authorities as the trust store serves them: PEM text, and PKCS#7 for Windows and Java.

use time::macros::format_description;

use crate::PkiError;
use crate::pem::{certificate_der, certificate_pem, parse, subject_name};

/// One PEM text of all certificates, each under a line `# <common name>, valid to <date>`.
///
/// # Errors
/// [`PkiError::Certificate`] if one of them is not a certificate.
pub fn bundle<'a>(certificates: impl IntoIterator<Item = &'a str>) -> Result<String, PkiError> {
    let date = format_description!("[year]-[month]-[day]");
    let mut text = String::new();
    for pem in certificates {
        let der = certificate_der(pem)?;
        let certificate = parse(&der)?;
        let till = certificate.validity().not_after.to_datetime();
        let till = till.format(date).map_err(|_| PkiError::Certificate("its last day has no date"))?;
        // A line break in a foreign subject must not start a line of its own.
        let name = subject_name(&certificate).replace(char::is_control, " ");
        text.push_str(&format!("# {name}, valid to {till}\n"));
        text.push_str(&certificate_pem(&der));
    }
    Ok(text)
}

/// The same certificates as PKCS#7 (RFC 2315) in DER: signed data without content and without signatures, what
/// `.p7b` files hold. Read with `openssl pkcs7 -inform DER -print_certs`.
///
/// # Errors
/// [`PkiError::Certificate`] if one of them is not a certificate.
pub fn bundle_p7b<'a>(certificates: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, PkiError> {
    let mut certificates = certificates.into_iter().map(certificate_der).collect::<Result<Vec<_>, _>>()?;
    certificates.iter().try_for_each(|der| parse(der).map(drop))?;
    // DER orders the members of a set.
    certificates.sort();

    let content = der(SEQUENCE, &[OID_DATA]);
    let certificates = der(CONTEXT_0, &certificates.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let signed_data = der(SEQUENCE, &[VERSION_1, EMPTY_SET, &content, &certificates, EMPTY_SET]);
    Ok(der(SEQUENCE, &[OID_SIGNED_DATA, &der(CONTEXT_0, &[&signed_data])]))
}

const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;
const EMPTY_SET: &[u8] = &[0x31, 0];
const VERSION_1: &[u8] = &[0x02, 1, 1];
/// 1.2.840.113549.1.7.1
const OID_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.2
const OID_SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// Tag, length in the shortest form, contents.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(short @ 0..=0x7f) => out.push(short),
        _ => {
            let length = contents.len().to_be_bytes();
            let digits: Vec<u8> = length.into_iter().skip_while(|digit| *digit == 0).collect();
            // At most eight digits.
            out.push(0x80 | digits.len() as u8);
            out.extend(digits);
        }
    }
    out.extend(contents);
    out
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::{Authority, CaIdentifier};

    #[test]
    fn a_bundle_says_what_is_in_it() {
        let now = datetime!(2026-03-01 12:00 UTC);
        let ecc = Authority::generate("us-east-1", CaIdentifier::Ecc384G1, now).unwrap();
        let rsa = Authority::generate("us-east-1", CaIdentifier::Rsa2048G1, now).unwrap();
        let text = bundle([ecc.cert_pem(), rsa.cert_pem()]).unwrap();
        let comments: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(
            comments,
            [
                "# Countersign us-east-1 Root CA ECC384 G1, valid to 2126-03-02",
                "# Countersign us-east-1 Root CA RSA2048 G1, valid to 2066-03-01",
            ]
        );
        assert_eq!(text.matches("-----BEGIN CERTIFICATE-----\n").count(), 2);
        assert!(text.ends_with("-----END CERTIFICATE-----\n"));
        assert!(bundle(["nothing"]).is_err());
        assert!(bundle_p7b(["nothing"]).is_err());
    }

    #[test]
    fn lengths_in_the_shortest_form() {
        assert_eq!(der(4, &[&[0; 127]])[..2], [4, 127]);
        assert_eq!(der(4, &[&[0; 128]])[..3], [4, 0x81, 128]);
        assert_eq!(der(4, &[&[0; 200], &[0; 100]])[..4], [4, 0x82, 1, 44]);
    }
}
