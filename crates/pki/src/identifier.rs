//! The authorities by the names that RDS gives them.

use std::fmt;
use std::str::FromStr;

use rcgen::SignatureAlgorithm;
use time::Duration;

use crate::PkiError;

/// Which authority signs, as in `--ca-certificate-identifier`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CaIdentifier {
    /// `rds-ca-ecc384-g1`: an authority on P-384.
    ///
    /// Its servers get P-256 keys: a server signs once per TLS handshake, which takes 11 us on P-256 and 202 us with
    /// RSA-2048. The authority signs once a year and can afford the larger curve.
    #[default]
    Ecc384G1,
    /// `rds-ca-rsa2048-g1`: RSA-2048 throughout, for clients that know nothing else.
    Rsa2048G1,
}

impl CaIdentifier {
    /// Every authority there is.
    pub const ALL: [Self; 2] = [Self::Ecc384G1, Self::Rsa2048G1];

    /// The identifier as the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ecc384G1 => "rds-ca-ecc384-g1",
            Self::Rsa2048G1 => "rds-ca-rsa2048-g1",
        }
    }

    /// How the common name of the authority ends.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ecc384G1 => "ECC384 G1",
            Self::Rsa2048G1 => "RSA2048 G1",
        }
    }

    /// How long the authority is valid: as long as that of the same name on RDS, 100 and 40 years.
    pub(crate) fn lifetime(self) -> Duration {
        match self {
            Self::Ecc384G1 => Duration::days(36_525),
            Self::Rsa2048G1 => Duration::days(14_610),
        }
    }

    /// Key and signature of the authority itself.
    pub(crate) fn authority_algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::Ecc384G1 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Rsa2048G1 => &rcgen::PKCS_RSA_SHA256,
        }
    }

    /// Key of the servers.
    pub(crate) fn server_algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::Ecc384G1 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::Rsa2048G1 => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl fmt::Display for CaIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CaIdentifier {
    type Err = PkiError;

    fn from_str(given: &str) -> Result<Self, PkiError> {
        Self::ALL
            .into_iter()
            .find(|identifier| identifier.as_str() == given)
            .ok_or_else(|| PkiError::UnknownIdentifier(given.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusal() {
        for identifier in CaIdentifier::ALL {
            assert_eq!(identifier.to_string().parse::<CaIdentifier>().unwrap(), identifier);
        }
        let error = "rds-ca-2019".parse::<CaIdentifier>().unwrap_err().to_string();
        for part in ["`rds-ca-2019`", "`rds-ca-ecc384-g1`", "`rds-ca-rsa2048-g1`"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
